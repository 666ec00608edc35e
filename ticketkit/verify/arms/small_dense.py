"""A smaller dense network of the family, with no more parameters than the ticket keeps: is sparsity worth it?"""

from __future__ import annotations

from bisect import bisect_right
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
    networks = [found for width in range(1, arch.width + 1) if (found := _network(arch, depth, width)) is not None]
    fitting = bisect_right(networks, budget, key=lambda network: network.parameters)  # they grow with the width
    return networks[fitting - 1] if fitting else None


def _network(arch: ArchSpec, depth: int, width: int) -> ArchSpec | None:
    try:
        return replace(arch, depth=depth, width=width)
    except ArchError:  # the family has no such network, as a transformer whose heads would not share the width
        return None


def obstacle(target: Target, _stages: Stages | None) -> str | None:
    """Where even the smallest network of the family is larger, there is none."""
    if small_network(target) is not None:
        return None
    return f"a network of the family with no more parameters than the ticket keeps ({target.kept:,} prunable weights)"


ARMS.register(
    "small-dense",
    Arm(summary="a dense network with as many parameters", start=start, depends_on="count", obstacle=obstacle),
)
