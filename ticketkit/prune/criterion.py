"""What a pruning criterion is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A network to be pruned, and what a criterion may look at.

    Attributes:
        arch: The network.
        tensors: Every tensor of its ``state_dict``.
        mask: The weights that remain; only these are scored and only of these any is kept.
        batches: Gives labelled training images in batches, float32 [N, C, H, W] and int64 [N] on ``device``: the same
            ones at each call.
        device: Where gradients are computed.
        seed: Seed of whatever is drawn.
    """

    arch: ArchSpec
    tensors: Mapping[str, Array]
    mask: Mask
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    device: str = "cpu"
    seed: int = 0


Criterion = Callable[[Subject, int], Mask]
"""Takes a network and how many of its prunable weights to keep; gives a mask within its own of exactly so many."""

CRITERIA: Registry[Criterion] = Registry("pruning criterion", "ticketkit.prune", MaskError)
"""The criteria by name; each is one module of this package."""
