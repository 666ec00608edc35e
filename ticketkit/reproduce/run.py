"""Doing again what made a ticket, and comparing: the search that found it, then every transformation since."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ticketkit.arch import parse_arch
from ticketkit.bundle import load_ticket
from ticketkit.data import ImageData
from ticketkit.find import LevelReport, find_ticket
from ticketkit.provenance import Transformation
from ticketkit.report.agreement import Agreement, Step, agreement
from ticketkit.reproduce.plan import Reproduction, Settings, plan_reproduction
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket, same_values
from ticketkit.train import Compute, Progress, choose_compute
from ticketkit.train.setting import network_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """A ticket that was made again.

    Attributes:
        ticket: The one made again.
        agreement: How it compares with the ticket.
    """

    ticket: Ticket
    agreement: Agreement


def reproduce_ticket(
    ticket: Ticket,
    data: ImageData,
    *,
    device: str | Compute | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_level: Callable[[LevelReport], None] | None = None,
    on_epoch: Callable[[int, Progress], None] | None = None,
) -> Reproduced:
    """Find a ticket again, transform it as it was transformed, and compare.

    Args:
        ticket: The ticket.
        data: The data that it was found on.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``, or the settings in full; None as the ticket
            says that it was computed, but for the number of ranks: this process is one.
        run_dir: A folder that keeps what a killed run needs to go on; None keeps nothing.
        resume: Whether to go on with the run that ``run_dir`` holds.
        on_level: See :func:`ticketkit.find_ticket`.
        on_epoch: See there.

    Raises:
        RunError: If the ticket does not say enough, there is no such device, or a training breaks.
        DataError: If these are other data than the ticket's.
        ArchError, MaskError, RecipeError, StretchError: If what the ticket says does not hold together.
    """
    plan = plan_reproduction(ticket)
    plan.check(data)
    with ExitStack() as stack:
        if run_dir is None and plan.is_final:  # which only a run's folder keeps
            run_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="ticketkit-"))
        found = find_ticket(
            network_for(plan.network, data),
            data,
            plan.recipe,
            seed=plan.seed,
            device=device if isinstance(device, Compute) else compute_for(plan, data, device),
            levels=plan.level,
            rate=plan.rate,
            tolerance=plan.tolerance,
            prune_head=plan.prune_head,
            prunable=plan.prunable,
            rewinding=plan.rewinding,
            allow_collapse=True,  # whether it collapsed before shows in the comparison
            run_dir=run_dir,
            resume=resume,
            on_level=on_level,
            on_epoch=on_epoch,
        )
        if plan.is_final and run_dir is not None:
            trained = load_ticket(Path(run_dir) / f"level-{plan.level:02d}.st")
            found = _meant(ticket, found, trained)
    steps: list[Step] = []
    made = found
    for done, settings in plan.transformations:
        steps.append(Step(architecture=made.arch.name, then=done.parent, now=made.id))
        made = _done_again(made, done, settings)
    steps.append(Step(architecture=made.arch.name, then=ticket.id, now=made.id))
    return Reproduced(ticket=made, agreement=agreement(ticket, made, tuple(steps)))


def compute_for(
    plan: Reproduction,
    data: ImageData,
    device: str | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
    deterministic: bool | None = None,
    graphs: bool = True,
) -> Compute:
    """Where and how a ticket was computed, some of it replaced.

    Args:
        plan: What is to be done.
        data: The data.
        device: Another device.
        precision: Another precision.
        threads: Another number of CPU threads.
        deterministic: Whether CUDA is to compute with deterministic algorithms alone.
        graphs: Whether a step is captured as a CUDA graph.

    Raises:
        RunError: If there is no such device, or it cannot compute so.
    """
    then = plan.environment
    return choose_compute(
        device or then.device,
        image_size=max(data.shape[1:]),
        threads=threads or then.threads,
        precision=precision or then.precision,  # type: ignore[arg-type]  # Compute takes what there is
        compiled=then.compiled,
        graphs=graphs,
        deterministic=then.deterministic if deterministic is None else deterministic,
    )


def _meant(ticket: Ticket, found: Ticket, trained: Ticket) -> Ticket:
    """Of the two tickets of final weights that a level has, the one that the ticket is made from.

    One is the level's own, at its end. With the learning rate alone rewound, what was found holds final weights too:
    those of the level before, under this level's mask.
    """
    if ticket.provenance.transformations:
        same = ticket.provenance.transformations[0].parent == found.id
    else:
        same = same_values(ticket, found)
    return found if same and found.weights.role == "final" else trained


def _done_again(ticket: Ticket, done: Transformation, settings: Settings) -> Ticket:
    named = parse_arch(done.target, num_classes=ticket.arch.num_classes, in_channels=ticket.arch.in_channels)
    within = replace(named, num_classes=ticket.arch.num_classes, in_channels=ticket.arch.in_channels)
    result = stretch_ticket(
        ticket,
        within,
        mapping=done.mapping,
        num_classes=settings.num_classes,
        in_channels=settings.in_channels,
        adjustments=settings.adjustments,
    )
    # The mapping says all that was done. How it was chosen is told as it was told.
    *before, last = result.provenance.transformations
    provenance = replace(result.provenance, transformations=(*before, replace(last, order=done.order)))
    return replace(result, provenance=provenance)
