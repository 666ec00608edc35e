"""How large a ticket's kept weights are, and where in their kernels they stand, stage by stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ticketkit.encoding import Bitmask
from ticketkit.ticket import Ticket

Counts = NDArray[np.int64]

BINS: Final = 128
_LEAST, _MOST = -6.0, 2.0
EDGES: Final = np.logspace(_LEAST, _MOST, BINS + 1)
"""Bounds of the bins of magnitudes, evenly spaced in their logarithm; what lies outside is in the first or the last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupWeights:
    """The kept weights of one stage, or of the layers of one role outside the stages.

    Attributes:
        name: "stem", "stage 0", …, "head", as in :class:`~ticketkit.report.sparsity.GroupSparsity`.
        magnitudes: How many kept weights have a magnitude in each bin of :data:`EDGES`, int64 [bins].
        zeros: Number of kept weights that are exactly zero, and are in no bin.
        kernel: Height and width of the kernels that are counted below, the group's largest; (1, 1) has none.
        places: How many of these kernels keep the weight at each of their places, int64 [height, width].
        occupied: How many of them keep 0, 1, … all of their weights, int64 [height · width + 1].
        by_chance: What ``occupied`` is expected to be if each layer kept as many weights at random places, float64.
    """

    name: str
    magnitudes: Counts
    zeros: int
    kernel: tuple[int, int]
    places: Counts
    occupied: Counts
    by_chance: NDArray[np.float64]

    @property
    def kernels(self) -> int:
        """Number of kernels that are counted."""
        return int(self.occupied.sum())


def group_weights(ticket: Ticket) -> tuple[GroupWeights, ...]:
    """Count a ticket's kept weights, one layer decoded at a time.

    Args:
        ticket: The ticket.

    Returns:
        One for each group that has a masked tensor, in execution order.
    """
    members: dict[str, list[Bitmask]] = {}
    for entry in ticket.arch.state():
        if isinstance(stored := ticket.stored[entry.name], Bitmask):
            name = entry.layer.role if entry.layer.stage is None else f"stage {entry.layer.stage}"
            members.setdefault(name, []).append(stored)
    return tuple(_counted(name, layers) for name, layers in members.items())


def _counted(name: str, layers: list[Bitmask]) -> GroupWeights:
    magnitudes, zeros = np.zeros(EDGES.size - 1, dtype=np.int64), 0
    kernel = max((_kernel(layer) for layer in layers), key=math.prod)
    area = math.prod(kernel)
    places, occupied = np.zeros(area, dtype=np.int64), np.zeros(area + 1, dtype=np.int64)
    by_chance = np.zeros(area + 1)
    for layer in layers:
        values = np.abs(layer.values.astype(np.float64))
        finite = values[np.isfinite(values) & (values > 0)]
        zeros += int(np.count_nonzero(values == 0))
        # Logarithms are binned by arithmetic, many times as quick as a search among unequal edges.
        place = (np.log10(finite) - _LEAST) / (_MOST - _LEAST) * magnitudes.size
        magnitudes += np.bincount(np.clip(place.astype(np.int64), 0, magnitudes.size - 1), minlength=magnitudes.size)
        if _kernel(layer) == kernel and area > 1:
            mask = layer.mask().reshape(-1, area)
            places += mask.sum(axis=0, dtype=np.int64)
            occupied += np.bincount(mask.sum(axis=1, dtype=np.int64), minlength=area + 1)
            by_chance += len(mask) * _binomial(area, layer.kept / layer.size)
    return GroupWeights(
        name=name,
        magnitudes=magnitudes,
        zeros=zeros,
        kernel=kernel,
        places=places.reshape(kernel),
        occupied=occupied,
        by_chance=by_chance,
    )


def _kernel(layer: Bitmask) -> tuple[int, int]:
    height, width = layer.shape[2:] if len(layer.shape) == 4 else (1, 1)  # noqa: PLR2004 - a matrix has no kernels
    return height, width


def _binomial(count: int, share: float) -> NDArray[np.float64]:
    """Chance of 0, 1, … ``count`` successes; a layer's kernels are too many to be told from drawing with return."""
    return np.array([math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)])
