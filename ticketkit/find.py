"""Finding a winning ticket: iterative magnitude pruning with rewinding (Frankle et al., 2020).

1. Train the dense network, keeping its weights at the rewind step r. 2. Prune a fraction of the remaining weights, the
smallest over all prunable tensors together. 3. Rewind the survivors to step r, train to the end, and prune again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ticketkit._version import __version__
from ticketkit.arch import ArchSpec
from ticketkit.data import ImageData
from ticketkit.errors import MaskError, RunError, TrainingError
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.models.build import Tensors
from ticketkit.provenance import DatasetInfo, Flops, LevelResult, Provenance, Results, Weights
from ticketkit.prune import magnitudes
from ticketkit.recipe import Recipe
from ticketkit.run_folder import RunFolder
from ticketkit.selection import drop_lowest
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, check_fits, choose_compute, train
from ticketkit.train.checkpoint import DEFAULT_INTERVAL
from ticketkit.train.distributed import ALONE, Group, check_shares
from ticketkit.train.flops import training_flops
from ticketkit.train.loop import Spent

DEFAULT_LEVELS = 14
DEFAULT_RATE = 0.2
DEFAULT_TOLERANCE = 0.005

Rewinding = Literal["weights", "rate"]
METHODS: dict[Rewinding, str] = {"weights": "imp", "rate": "lrr"}
"""What provenance calls the two ways of rewinding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelReport:
    """One level of a run, as it ends.

    Attributes:
        result: Kept weights and test accuracy.
        ticket: The level's ticket: its mask, the rewound weights, the results so far.
        seconds: Wall time of its training.
        resumed: Whether it was found in the run folder instead of trained.
        spent: Where the time of its training went; nothing if it is resumed.
    """

    result: LevelResult
    ticket: Ticket
    seconds: float
    resumed: bool
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """The end of one level's training, just made or found in the run folder; level 0's has the rewind weights too."""

    tensors: Tensors
    accuracy: float
    seconds: float
    resumed: bool
    rewound: Tensors | None = None
    spent: Spent = field(default_factory=Spent)


def levels_for(sparsity: float, rate: float) -> int:
    """The least number of levels that reach a sparsity: 1 − (1 − rate)ᵏ ≥ sparsity.

    Raises:
        MaskError: If sparsity or rate is not in (0, 1).
    """
    for name, value in (("sparsity", sparsity), ("rate", rate)):
        if not 0 < value < 1:
            raise MaskError(f"the {name} must be above 0 and below 1 (got {value})")
    level = 0
    while 1 - (1 - rate) ** level < sparsity - 1e-9:
        level += 1
    return level


def find_ticket(
    arch: ArchSpec,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str | Compute = "auto",
    levels: int = DEFAULT_LEVELS,
    rate: float = DEFAULT_RATE,
    tolerance: float = DEFAULT_TOLERANCE,
    prune_head: bool | None = None,
    prunable: Collection[str] | None = None,
    rewinding: Rewinding = "weights",
    allow_collapse: bool = False,
    run_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_seconds: float = DEFAULT_INTERVAL,
    on_level: Callable[[LevelReport], None] | None = None,
    on_epoch: Callable[[int, Progress], None] | None = None,
    batches: Batches | None = None,
    group: Group = ALONE,
) -> Ticket:
    """Find a winning ticket by iterative magnitude pruning with rewinding.

    Trains ``levels + 1`` times: the dense network, and the subnetwork of each level.

    Args:
        arch: The network; its input channels and classes must be the data's.
        data: What to train and test on.
        recipe: How to train, and where to rewind to.
        seed: Seed of initialisation, data order and augmentation.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``, or the settings in full.
        levels: How often to prune.
        rate: Fraction of the remaining weights to prune each time, in (0, 1).
        tolerance: How far below the dense network's accuracy a winning level may be, in [0, 1].
        prune_head: Whether the output layer's weight is prunable; None leaves it to the network's family.
        prunable: The tensors to prune, by name, instead of those that the family and ``prune_head`` say.
        rewinding: What goes back to the rewind step after pruning: ``weights`` and the learning rate, or the learning
            ``rate`` alone, the weights going on from where they are (Renda et al., "Comparing Rewinding and Fine-tuning
            in Neural Network Pruning", 2020).
        allow_collapse: Whether to go on with a level of which a whole layer is pruned. Nothing passes through such a
            layer any more but what goes around it by a shortcut, and no later level brings it back.
        run_dir: A folder that keeps what a killed run needs to go on; None keeps nothing. Only rank 0 uses it.
        resume: Whether to go on with the run that ``run_dir`` holds.
        checkpoint_seconds: Least time between two checkpoints inside a level.
        on_level: Called at the end of each level, resumed ones included.
        on_epoch: Called after each epoch with the level and the training's progress.
        batches: The data, where they are on the device already, for a recipe that batches and augments alike; with them
            what was captured for other trainings.
        group: The ranks that find the ticket together, each calling this function with the same arguments but for
            ``device``, which is its own, and the callbacks.

    Returns:
        The last level's ticket, with the weights of the rewind step (of the end of the level before, if only the
        learning rate is rewound); its ``results`` hold the accuracy of every level.

    Raises:
        ArchError, DataError, MaskError, RecipeError: If the arguments do not fit each other.
        TrainingError: If a level's training diverges, or a level prunes all of a layer; says which level and layer. The
            levels before it have been given to ``on_level``.
        BusyError: If another run is at work in the run folder.
        RunError: If there is no such device, the run folder cannot be used, a training breaks, or a rank is lost or
            has come to something else than the others.

    Examples:
        >>> data = ticketkit.load_data("digits")
        >>> recipe = ticketkit.load_recipe("quick", ["epochs=2", "warmup=0"])
        >>> ticket = ticketkit.find_ticket(ticketkit.parse_arch("mlp-64-16-10"), data, recipe, levels=2, rate=0.5)
        >>> ticket
        Ticket(mlp-64-16-10, 256 of 1,024 kept, sparsity 75.00%)
    """
    _check(arch, data, levels, rate, tolerance)
    check_shares(recipe, group)
    compute = device if isinstance(device, Compute) else choose_compute(device, image_size=max(data.shape[1:]))
    batches = Batches(data, recipe, compute.device) if batches is None else batches.with_recipe(recipe)
    rewind_step = recipe.rewind_step(batches.steps_per_epoch)
    total_steps = recipe.total_steps(batches.steps_per_epoch)
    provenance = _provenance(METHODS[rewinding], data, recipe, rate, seed, _environment(compute, group))
    first = Weights(role="rewind" if rewind_step else "init", step=rewind_step)
    final = Weights(role="final", step=total_steps)
    mask = full_mask(arch, arch.prunable_names(prune_head=prune_head) if prunable is None else prunable)
    flops = Flops(sparse=0.0, dense=0.0)
    run = _describe_run(arch, provenance, mask)
    group.check_alike("network, data, recipe and environment", json.dumps([run, levels], sort_keys=True).encode())
    opened = RunFolder(Path(run_dir), run, resume=resume) if run_dir is not None and group.leads else nullcontext()
    with opened as folder:
        start: Tensors = initialise(arch, seed)
        rewound = start
        outcome: _Outcome | None = None
        results: list[LevelResult] = []
        for level in range(levels + 1):
            if outcome is not None:
                mask = group.of_first(partial(drop_lowest, magnitudes(outcome.tensors, mask), mask, rate))
                group.check_alike("mask", mask)
                if not allow_collapse:
                    _check_collapse(mask, level)
                start = rewound if rewinding == "weights" else mask.applied_to(outcome.tensors)
            name = f"level-{level:02d}"
            outcome = group.of_first(partial(_resumed, folder, name, mask))
            if outcome is None:
                if folder is not None:
                    folder.reserve(_room(start))
                with _naming(level):
                    trained = train(
                        arch,
                        start,
                        mask,
                        batches,
                        seed=seed,
                        compute=compute,
                        first_step=rewind_step if level else 0,
                        capture_step=None if level else rewind_step,
                        checkpoint=folder.checkpoint(name, checkpoint_seconds) if folder is not None else None,
                        on_epoch=partial(on_epoch, level) if on_epoch is not None else None,
                        group=group,
                    )
                outcome = _Outcome(
                    tensors=trained.tensors,
                    accuracy=trained.accuracy,
                    seconds=trained.seconds,
                    resumed=False,
                    rewound=trained.captured,
                    spent=trained.spent,
                )
            if outcome.rewound is not None:
                rewound = outcome.rewound
            results.append(LevelResult(level=level, kept=mask.kept, total=mask.total, accuracy=outcome.accuracy))
            steps = total_steps - (rewind_step if level else 0)
            flops += training_flops(arch, data.shape, mask, steps * recipe.batch)
            # Level 0 starts from the initial weights, but what stands for it is where the other levels would start.
            held = start if level and rewinding == "rate" else rewound
            ticket = Ticket.from_arrays(
                arch,
                held,
                mask,
                weights=final if level and rewinding == "rate" else first,
                provenance=replace(provenance, level=level, flops=flops),
                results=_summary(results, tolerance),
            )
            _check_rewound(ticket, held, mask)
            if folder is not None and not outcome.resumed:
                _keep_level(folder, name, ticket, outcome, final)
            if on_level is not None:
                on_level(
                    LevelReport(
                        result=results[-1],
                        ticket=ticket,
                        seconds=outcome.seconds,
                        resumed=outcome.resumed,
                        spent=outcome.spent,
                    )
                )
    return ticket


def _room(tensors: Tensors) -> int:
    """Bytes that the end of a level takes, at most: two dense tickets, or a checkpoint."""
    return 3 * sum(array.nbytes for array in tensors.values()) + 1000 * len(tensors) + 2**16


def _check(arch: ArchSpec, data: ImageData, levels: int, rate: float, tolerance: float) -> None:
    check_fits(arch, data)
    if levels < 0:
        raise MaskError(f"the number of levels must be 0 or above (got {levels})")
    if not 0 < rate < 1:
        raise MaskError(f"the rate must be above 0 and below 1 (got {rate})")
    if not 0 <= tolerance <= 1:
        raise MaskError(f"the tolerance must be in [0, 1] (got {tolerance})")


def full_mask(arch: ArchSpec, prunable: Collection[str]) -> Mask:
    """The mask of a network's prunable tensors, by name, that prunes nothing.

    Raises:
        MaskError: If a name is of no weight that can be pruned, or there is none.
    """
    shapes = {entry.name: entry.tensor.shape for entry in arch.state() if entry.prunable}
    if unknown := sorted(set(prunable) - set(shapes)):
        raise MaskError(f"prunable tensors must be weights of {arch.name} (got {unknown[0]!r})")
    return Mask({name: np.ones(shape, dtype=np.bool_) for name, shape in shapes.items() if name in prunable})


def _check_collapse(mask: Mask, level: int) -> None:
    for name, kept in mask.items():
        if not kept.any():
            raise TrainingError(
                f"a layer must keep some of its weights (level {level} prunes all {kept.size:,} of {name}); "
                f"stop at level {level - 1}, prune less at a time, take a wider network, or allow layers to collapse"
            )


@contextmanager
def _naming(level: int) -> Iterator[None]:
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"level {level}: {error}") from None


def _environment(compute: Compute, group: Group) -> dict[str, Any]:
    described = compute.describe()
    return described if group.size == 1 else {**described, "ranks": group.size}


def _provenance(
    method: str, data: ImageData, recipe: Recipe, rate: float, seed: int, environment: dict[str, Any]
) -> Provenance:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return Provenance(
        method=method,
        rate=rate,
        seed=seed,
        dataset=DatasetInfo(
            name=data.name, fingerprint=data.fingerprint, train=len(data.train_labels), test=len(data.test_labels)
        ),
        recipe=recipe.to_dict(),
        environment=environment,
        created=datetime.fromtimestamp(int(epoch), UTC).isoformat() if epoch else None,
    )


def _describe_run(arch: ArchSpec, provenance: Provenance, mask: Mask) -> dict[str, Any]:
    """What must be the same for a run to be resumed; more levels may be asked for."""
    return {
        "method": provenance.method,
        "architecture": {"name": arch.name, "num_classes": arch.num_classes, "in_channels": arch.in_channels},
        "prunable_weights": mask.total,
        "rate": provenance.rate,
        "seed": provenance.seed,
        "dataset": provenance.dataset.fingerprint if provenance.dataset is not None else None,
        "recipe": provenance.recipe,
        "environment": provenance.environment,
        "ticketkit": __version__,
    }


def _summary(results: list[LevelResult], tolerance: float) -> Results:
    enough = results[0].accuracy - tolerance
    winning = [result.level for result in results if result.level and result.accuracy >= enough]
    return Results(levels=tuple(results), tolerance=tolerance, winning_level=max(winning, default=None))


def _check_rewound(ticket: Ticket, rewound: Tensors, mask: Mask) -> None:
    for name, array in ticket.tensors.items():
        kept = mask[name] if name in mask else np.ones(array.shape, dtype=np.bool_)
        if array[kept].tobytes() != rewound[name][kept].tobytes() or np.any(array[~kept]):
            raise RunError(f"a level's ticket must hold the rewound weights, bit for bit ({name} does not)")


def _keep_level(folder: RunFolder, name: str, ticket: Ticket, outcome: _Outcome, final: Weights) -> None:
    # The ticket of final weights comes last: it says that the level is done.
    if ticket.provenance.level == 0:
        folder.keep("rewind", ticket)
    folder.keep_notes(name, {"accuracy": outcome.accuracy, "seconds": outcome.seconds})
    kept = Ticket.from_arrays(
        ticket.arch,
        outcome.tensors,
        ticket.mask,
        weights=final,
        provenance=ticket.provenance,
        results=ticket.results,
    )
    folder.keep(name, kept)
    folder.checkpoint(name, 0).remove()


def _resumed(folder: RunFolder | None, name: str, mask: Mask) -> _Outcome | None:
    """The end of a level that the run folder holds, if there is a folder and it does."""
    if folder is None or (known := folder.load(name)) is None:
        return None
    if known.mask != mask or known.results is None:
        raise RunError(
            "a resumed level must have the mask that follows from the level before "
            f"(it has another): {folder.path / name}.st"
        )
    return _Outcome(
        tensors=dict(known.tensors),
        accuracy=known.results.levels[-1].accuracy,
        seconds=float(folder.load_notes(name).get("seconds", 0.0)),
        resumed=True,
        rewound=None if known.provenance.level else _kept_rewind(folder),
    )


def _kept_rewind(folder: RunFolder) -> Tensors:
    ticket = folder.load("rewind")
    if ticket is None:
        raise RunError(f"a resumed run must have its rewind weights (rewind.st is missing): {folder.path}")
    return dict(ticket.tensors)
