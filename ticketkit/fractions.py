"""Density and sparsity: what follows from how many of the prunable weights are kept."""

from __future__ import annotations

from typing import Protocol


class Counted(Protocol):
    """Anything that says how many prunable weights it has, and how many of them are kept."""

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        ...

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        ...


class WithFractions:
    """Gives what is :class:`Counted` its two fractions. The prunable weights are the denominator of both."""

    __slots__ = ()

    @property
    def density(self: Counted) -> float:
        """Kept fraction of the prunable weights, in [0, 1]."""
        return self.kept / self.total

    @property
    def sparsity(self: Counted) -> float:
        """Pruned fraction of the prunable weights, in [0, 1]."""
        return 1 - self.kept / self.total


def percent(fraction: float) -> str:
    """A fraction as a percentage with two decimals; what is not quite all or nothing never reads so."""
    rounded = round(100 * fraction, 2)
    if 0 < fraction < 1:
        rounded = min(max(rounded, 0.01), 99.99)
    return f"{rounded:.2f} %"
