"""Training one arm of a comparison once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from ticketkit.arch import ArchSpec
from ticketkit.models import instantiate
from ticketkit.models.build import Tensors
from ticketkit.report.runs import Cost, Run
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, accuracy_of, recalibrate, train
from ticketkit.train.flops import training_flops
from ticketkit.train.loop import Spent
from ticketkit.train.memory import PeakMemory, peak_memory
from ticketkit.verify.arm import Arm, Context, Start, Target
from ticketkit.verify.bench import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one training of one arm gave.

    Attributes:
        run: Its accuracy and cost.
        kept: Weights that were kept: of the prunable ones, or all parameters of another, dense network.
        architecture: Its network's name.
        spent: Where the time of its training went.
    """

    run: Run
    kept: int
    architecture: str
    spent: Spent = field(default_factory=Spent)


def run_arm(
    name: str,
    arm: Arm,
    *,
    target: Target,
    ticket: Ticket | None,
    bench: Bench,
    seed: int,
    first_step: int,
    dense: Tensors | None = None,
    dst_multiplier: int = 5,
    alone: bool = True,
    on_epoch: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train one arm once. What it gives follows from its arguments alone, not from which other arms there are.

    Args:
        name: The arm's name, from which its own seed is derived.
        arm: The arm.
        target: The network, and how many of its weights to keep.
        ticket: The ticket, if the arm depends on one.
        bench: What it shares with other arms of this seed.
        seed: The run's seed.
        first_step: The step of the schedule to start at, unless the arm says another.
        dense: Every weight of the network that the ticket is a part of, where it is known.
        dst_multiplier: How many times longer dynamic sparse training takes.
        alone: Whether nothing else computes in this process meanwhile; if not, its memory cannot be told.
        on_epoch: Called after each epoch.
    """
    batches, compute = bench.batches, bench.compute
    begin = arm.start(
        context_of(
            name, target=target, ticket=ticket, bench=bench, seed=seed, dense=dense, dst_multiplier=dst_multiplier
        )
    )
    arch = begin.arch or target.arch
    own = batches if begin.recipe is None else batches.with_recipe(begin.recipe)
    step = first_step if begin.first_step is None else begin.first_step
    with peak_memory(compute) if alone else nullcontext(PeakMemory()) as memory:
        trained = train(
            arch,
            begin.tensors,
            begin.mask,
            own,
            seed=derive_seed(seed, "verify"),
            compute=compute,
            first_step=step,
            rewiring=begin.rewiring,
            on_epoch=on_epoch,
        )
    run = Run(
        seed=seed,
        accuracy=trained.accuracy,
        untrained=_untrained(arch, begin, batches, compute),
        loss=trained.loss,
        seconds=trained.seconds,
        top5=trained.top5,
        cost=_cost(arch, begin, own, step, trained.images_per_second, memory.bytes),
    )
    kept = target.total if begin.mask is None else begin.mask.kept
    return Outcome(
        run=run,
        kept=kept if begin.arch is None else arch.parameters,
        architecture=arch.name,
        spent=trained.spent,
    )


def context_of(
    name: str,
    *,
    target: Target,
    ticket: Ticket | None,
    bench: Bench,
    seed: int,
    dense: Tensors | None = None,
    dst_multiplier: int = 5,
) -> Context:
    """What an arm of this name may look at; see :func:`run_arm` for the arguments."""
    return Context(
        target=target,
        ticket=ticket,
        batches=bench.batches,
        compute=bench.compute,
        seed=derive_seed(seed, "arm", name),
        bench=bench,
        dense=dense,
        dst_multiplier=dst_multiplier,
    )


def network_seed(seed: int) -> int:
    """Seed of a run's network: its initialisation, its first steps, IMP on it; small enough for a ticket's document."""
    return derive_seed(seed, "network") >> 10


def _cost(
    arch: ArchSpec, begin: Start, batches: Batches, first_step: int, images_per_second: float, memory: int | None
) -> Cost:
    shape, batch = batches.data.shape, batches.recipe.batch
    total = batches.recipe.total_steps(batches.steps_per_epoch)
    flops = training_flops(arch, shape, begin.mask, (total - first_step) * batch)
    sparse = flops.sparse
    if begin.rewiring is not None:
        # To exchange connections, the gradient of every weight is computed (RigL, appendix H).
        extra = training_flops(arch, shape, begin.mask, begin.rewiring.count(total) * batch, passes=1)
        sparse += (extra.dense - extra.sparse) if begin.rewiring.grow == "gradient" else 0.0
    return Cost(
        flops=sparse,
        dense_flops=flops.dense,
        setup_flops=begin.setup.sparse,
        setup_dense_flops=begin.setup.dense,
        images_per_second=images_per_second,
        peak_memory=memory,
    )


def _untrained(arch: ArchSpec, begin: Start, batches: Batches, compute: Compute) -> float:
    """Accuracy before training. The running statistics of a stretched ticket do not fit it, so a copy gets its own."""
    with compute.applied():
        tensors = begin.mask.applied_to(begin.tensors) if begin.mask is not None else begin.tensors
        model = instantiate(arch, tensors, compute.device)
        return accuracy_of(recalibrate(model, batches, compute), batches, compute)
