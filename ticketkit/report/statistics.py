"""What a handful of seeds can say: means, spreads, paired differences with Student's t interval, non-inferiority."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

MOST_SEEDS_NEEDED = 1_000
"""Beyond this many seeds nobody asks for an exact number."""

_ROUNDING = 1e-9
"""A billionth of a test set: smaller distances come from floating point, not from images."""


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


State = Literal["held", "not held", "not enough seeds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiority:
    """Whether one thing is no more than a margin worse than another.

    Attributes:
        state: ``held`` if the whole interval of the difference is above −margin, ``not held`` if all of it is below,
            else ``not enough seeds``.
        interval: The paired difference, in the unit of the values.
        margin: The margin, in the same unit.
        seeds_needed: How many seeds it would take to tell, if mean and spread stayed as they are; None if it is told
            already, if one value says nothing of the spread, or if it would take more than
            :data:`MOST_SEEDS_NEEDED`: no number is enough where the mean lies on the margin itself.
    """

    state: State
    interval: Interval
    margin: float
    seeds_needed: int | None


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


def non_inferiority(
    left: Sequence[float], right: Sequence[float], margin: float, confidence: float = 0.95
) -> NonInferiority:
    """Test whether ``left`` is no more than a margin below ``right``, by the interval of the paired difference.

    The test is as strict as a one-sided one of half the error: 2.5 % for the interval of 95 % (ICH E9, 1998, section
    3.3.2).

    Args:
        left: One value a seed.
        right: One value for each of the same seeds, in the same order.
        margin: How far below still counts as no worse, 0 or more.
        confidence: In (0, 1).
    """
    interval = paired_difference(left, right, confidence)
    low, high = interval.low, interval.high
    if low is None or high is None:
        return NonInferiority(state="not enough seeds", interval=interval, margin=margin, seeds_needed=None)
    if low + margin > _ROUNDING:
        return NonInferiority(state="held", interval=interval, margin=margin, seeds_needed=None)
    if high + margin < -_ROUNDING:
        return NonInferiority(state="not held", interval=interval, margin=margin, seeds_needed=None)
    spread = stdev([a - b for a, b in zip(left, right, strict=True)])
    needed = _seeds_to_tell(spread, abs(interval.mean + margin), interval.count, confidence)
    return NonInferiority(state="not enough seeds", interval=interval, margin=margin, seeds_needed=needed)


def _seeds_to_tell(spread: float, distance: float, count: int, confidence: float) -> int | None:
    """Smallest number of seeds, above ``count``, whose interval's half width is below ``distance``."""

    def tells(seeds: int) -> bool:
        return t_quantile(confidence, seeds - 1) * spread / math.sqrt(seeds) < distance - _ROUNDING

    # The half width falls with every seed, so the first number that tells is found by halving.
    low, high = count + 1, MOST_SEEDS_NEEDED
    if low > high or not tells(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle + 1, high)
    return low


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
