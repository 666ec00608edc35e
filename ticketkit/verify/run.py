"""Training a ticket and its arms, all in the same way."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ticketkit._version import __version__
from ticketkit.data import ImageData
from ticketkit.encoding import Bitmask
from ticketkit.errors import TicketkitError
from ticketkit.find import DEFAULT_RATE
from ticketkit.recipe import Recipe
from ticketkit.report.comparison import (
    DEFAULT_MARGIN,
    DEFAULT_REFERENCE,
    TICKET,
    ArmResult,
    LayerDensity,
    Origin,
    Report,
    Run,
)
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, check_fits, choose_compute
from ticketkit.train.checkpoint import DEFAULT_INTERVAL
from ticketkit.train.loop import Spent
from ticketkit.train.parallel import Parallel, Stop, how_many, together
from ticketkit.train.setting import StartAt, describe_setting, first_step_of
from ticketkit.verify.arm import ARMS, Arm, Target
from ticketkit.verify.bench import Bench
from ticketkit.verify.kept import KeptTrainings
from ticketkit.verify.lineage import stages_of
from ticketkit.verify.training import Outcome, network_seed, run_arm

DEFAULT_ARMS = ("dense", "random", "reinit")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One training of a verification, as it ends.

    Attributes:
        arm: The arm.
        run: What it gave.
        spent: Where the time of the arm's own training went; nothing if it is resumed.
        resumed: Whether it was found in the folder of runs instead of trained.
    """

    arm: str
    run: Run
    spent: Spent = field(default_factory=Spent)
    resumed: bool = False


def verify_ticket(
    ticket: Ticket,
    data: ImageData,
    recipe: Recipe,
    *,
    arms: Sequence[str] = DEFAULT_ARMS,
    rivals: Mapping[str, Ticket] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    start: StartAt = "rewind",
    reference: str = DEFAULT_REFERENCE,
    margin: float = DEFAULT_MARGIN,
    rate: float = DEFAULT_RATE,
    dst_multiplier: int = 5,
    runs: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_seconds: float = DEFAULT_INTERVAL,
    device: str | Compute = "auto",
    parallel: Parallel = 1,
    on_run: Callable[[RunReport], None] | None = None,
    on_epoch: Callable[[str, int, Progress], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Report:
    """Train a ticket beside its baselines: same recipe, data order, augmentation, seeds and start of the schedule.

    Every arm keeps exactly as many weights as the ticket, and starts from the target's own weights at the ticket's
    rewind step unless its summary says otherwise. Dynamic sparse training and the small dense network, which have no
    early weights in common with the ticket, take the whole schedule.

    Args:
        ticket: The ticket.
        data: What to train and test on.
        recipe: How to train.
        arms: Names of :data:`~ticketkit.verify.ARMS` to compare with; the ticket itself is always trained.
        rivals: Other tickets to compare with, by the name they are to have; of networks with the same data.
        seeds: One training of every arm for each. They are not those of ``find``: verifying a ticket with the seed
            that it was found with trains it in another data order.
        start: Where in the schedule every arm starts: at the step that the ticket's weights were taken at, or at 0.
        reference: The arm that the elastic hypothesis compares the ticket with, if it is among the arms.
        margin: How far below it the ticket may be, as a fraction of the test set.
        rate: Fraction of the remaining weights that ``imp`` and ``lrr`` prune at each level, in (0, 1).
        dst_multiplier: How many times longer ``rigl`` and ``set`` train.
        runs: A folder that keeps what every finished training gave, and what ``imp`` and ``lrr`` train on the target;
            None keeps nothing. Several verifications may use it at once.
        resume: Whether to take the trainings of this verification that ``runs`` holds, instead of doing them again.
        checkpoint_seconds: Least time between two checkpoints inside a level that ``imp`` and ``lrr`` train.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``, or the settings in full.
        parallel: How many trainings to run at once, or ``auto``: as many as the device has room for. On the CPU it
            changes no accuracy, bit for bit. Times are then those of trainings beside others, and the memory of one is
            not known.
        on_run: Called at the end of each training.
        on_epoch: Called after each epoch with the arm, the seed and the training's progress; by several threads, if
            there are several trainings at once.
        on_wait: Called with a line that says so, again and again, while another process makes an IMP run that this
            verification needs too.

    Raises:
        TicketkitError: If there is no such arm, or it does not go with this ticket, or no seed, or two arms share a
            name, ``dst_multiplier`` is below 1, or there is nothing to resume from.
        ArchError, DataError, MaskError, RecipeError: If ticket, data and recipe do not fit each other.
        RunError: If there is no such device, a training breaks, or the folder of runs cannot be used. What is finished
            by then is kept.

    Examples:
        >>> data = ticketkit.load_data("digits")
        >>> recipe = ticketkit.load_recipe("quick", ["epochs=2", "warmup=0"])
        >>> ticket = ticketkit.find_ticket(ticketkit.parse_arch("mlp-64-16-10"), data, recipe, levels=1)
        >>> report = ticketkit.verify_ticket(ticket, data, recipe, arms=["random", "dense"], seeds=(0, 1))
        >>> [(arm.name, len(arm.runs)) for arm in report.arms]
        [('ticket', 2), ('random', 2), ('dense', 2)]
    """
    entrants = _entrants(arms, rivals or {}, ticket)
    if not seeds or len(set(seeds)) != len(seeds):
        raise TicketkitError(f"seeds must be one or more different numbers (got {list(seeds)})")
    if reference not in {DEFAULT_REFERENCE, *entrants}:
        raise TicketkitError(f"the reference must be one of the arms {', '.join(entrants)} (got {reference!r})")
    if dst_multiplier < 1:
        raise TicketkitError(f"dynamic sparse training must take 1 or more times as long (got {dst_multiplier})")
    if resume and runs is None:
        raise TicketkitError("a verification that is resumed must have a folder of runs (got none)")
    for contender in (ticket, *(rivals or {}).values()):
        check_fits(contender.arch, data)
    compute = device if isinstance(device, Compute) else choose_compute(device, image_size=max(data.shape[1:]))
    batches = Batches(data, recipe, compute.device)
    first_step = first_step_of(ticket, recipe, batches.steps_per_epoch, start)
    stop = Stop()

    def watch(seed: int, label: str, progress: Progress) -> None:
        stop.check()
        if on_epoch is not None:
            on_epoch(label, seed, progress)

    def wait(line: str) -> None:
        stop.check()
        if on_wait is not None:
            on_wait(line)

    rewind_step = rewind_step_of(ticket, recipe, batches)
    benches = {
        seed: Bench(
            arch=ticket.arch,
            prunable=Target.of(ticket).prunable,
            batches=batches,
            compute=compute,
            seed=network_seed(seed),
            rewind_step=rewind_step,
            rate=rate,
            runs=None if runs is None else Path(runs),
            checkpoint_seconds=checkpoint_seconds,
            on_epoch=partial(watch, seed),
            on_wait=wait,
        )
        for seed in seeds
    }
    largest = max((contender.arch for _, contender in entrants.values()), key=lambda arch: arch.parameters)
    at_once = how_many(parallel, len(seeds) * len(entrants), compute, largest, data.shape, recipe.batch)
    common = {
        "dataset": data.fingerprint,
        "recipe": recipe.to_dict(),
        "start_step": first_step,
        "rewind_step": rewind_step,
        "environment": compute.describe(),
        "ticketkit": __version__,
    }
    kept = None if runs is None else KeptTrainings(Path(runs), common)

    def job(name: str, seed: int) -> tuple[Outcome, bool]:
        """One training, and whether it was there."""
        arm, contender = entrants[name]
        own: dict[str, object] = {
            "arm": name,
            "rival": name in (rivals or {}),  # its file may be named like an arm
            "architecture": contender.arch.short_name,
            "ticket": contender.id,
            "seed": seed,
        }
        if arm.finds is not None:
            own["rate"] = rate
        if arm.lengthened:
            own["dst_multiplier"] = dst_multiplier
        if kept is not None and resume and (known := kept.load(own)) is not None:
            return known, True
        outcome = run_arm(
            name,
            arm,
            target=Target.of(contender),
            ticket=contender,
            bench=benches[seed],
            seed=seed,
            first_step=first_step,
            dst_multiplier=dst_multiplier,
            alone=at_once == 1,
            on_epoch=partial(watch, seed, name),
        )
        if kept is not None:
            kept.keep(own, outcome)
        return outcome, False

    order = _in_order(entrants, seeds, at_once)
    found: dict[tuple[str, int], Outcome] = {}
    with closing(together([partial(job, *place) for place in order], at_once, compute, stop)) as ended:
        for number, (outcome, resumed) in ended:
            name, seed = order[number]
            found[name, seed] = outcome
            if on_run is not None:
                on_run(RunReport(arm=name, run=outcome.run, spent=outcome.spent, resumed=resumed))
    outcomes = {name: [found[name, seed] for seed in seeds] for name in entrants}
    return Report(
        ticket_id=ticket.id,
        architecture=ticket.arch.name,
        sparsity=ticket.sparsity,
        start_step=first_step,
        setting=describe_setting(data, recipe, compute, parallel=at_once),
        arms=tuple(
            arm_result(name, arm.summary, Target.of(contender), outcomes[name])
            for name, (arm, contender) in entrants.items()
        ),
        reference=reference if reference in entrants and reference != TICKET else None,
        margin=margin,
        origin=origin_of(ticket),
        layers=layer_densities(ticket),
        find_flops=None if ticket.provenance.flops is None else ticket.provenance.flops.sparse,
    )


def obstacles(ticket: Ticket) -> dict[str, str]:
    """The arms that do not go with a ticket, each with what there would have to be."""
    target, stages = Target.of(ticket), stages_of(ticket)
    found = {name: arm.obstacle(target, stages) for name, arm in ARMS.items()}
    return {name: obstacle for name, obstacle in found.items() if obstacle is not None}


def arm_result(name: str, summary: str, target: Target, outcomes: Sequence[Outcome]) -> ArmResult:
    """All trainings of one arm as a report holds them."""
    architecture = outcomes[0].architecture
    return ArmResult(
        name=name,
        summary=summary,
        kept=outcomes[0].kept,
        total=target.total,
        runs=tuple(outcome.run for outcome in outcomes),
        architecture=None if architecture == target.arch.name else architecture,
    )


def origin_of(ticket: Ticket, source: Ticket | None = None, order: str | None = None) -> Origin | None:
    """Where a ticket was stretched from; None if it was not.

    Args:
        ticket: The ticket.
        source: The one that it was stretched from, if it is at hand.
        order: What to call the way it was stretched, instead of the policy's name.
    """
    if not ticket.provenance.transformations:
        return None
    last = ticket.provenance.transformations[-1]
    return Origin(
        architecture=last.source,
        order=order or last.order,
        mapping=last.mapping,
        parent=last.parent,
        layers=() if source is None else layer_densities(source),
    )


def layer_densities(ticket: Ticket) -> tuple[LayerDensity, ...]:
    """How much of each prunable tensor a ticket keeps."""
    return tuple(
        LayerDensity(
            name=entry.name, stage=entry.layer.stage, unit=entry.layer.unit, kept=stored.kept, size=stored.size
        )
        for entry in ticket.arch.state()
        if isinstance(stored := ticket.stored[entry.name], Bitmask)
    )


def _entrants(arms: Sequence[str], rivals: Mapping[str, Ticket], ticket: Ticket) -> dict[str, tuple[Arm, Ticket]]:
    """Every arm with the ticket it is made from, the ticket itself first."""
    entrants = {TICKET: (ARMS[TICKET], ticket)}
    for name in arms:
        if name in entrants:
            raise TicketkitError(f"an arm must be named once (got {name!r} again)")
        if obstacle := ARMS[name].obstacle(Target.of(ticket), stages_of(ticket)):
            raise TicketkitError(f"for the arm {name!r} there must be {obstacle}")
        entrants[name] = (ARMS[name], ticket)
    for name, rival in rivals.items():
        if name in entrants:
            raise TicketkitError(f"an arm must be named once (got {name!r} again)")
        summary = f"another ticket, {rival.arch.name}, {rival.sparsity:.2%} sparse"
        entrants[name] = (Arm(summary=summary, start=ARMS[TICKET].start), rival)
    return entrants


def _in_order(entrants: Mapping[str, tuple[Arm, Ticket]], seeds: Sequence[int], at_once: int) -> list[tuple[str, int]]:
    """Every arm with every seed: seed by seed, or where several are trained at once, the longest first.

    Then nothing long is left at the end, and neighbours do not wait for each other's rewind weights and IMP levels,
    which are those of a seed.
    """
    if at_once == 1:
        return [(name, seed) for seed in seeds for name in entrants]
    longest_first = sorted(
        entrants, key=lambda name: (entrants[name][0].finds is None, not entrants[name][0].lengthened)
    )
    return [(name, seed) for name in longest_first for seed in seeds]


def rewind_step_of(ticket: Ticket, recipe: Recipe, batches: Batches) -> int:
    """The step that the network's own weights are rewound to: the ticket's, or the recipe's if the ticket has none."""
    if ticket.weights.role == "final":
        return recipe.rewind_step(batches.steps_per_epoch)
    return ticket.weights.step or 0
