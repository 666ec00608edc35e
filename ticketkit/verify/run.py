"""Training a ticket and its arms, all in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ticketkit.data import ImageData
from ticketkit.errors import RecipeError, TicketkitError
from ticketkit.models import instantiate
from ticketkit.recipe import Recipe
from ticketkit.report.comparison import TICKET, ArmResult, Report, Run
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import (
    Batches,
    Compute,
    Progress,
    accuracy_of,
    check_fits,
    choose_compute,
    recalibrate,
    train,
)
from ticketkit.verify.arm import ARMS, Arm, Context, Start

DEFAULT_ARMS = ("dense", "random", "reinit")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One training of a verification, as it ends."""

    arm: str
    run: Run


def verify_ticket(
    ticket: Ticket,
    data: ImageData,
    recipe: Recipe,
    *,
    arms: Sequence[str] = DEFAULT_ARMS,
    rivals: Mapping[str, Ticket] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    start: Literal["rewind", "0"] = "rewind",
    device: str | Compute = "auto",
    on_run: Callable[[RunReport], None] | None = None,
    on_epoch: Callable[[str, int, Progress], None] | None = None,
) -> Report:
    """Train a ticket beside its baselines: same recipe, data order, augmentation, seeds and start of the schedule.

    Args:
        ticket: The ticket.
        data: What to train and test on.
        recipe: How to train.
        arms: Names of :data:`ARMS` to compare with; the ticket itself is always trained.
        rivals: Other tickets to compare with, by the name they are to have; of networks with the same data.
        seeds: One training of every arm for each. They are not those of ``find``: verifying a ticket with the seed
            that it was found with trains it in another data order.
        start: Where in the schedule every arm starts: at the step that the ticket's weights were taken at, or at 0.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``, or the settings in full.
        on_run: Called at the end of each training.
        on_epoch: Called after each epoch with the arm, the seed and the training's progress.

    Raises:
        TicketkitError: If there is no such arm, or no seed, or two arms share a name.
        ArchError, DataError, RecipeError: If ticket, data and recipe do not fit each other.
        RunError: If there is no such device, or a training breaks.
    """
    entrants = _entrants(arms, rivals or {}, ticket)
    if not seeds or len(set(seeds)) != len(seeds):
        raise TicketkitError(f"seeds must be one or more different numbers (got {list(seeds)})")
    for contender in (ticket, *(rivals or {}).values()):
        check_fits(contender.arch, data)
    compute = device if isinstance(device, Compute) else choose_compute(device, image_size=max(data.shape[1:]))
    batches = Batches(data, recipe, compute.device)
    first_step = _first_step(ticket, recipe, batches, start)
    runs: dict[str, list[Run]] = {name: [] for name in entrants}
    kept: dict[str, tuple[int, int]] = {}
    for seed in seeds:
        for name, (arm, contender) in entrants.items():
            context = Context(ticket=contender, batches=batches, compute=compute, seed=derive_seed(seed, "arm", name))
            begin = arm.start(context)
            kept[name] = (begin.mask.kept, begin.mask.total) if begin.mask else (contender.total, contender.total)

            def watch(progress: Progress, name: str = name, seed: int = seed) -> None:
                if on_epoch is not None:
                    on_epoch(name, seed, progress)

            trained = train(
                contender.arch,
                begin.tensors,
                begin.mask,
                batches,
                seed=derive_seed(seed, "verify"),
                compute=compute,
                first_step=first_step,
                on_epoch=watch,
            )
            run = Run(
                seed=seed,
                accuracy=trained.accuracy,
                untrained=_untrained(contender, begin, batches, compute),
                loss=trained.loss,
                seconds=trained.seconds,
            )
            runs[name].append(run)
            if on_run is not None:
                on_run(RunReport(arm=name, run=run))
    return Report(
        ticket_id=ticket.id,
        architecture=ticket.arch.name,
        sparsity=ticket.sparsity,
        start_step=first_step,
        setting=_setting(data, recipe, compute),
        arms=tuple(
            ArmResult(name=name, summary=arm.summary, kept=kept[name][0], total=kept[name][1], runs=tuple(runs[name]))
            for name, (arm, _) in entrants.items()
        ),
    )


def _entrants(arms: Sequence[str], rivals: Mapping[str, Ticket], ticket: Ticket) -> dict[str, tuple[Arm, Ticket]]:
    """Every arm with the ticket it is made from, the ticket itself first."""
    entrants = {TICKET: (ARMS[TICKET], ticket)}
    for name in arms:
        if name in entrants:
            raise TicketkitError(f"an arm must be named once (got {name!r} again)")
        entrants[name] = (ARMS[name], ticket)
    for name, rival in rivals.items():
        if name in entrants:
            raise TicketkitError(f"an arm must be named once (got {name!r} again)")
        summary = f"another ticket, {rival.arch.name}, {rival.sparsity:.2%} sparse"
        entrants[name] = (Arm(summary=summary, start=ARMS[TICKET].start), rival)
    return entrants


def _first_step(ticket: Ticket, recipe: Recipe, batches: Batches, start: Literal["rewind", "0"]) -> int:
    if start == "0":
        return 0
    if ticket.weights.role == "final":
        raise RecipeError("a ticket of final weights must be verified with start 0 (it has no rewind step)")
    step = ticket.weights.step or 0
    total = recipe.total_steps(batches.steps_per_epoch)
    if step >= total:
        raise RecipeError(
            f"the ticket's rewind step must lie before the end of training, {total:,} steps (got {step:,}); "
            "start at 0 or train longer"
        )
    return step


def _untrained(ticket: Ticket, begin: Start, batches: Batches, compute: Compute) -> float:
    """Accuracy before training. The running statistics of a stretched ticket do not fit it, so a copy gets its own."""
    with compute.applied():
        tensors = begin.mask.applied_to(begin.tensors) if begin.mask is not None else begin.tensors
        model = instantiate(ticket.arch, tensors, compute.device)
        return accuracy_of(recalibrate(model, batches, compute), batches, compute)


def _setting(data: ImageData, recipe: Recipe, compute: Compute) -> dict[str, Any]:
    return {
        "dataset": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "train": len(data.train_labels),
            "test": len(data.test_labels),
        },
        "recipe": recipe.to_dict(),
        "environment": compute.describe(),
    }
