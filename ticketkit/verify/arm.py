"""What an arm of a comparison is: a mask, the weights to start from, and whatever differs in its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.errors import TicketkitError
from ticketkit.find import Rewinding, full_mask
from ticketkit.mask import BoolArray, Mask
from ticketkit.models.build import Tensors
from ticketkit.provenance import Flops
from ticketkit.recipe import Recipe
from ticketkit.registry import Registry
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute
from ticketkit.train.rewiring import Rewiring
from ticketkit.verify.bench import Bench
from ticketkit.verify.lineage import Stages

NOTHING = Flops(sparse=0.0, dense=0.0)

DependsOn = Literal["network", "count", "ticket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The network that a comparison is about, and how much of it every arm keeps.

    Attributes:
        arch: The network.
        prunable: Names of its prunable tensors.
        kept: How many of their weights are kept.
    """

    arch: ArchSpec
    prunable: tuple[str, ...]
    kept: int

    @classmethod
    def of(cls, ticket: Ticket) -> Target:
        """The network and count of a ticket."""
        return cls(arch=ticket.arch, prunable=tuple(ticket.mask), kept=ticket.kept)

    @classmethod
    def at(cls, arch: ArchSpec, sparsity: float) -> Target:
        """A network with what its family prunes, at a sparsity in [0, 1]."""
        everything = cls(arch=arch, prunable=arch.prunable_names(), kept=0)
        return replace(everything, kept=round((1 - sparsity) * everything.total))

    @property
    def total(self) -> int:
        """Number of its prunable weights."""
        return _prunable_weights(self.arch, self.prunable)

    def full_mask(self) -> Mask:
        """The mask that prunes nothing."""
        return full_mask(self.arch, self.prunable)


@lru_cache(maxsize=256)
def _prunable_weights(arch: ArchSpec, prunable: tuple[str, ...]) -> int:
    return sum(entry.tensor.size for entry in arch.state() if entry.name in prunable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an arm may look at.

    Attributes:
        target: The network, and how many of its weights to keep.
        ticket: The ticket that is verified; None for an arm that does not depend on it.
        dense: Every weight of the network that the ticket is a part of, where it is known: a ticket's file does not
            hold the weights that were pruned.
        batches: The data and the recipe.
        compute: Where and how to compute.
        seed: The arm's own seed: of this arm and this run alone.
        bench: What the arms of a run share: the network's rewind weights, IMP on it.
        dst_multiplier: How many times longer dynamic sparse training takes.
    """

    target: Target
    ticket: Ticket | None
    batches: Batches
    compute: Compute
    seed: int
    bench: Bench
    dense: Tensors | None = None
    dst_multiplier: int = 5

    @property
    def given(self) -> Ticket:
        """The ticket, for arms that depend on it.

        Raises:
            TicketkitError: If there is none.
        """
        if self.ticket is None:
            raise TicketkitError("an arm that depends on a ticket must be given one (got none)")
        return self.ticket


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Where an arm's training begins.

    Attributes:
        tensors: Every tensor of the network.
        mask: The kept weights; None for a dense network.
        arch: The network, where it is not the target.
        recipe: How it is trained, where that is not as all others are.
        first_step: The step of the schedule it starts at, where that is not as all others do.
        rewiring: How connections are exchanged during training; None keeps the mask.
        setup: What had to be computed before.
    """

    tensors: Tensors
    mask: Mask | None
    arch: ArchSpec | None = None
    recipe: Recipe | None = None
    first_step: int | None = None
    rewiring: Rewiring | None = None
    setup: Flops = NOTHING


def no_obstacle(_target: Target, _stages: Stages | None) -> None:
    """Nothing keeps an arm from being trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One line of a comparison.

    Attributes:
        summary: What it is, in one line.
        start: Makes the mask and the weights.
        depends_on: What makes it another arm: another ``network``, another ``count`` of kept weights too, or another
            ``ticket``. A study trains an arm once for all tickets that it does not depend on.
        lengthened: Whether its training takes ``dst_multiplier`` times as long.
        finds: The IMP run on the network that it needs, which a study makes before; None if it needs none.
        obstacle: Says what keeps it from being trained for a target, or for a ticket with this mapping (None for one
            that was not stretched), as the end of "there must be …"; None if nothing does.
    """

    summary: str
    start: Callable[[Context], Start]
    depends_on: DependsOn = "ticket"
    lengthened: bool = False
    finds: Rewinding | None = None
    obstacle: Callable[[Target, Stages | None], str | None] = no_obstacle


ARMS: Registry[Arm] = Registry("arm", "ticketkit.verify.arms", TicketkitError)


def permuted(mask: BoolArray, seed: int, name: str) -> BoolArray:
    """A layer's mask in a random order: as many weights, elsewhere."""
    generator = np.random.default_rng(derive_seed(seed, "mask", name))
    return generator.permutation(mask.reshape(-1)).reshape(mask.shape)


def filled(context: Context, fresh: Tensors) -> dict[str, Array]:
    """A ticket's tensors with every weight that its file lacks: the dense network's where known, else fresh ones."""
    ticket = context.given
    others = fresh if context.dense is None else context.dense
    tensors = dict(ticket.tensors)
    for name, mask in ticket.mask.items():
        tensors[name] = np.where(mask, tensors[name], others[name].astype(tensors[name].dtype))
    return tensors
