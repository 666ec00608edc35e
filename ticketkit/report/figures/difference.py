"""Differences to the arm that all are compared with, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ticketkit.report.comparison import TICKET
from ticketkit.report.figures.panels import level_panels, sorted_labels
from ticketkit.report.figures.scales import difference_axis
from ticketkit.report.figures.style import look_of, styled
from ticketkit.report.grouping import Level, Row, Target, compared_text, compared_with
from ticketkit.report.statistics import Interval


@styled
def differences(target: Target) -> Figure | None:
    """Each arm's difference to the reference in points with its 95 % interval, a panel a level.

    The band is the margin that the elastic hypothesis allows the ticket. None if there is nothing to compare.
    """
    shown = [(level, pairs) for level in target.levels if (pairs := _compared(level))]
    if not shown:
        return None
    every = [pair for _, pairs in shown for pair in pairs]
    labels = sorted_labels([(row.label, interval.mean) for row, interval in every])
    levels = [level for level, _ in shown]
    reference = compared_text(report for level in levels for report in level.reports)
    figure, panels = level_panels(target, levels, labels, f"difference to {reference}, paired by seed, 95 % interval")
    arms = [row.arm.name for row, _ in every]
    ends: list[float] = []
    for axes, (level, pairs) in zip(panels, shown, strict=True):
        ends += _allow(axes, level)
        for row, interval in pairs:
            ends += _draw(axes, labels.index(row.label), row, interval, arms)
    scale = difference_axis(panels[0].xaxis, ends, narrow=len(panels) > 1)
    figure.supxlabel(f"difference to {reference} in percentage points{scale}", fontsize=9)
    return figure


def _compared(level: Level) -> list[tuple[Row, Interval]]:
    return [(row, difference) for row in level.rows if (difference := row.difference) is not None]


def _allow(axes: Axes, level: Level) -> list[float]:
    """Draw the line of no difference, and the margin where there is a reference to hold it against."""
    axes.axvline(0, color="#333333", linewidth=1.0, zorder=1.5)
    margins = [100 * report.margin for report in level.reports if compared_with(report) != TICKET]
    if not margins:
        return []
    axes.axvspan(-max(margins), 0, color="#9a9a9a", alpha=0.35, linewidth=0, zorder=1)
    return [-max(margins)]


def _draw(axes: Axes, place: int, row: Row, interval: Interval, arms: Sequence[str]) -> list[float]:
    """Draw one arm's difference, and give the ends of what was drawn, in points."""
    look = look_of(row.arm.name, row.variant, arms)
    mean = 100 * interval.mean
    axes.plot([mean], [place], look.marker, color=look.color, markerfacecolor=look.face, markersize=6, zorder=3)
    if interval.low is None or interval.high is None:
        return [mean]
    low, high = 100 * interval.low, 100 * interval.high
    axes.plot([low, high], [place, place], color=look.color, linewidth=1.8, solid_capstyle="butt", zorder=2)
    return [low, high]
