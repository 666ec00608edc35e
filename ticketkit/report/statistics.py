"""What a handful of seeds can say: means, spreads, and paired differences with Student's t interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values.

    Attributes:
        mean: The mean.
        low: Lower end; None if there are fewer than two values.
        high: Upper end; None if there are fewer than two values.
        count: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low is not None and self.low > 0


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n − 1 in the denominator); None for fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def paired_difference(left: Sequence[float], right: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of ``left − right``, pair by pair, with its t interval.

    Args:
        left: One value a seed.
        right: One value for each of the same seeds, in the same order.
        confidence: In (0, 1).
    """
    differences = [a - b for a, b in zip(left, right, strict=True)]
    mean = fmean(differences)
    if len(differences) < 2:  # noqa: PLR2004 - one difference has no spread
        return Interval(mean=mean, low=None, high=None, count=len(differences))
    half = t_quantile(confidence, len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return Interval(mean=mean, low=mean - half, high=mean + half, count=len(differences))


def t_quantile(confidence: float, degrees: int) -> float:
    """The t for which Student's distribution has the mass ``confidence`` within ±t.

    Args:
        confidence: In (0, 1).
        degrees: Degrees of freedom, 1 or more.
    """
    high = 1.0
    while _mass_within(high, degrees) < confidence:
        high *= 2
    low = 0.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _mass_within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _mass_within(t: float, degrees: int) -> float:
    """Mass within ±t, by the finite series for whole degrees of freedom: Abramowitz and Stegun, 1964, 26.7.3-4."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine_squared = math.cos(angle) ** 2
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for step in range((degrees - 1) // 2 if odd else degrees // 2):
        total += term
        term *= cosine_squared * ((2 * step + 2) / (2 * step + 3) if odd else (2 * step + 1) / (2 * step + 2))
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
