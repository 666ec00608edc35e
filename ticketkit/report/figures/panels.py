"""Charts with a row for each arm and a panel for each level of sparsity, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ticketkit.report.figures.style import new_figure, shortened
from ticketkit.report.grouping import Level, Row, Target

INCHES_A_ROW = 0.25
PANELS_ABREAST = 5
"""More of them are too narrow for the labels of their axes."""


def level_panels(
    target: Target, levels: Sequence[Level], labels: Sequence[str], title: str
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with an empty panel for each level, whose rows are the labels from the bottom up.

    Args:
        target: What is reported.
        levels: The levels that have something to show.
        labels: The rows' labels; tickets' are set in bold.
        title: What stands above it all, behind the target's.

    Returns:
        The figure, and its panels by the titles of their levels.
    """
    abreast = min(len(levels), PANELS_ABREAST)
    deep = math.ceil(len(levels) / abreast)
    figure = new_figure(deep * (0.75 + INCHES_A_ROW * len(labels)) + 0.4)
    grid = figure.subplots(deep, abreast, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes, level in zip(panels, levels, strict=False):
        axes.set_title(f"{level.title} sparse", loc="left")
        axes.tick_params(labelbottom=True)
    for spare in panels[len(levels) :]:
        spare.set_axis_off()
    tickets = {row.label for row in target.rows if row.is_ticket}
    for row_of_panels in grid:
        label_rows(row_of_panels[0], labels, tickets)
    figure.suptitle(f"{target.title}: {title}", x=0.01, ha="left", fontsize=10)
    return figure, {level.title: axes for level, axes in zip(levels, panels, strict=False)}


def label_rows(axes: Axes, labels: Sequence[str], bold: set[str]) -> None:
    """Name the rows of a chart at the left, from the bottom up."""
    axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
    axes.set_ylim(-0.7, len(labels) - 0.3)
    axes.tick_params(axis="y", length=0)
    for text, label in zip(axes.get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if label in bold else "normal")


def sorted_labels(rows: Sequence[Row], value: Callable[[Row], float]) -> list[str]:
    """The labels of rows by the mean of a value over their levels, the lowest first."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row.label, []).append(value(row))
    return sorted(values, key=lambda label: sum(values[label]) / len(values[label]))
