"""Differences to the arm that all are compared with, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ticketkit.report.comparison import TICKET
from ticketkit.report.figures.panels import level_panels, sorted_labels
from ticketkit.report.figures.scales import difference_axis
from ticketkit.report.figures.style import look_of, styled
from ticketkit.report.grouping import Level, Row, Target, compared_with
from ticketkit.report.statistics import Interval


@styled
def differences(target: Target) -> Figure | None:
    """Each arm's difference to the reference in points with its 95 % interval, a panel a level.

    The band is the margin that the elastic hypothesis allows the ticket. None if nothing can be compared.
    """
    shown = {level.title: _compared(level.rows) for level in target.levels}
    levels = [level for level in target.levels if shown[level.title]]
    if not levels:
        return None
    every = [pair for pairs in shown.values() for pair in pairs]
    labels = sorted_labels([row for row, _ in every], lambda row: _mean(row.difference))
    references = list(dict.fromkeys(compared_with(report) for level in levels for report in level.reports))
    named = " or ".join(references)
    figure, panels = level_panels(target, levels, labels, f"difference to {named}, paired by seed, 95 % interval")
    arms = [row.arm.name for row, _ in every]
    for level in levels:
        axes = panels[level.title]
        _allow(axes, level)
        for row, interval in shown[level.title]:
            _draw(axes, labels.index(row.label), row, interval, arms)
    ends = [100 * end for _, found in every for end in (found.low, found.mean, found.high) if end is not None]
    first = next(iter(panels.values()))
    difference_axis(first.xaxis, [*ends, *(-100 * report.margin for level in levels for report in level.reports)], "")
    figure.supxlabel(f"difference to {named} in points" + first.xaxis.get_label_text(), fontsize=9)
    return figure
