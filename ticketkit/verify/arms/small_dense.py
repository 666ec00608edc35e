"""A smaller dense network of the family, with no more parameters than the ticket keeps: is sparsity worth it?"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from ticketkit.arch import FAMILIES, ArchSpec
from ticketkit.errors import ArchError
from ticketkit.models import initialise
from ticketkit.verify.arm import ARMS, Arm, Context, Start, Target
from ticketkit.verify.lineage import Stages


def start(context: Context) -> Start:
    """Fresh weights, dense, the whole schedule: it has no rewind weights in common with the others."""
    arch = small_network(context.target)
    if arch is None:
        raise ArchError(f"there must be {obstacle(context.target, None)}")
    return Start(tensors=initialise(arch, context.seed), mask=None, arch=arch, first_step=0)


def small_network(target: Target) -> ArchSpec | None:
    """The widest network of the target's depth that fits, or of the greatest lesser depth of which one does."""
    budget = target.arch.parameters - target.total + target.kept
    depths = [d for d in range(target.arch.depth, 0, -1) if FAMILIES[target.arch.family].has_depth(d)]
    return next((found for depth in depths if (found := _widest(target.arch, depth, budget)) is not None), None)


@lru_cache(maxsize=256)
def _widest(arch: ArchSpec, depth: int, budget: int) -> ArchSpec | None:
    low, high = 0, arch.width
    while low < high:  # parameters grow with the width
        width = (low + high + 1) // 2
        if _fits(arch, depth, width, budget):
            low = width
        else:
            high = width - 1
    return replace(arch, depth=depth, width=low) if low else None


def _fits(arch: ArchSpec, depth: int, width: int, budget: int) -> bool:
    try:
        return replace(arch, depth=depth, width=width).parameters <= budget
    except ArchError:  # the family has no such network
        return False


def obstacle(target: Target, _stages: Stages | None) -> str | None:
    """Where even the smallest network of the family is larger, there is none."""
    if small_network(target) is not None:
        return None
    return f"a network of the family with no more parameters than the ticket keeps ({target.kept:,} prunable weights)"


ARMS.register(
    "small-dense",
    Arm(summary="a dense network with as many parameters", start=start, depends_on="count", obstacle=obstacle),
)
