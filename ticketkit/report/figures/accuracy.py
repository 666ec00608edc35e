"""Accuracy: over the sparsity, one curve an arm (the paper's Figure 6), or at one sparsity, one row an arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ticketkit.report.comparison import TICKET
from ticketkit.report.figures.panels import INCHES_A_ROW, label_rows
from ticketkit.report.figures.scales import accuracy_axis, sparsity_axis
from ticketkit.report.figures.style import Entry, Look, legend_at_right, look_of, new_figure, shortened, styled
from ticketkit.report.grouping import Curve, Target
from ticketkit.report.statistics import deviation, t_quantile

SEEDS_BELOW = 0.28
"""How far below its row's line a seed's dot is, so that the mean's marker does not hide it."""


@styled
def accuracy_curves(target: Target) -> Figure:
    """Test accuracy over sparsity: mean over the seeds, bars of one standard deviation, one curve an arm.

    A network that is not pruned is a horizontal line with a band. The legend is sorted as the curves end at the right.
    For a target with more than one sparsity.
    """
    curves = target.curves
    figure = new_figure(max(5.6, 0.8 + 0.2 * len(curves)))
    axes = figure.add_subplot()
    arms = [curve.arm for curve in curves]
    entries: list[Entry] = []
    drawn: list[float] = []
    for curve in sorted(curves, key=lambda curve: -curve.rows[-1].arm.mean):
        look = look_of(curve.arm, curve.variant, arms)
        means = [100 * row.arm.mean for row in curve.rows]
        spreads = [100 * (row.arm.deviation or 0.0) for row in curve.rows]
        drawn += [end for mean, spread in zip(means, spreads, strict=True) for end in (mean - spread, mean + spread)]
        artist = _flat(axes, look, means[0], spreads[0]) if curve.is_flat else _curve(axes, curve, look, means, spreads)
        entries.append(Entry(drawn=artist, label=shortened(curve.label), bold=curve.arm == TICKET))
    accuracy_axis(axes.yaxis, drawn)
    sparsity_axis(axes.xaxis, [100 * level.sparsity for level in target.levels])
    axes.set_title(f"{target.title}: mean ± standard deviation over the seeds", loc="left")
    legend_at_right(axes, entries)
    return figure


@styled
def accuracy_dots(target: Target) -> Figure:
    """Test accuracy at one sparsity: every seed, their mean and its 95 % interval, sorted by the mean.

    For a target with one sparsity; of more, only the first is drawn.
    """
    level = target.levels[0]
    rows = sorted(level.rows, key=lambda row: row.arm.mean)
    figure = new_figure(1.1 + INCHES_A_ROW * len(rows))
    axes = figure.add_subplot()
    arms = [row.arm.name for row in level.rows]
    drawn: list[float] = []
    for place, row in enumerate(rows):
        look = look_of(row.arm.name, row.variant, arms)
        values = [100 * value for value in row.arm.accuracies]
        mean, half = fmean(values), half_width(values)
        drawn += [*values, mean - half, mean + half]
        if half:
            axes.plot([mean - half, mean + half], [place, place], color=look.color, linewidth=2.0, zorder=2)
        below = [place - SEEDS_BELOW] * len(values)
        axes.plot(values, below, "o", color=look.color, markerfacecolor="none", markersize=3.6, zorder=4)
        axes.plot([mean], [place], look.marker, color=look.color, markerfacecolor=look.face, markersize=8, zorder=3)
    label_rows(axes, [row.label for row in rows], {row.label for row in rows if row.is_ticket})
    axes.tick_params(axis="y", length=0)
    accuracy_axis(axes.xaxis, drawn)
    what = "mean, its 95 % interval, and every seed" if any(len(row.arm.runs) > 1 for row in rows) else "one seed"
    axes.set_title(f"{target.title}, {level.title} sparse: {what}", loc="left")
    return figure


def half_width(values: Sequence[float], confidence: float = 0.95) -> float:
    """Half of the mean's interval by Student's t; 0 for one value, which has none."""
    spread = deviation(values)
    return 0.0 if spread is None else t_quantile(confidence, len(values) - 1) * spread / math.sqrt(len(values))


def _flat(axes: Axes, look: Look, mean: float, spread: float) -> Line2D:
    if spread:
        axes.axhspan(mean - spread, mean + spread, color=look.color, alpha=0.2, linewidth=0, zorder=1)
    return axes.axhline(mean, color=look.color, linestyle=look.dash, linewidth=2.0, zorder=1.5)


def _curve(axes: Axes, curve: Curve, look: Look, means: list[float], spreads: list[float]) -> ErrorbarContainer:
    return axes.errorbar(
        [100 * (row.sparsity or 0.0) for row in curve.rows],
        means,
        yerr=spreads if any(spreads) else None,
        color=look.color,
        marker=look.marker,
        markerfacecolor=look.face,
        linestyle=look.dash,
        linewidth=look.width,
        elinewidth=0.9,
        capsize=2.0,
        zorder=3 if curve.arm == TICKET else 2,
    )
