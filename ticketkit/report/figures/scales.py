"""Axes that show what matters: sparsities spread at the high end, accuracies near 100 %, differences near 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Scale = Callable[[ArrayLike], Floats]

LABEL_GAP = 0.045
"""Labels of ticks are at least this share of an axis apart."""

_LEAST_DENSITY = 1e-3
"""In per cent: nothing is drawn beyond 99.999 % sparsity."""

_LEAST_ERROR = 0.05
"""In points: where the logarithm of the error ends, so that 100 % accuracy has a place."""

WIDE_ACCURACIES = 15.0
"""Accuracies that are further apart, in points, are drawn by the logarithm of the error."""

WIDE_DIFFERENCES = 8.0
"""Differences that are further from zero, in points, are drawn by their logarithm beyond one point."""

_ACCURACIES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.5, 99.8, 100)


def sparsity_axis(axis: Axis, sparsities: Sequence[float], label: str = "sparsity (%)") -> None:
    """Make an axis of sparsities in per cent, by the logarithm of the density, with ticks at the given ones."""
    _set_scale(axis, (_log_density, _sparsity_of))
    least, most = float(_log_density(min(sparsities))), float(_log_density(max(sparsities)))
    margin = 0.04 * (most - least)
    _set_limits(axis, float(_sparsity_of(least - margin)), float(_sparsity_of(most + margin)))
    axis.set_major_locator(FixedLocator(_apart(sparsities, _log_density, LABEL_GAP)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}".removesuffix(".0")))
    axis.set_label_text(f"{label}, scaled by the logarithm of the density")


def accuracy_axis(axis: Axis, accuracies: Sequence[float], label: str = "test accuracy (%)") -> None:
    """Make an axis of accuracies in per cent: by the logarithm of the error where they are far apart.

    Args:
        axis: The axis.
        accuracies: What is drawn on it, in per cent, error bars included.
        label: Its label.
    """
    low, high = min(accuracies), min(max(accuracies), 100.0)
    if high - low <= WIDE_ACCURACIES:
        axis.set_label_text(label)
        margin = max(0.06 * (high - low), 0.1)
        _set_limits(axis, low - margin, high + margin)
        return
    _set_scale(axis, (_log_error, _accuracy_of))
    bottom, top = float(_log_error(max(low, 0.0))), float(_log_error(high))
    margin = 0.05 * (top - bottom)
    _set_limits(axis, float(_accuracy_of(bottom - margin)), float(_accuracy_of(top + margin)))
    ticks = [value for value in _ACCURACIES if bottom - margin <= _log_error(value) <= top + margin]
    axis.set_major_locator(FixedLocator(_apart(ticks, _log_error, LABEL_GAP)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_label_text(f"{label}, scaled by the logarithm of the error")


def difference_axis(axis: Axis, ends: Sequence[float], *, narrow: bool = False) -> str:
    """Make an axis of differences in points: linear within one point, by the logarithm beyond, where they are large.

    Args:
        axis: The axis.
        ends: What is drawn on it, in points, interval ends included.
        narrow: Whether there is little room for its labels.

    Returns:
        What its label must add about the scale; empty where that is linear.
    """
    low, high = min(0.0, *ends), max(0.0, *ends)
    if max(-low, high) <= WIDE_DIFFERENCES:
        margin = max(0.06 * (high - low), 0.1)
        _set_limits(axis, low - margin, high + margin)
        return ""
    _set_scale(axis, (_symmetric_log, _symmetric_exp))
    bottom, top = float(_symmetric_log(min(low, -1.0))), float(_symmetric_log(max(high, 1.0)))
    margin = 0.05 * (top - bottom)
    _set_limits(axis, float(_symmetric_exp(bottom - margin)), float(_symmetric_exp(top + margin)))
    sizes = (1.0, 10.0, 100.0) if narrow else (1.0, 3.0, 10.0, 30.0, 100.0)
    shown = sorted({0.0, *sizes, *(-size for size in sizes)})
    axis.set_major_locator(FixedLocator(shown))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FixedFormatter([signed(tick) for tick in shown]))
    return "; linear within ±1, logarithmic beyond"


def signed(value: float) -> str:
    """A number with its sign, the minus as long as the plus."""
    return f"{value:+g}".replace("-", "−") if value else "0"


def _set_scale(axis: Axis, functions: tuple[Scale, Scale]) -> None:
    if isinstance(axis, XAxis):
        axis.axes.set_xscale("function", functions=functions)
    else:
        axis.axes.set_yscale("function", functions=functions)


def _set_limits(axis: Axis, low: float, high: float) -> None:
    if isinstance(axis, XAxis):
        axis.axes.set_xlim(low, high)
    else:
        axis.axes.set_ylim(low, high)


def _apart(values: Iterable[float], scale: Scale, share: float) -> list[float]:
    """The values, from the largest down, that are further from the one before than a share of the whole."""
    falling = sorted(set(values), reverse=True)
    scaled = [float(scale(value)) for value in falling]
    gap = share * (scaled[0] - scaled[-1])
    kept: list[int] = []
    for place, value in enumerate(scaled):
        if not kept or scaled[kept[-1]] - value >= gap:
            kept.append(place)
    return [falling[place] for place in reversed(kept)]


def _log_density(sparsity: ArrayLike) -> Floats:
    return -np.log10(np.maximum(100.0 - np.asarray(sparsity, dtype=np.float64), _LEAST_DENSITY))


def _sparsity_of(scaled: ArrayLike) -> Floats:
    return 100.0 - 10.0 ** -np.asarray(scaled, dtype=np.float64)


def _log_error(accuracy: ArrayLike) -> Floats:
    return -np.log10(np.maximum(100.0 - np.asarray(accuracy, dtype=np.float64), _LEAST_ERROR))


def _accuracy_of(scaled: ArrayLike) -> Floats:
    return 100.0 - 10.0 ** -np.asarray(scaled, dtype=np.float64)


def _symmetric_log(points: ArrayLike) -> Floats:
    """Linear within ±1, ±(1 + log10 |x|) beyond: smooth in value, and one decade as long as one point."""
    values = np.asarray(points, dtype=np.float64)
    return np.where(np.abs(values) <= 1, values, np.sign(values) * (1 + np.log10(np.maximum(np.abs(values), 1))))


def _symmetric_exp(scaled: ArrayLike) -> Floats:
    values = np.asarray(scaled, dtype=np.float64)
    return np.where(np.abs(values) <= 1, values, np.sign(values) * 10.0 ** (np.maximum(np.abs(values), 1) - 1))
