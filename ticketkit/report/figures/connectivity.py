"""Linear mode connectivity: accuracy and loss along the line between two trainings of one ticket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ticketkit.report.connection import STABLE_BELOW, Connection, Point
from ticketkit.report.figures.style import (
    BLACK,
    BLUE,
    DASH_DOT,
    DASHED,
    DOTTED,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    SOLID,
    Dash,
    Entry,
    legend_at_right,
    new_figure,
    shortened,
    styled,
)

_LOOKS: tuple[tuple[str, Dash, str], ...] = (
    (BLACK, SOLID, "o"),
    (BLUE, DASHED, "s"),
    (RED, DASH_DOT, "D"),
    (SKY, SOLID, "^"),
    (GREEN, DOTTED, "v"),
    (ORANGE, DASHED, "h"),
    (PINK, DASH_DOT, "X"),
)
_LEAST_SPAN = 10.0
"""The axis of accuracies shows at least so many points, so that noise does not look like a valley."""


@styled
def connectivity(connections: Sequence[Connection], title: str) -> Figure:
    """Test accuracy and test loss over α, from one training (0) to the other (1).

    A thin line is one pair of trainings, a thick one the mean of several. Markers at the ends are the accuracies that
    the trainings themselves ended with. The barrier, in points, is drawn at the lowest point and named in the legend.

    Args:
        connections: One or more, on one network.
        title: What they have in common.
    """
    figure = new_figure(4.4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    entries = []
    lowest = 100.0
    highest = 0.0
    for number, connection in enumerate(connections):
        color, dash, marker = _LOOKS[number % len(_LOOKS)]
        line = _lines(left, connection, lambda point: 100 * point.accuracy, color, dash)
        _lines(right, connection, lambda point: point.loss, color, dash)
        for curve in connection.curves:
            ends = [100 * end for end in curve.ends]
            left.plot([0, 1], ends, marker, color=color, markersize=7, clip_on=False, zorder=4)
            accuracies = [*ends, *(100 * point.accuracy for point in curve.points)]
            lowest, highest = min(lowest, *accuracies), max(highest, *accuracies)
        _barrier(left, connection, color)
        barriers = "barrier" if len(connection.curves) == 1 else "mean barrier"
        label = f"{shortened(connection.name)}\n{barriers} {100 * connection.barrier:.2f} points"
        entries.append(Entry(drawn=line, label=label))
    spare = max(_LEAST_SPAN - (highest - lowest), 0.1 * (highest - lowest)) / 2
    left.set_ylim(max(lowest - spare, 0.0), min(highest + spare, 100.5))
    left.set_ylabel("test accuracy (%)")
    right.set_ylim(bottom=0.0)
    right.set_ylabel("test loss (cross-entropy, nats)")
    for axes in (left, right):
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("α: 0 is one training, 1 the other")
    figure.suptitle(f"{title}: along the line between two trainings", x=0.01, ha="left", fontsize=10)
    legend_at_right(right, entries)
    return figure


def _lines(axes: Axes, connection: Connection, value: Callable[[Point], float], color: str, dash: Dash) -> Line2D:
    """Draw each pair's line, and where there are several their mean; give the one that a legend shows."""
    alphas = [[point.alpha for point in curve.points] for curve in connection.curves]
    values = [[value(point) for point in curve.points] for curve in connection.curves]
    alone = len(values) == 1
    for places, line in zip(alphas, values, strict=True):
        (drawn,) = axes.plot(
            places, line, color=color, linestyle=dash, linewidth=1.8 if alone else 0.8, alpha=1.0 if alone else 0.6
        )
    if not alone and all(places == alphas[0] for places in alphas):
        means = [fmean(column) for column in zip(*values, strict=True)]
        (drawn,) = axes.plot(alphas[0], means, color=color, linestyle=dash, linewidth=2.2)
    return drawn


def _barrier(axes: Axes, connection: Connection, color: str) -> None:
    """Draw the largest of the pairs' barriers: from the mean of the line's ends down to its lowest point."""
    curve = max(connection.curves, key=lambda curve: curve.barrier)
    low = 100 * curve.lowest.accuracy
    high = low + 100 * curve.barrier
    axes.plot([curve.lowest.alpha] * 2, [low, high], "_-", color=color, linewidth=1.0, markersize=9, zorder=3)
    if curve.barrier >= STABLE_BELOW:
        axes.annotate(
            f"{100 * curve.barrier:.1f} points",
            (curve.lowest.alpha, (low + high) / 2),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=color,
        )
