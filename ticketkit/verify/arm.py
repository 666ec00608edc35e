"""What an arm of a comparison is: a mask and the weights to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ticketkit.errors import TicketkitError
from ticketkit.mask import Mask
from ticketkit.models.build import Tensors
from ticketkit.registry import Registry
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an arm may look at.

    Attributes:
        ticket: The ticket that is verified.
        batches: The data and the recipe.
        compute: Where and how to compute.
        seed: The arm's own seed: of this arm and this run alone.
    """

    ticket: Ticket
    batches: Batches
    compute: Compute
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Where an arm's training begins.

    Attributes:
        tensors: Every tensor of the network.
        mask: The kept weights; None for the dense network.
    """

    tensors: Tensors
    mask: Mask | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One line of a comparison.

    Attributes:
        summary: What it is, in one line.
        start: Makes the mask and the weights.
    """

    summary: str
    start: Callable[[Context], Start]


ARMS: Registry[Arm] = Registry("arm", "ticketkit.verify.arms", TicketkitError)
