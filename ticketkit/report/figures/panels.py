"""Charts with a row for each arm and a panel for each level of sparsity, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ticketkit.report.figures.style import new_figure, shortened
from ticketkit.report.grouping import Level, Target

INCHES_A_ROW = 0.25
PANELS_ABREAST = 5
"""More of them are too narrow for the labels of their axes."""


def level_panels(
    target: Target, levels: Sequence[Level], labels: Sequence[str], title: str
) -> tuple[Figure, list[Axes]]:
    """A figure with an empty panel for each level, whose rows are the labels from the bottom up.

    Args:
        target: What is reported.
        levels: The levels that have something to show.
        labels: The rows' labels; tickets' are set in bold.
        title: What stands above it all, behind the target's.

    Returns:
        The figure, and a panel for each of the levels.
    """
    abreast = min(len(levels), PANELS_ABREAST)
    deep = math.ceil(len(levels) / abreast)
    figure = new_figure(deep * (0.75 + INCHES_A_ROW * len(labels)) + 0.4)
    grid = figure.subplots(deep, abreast, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes, level in zip(panels, levels, strict=False):
        axes.set_title(f"{level.title} sparse", loc="left")
        axes.tick_params(axis="x", labelbottom=True)
        axes.tick_params(axis="y", length=0)
    for spare in panels[len(levels) :]:
        spare.set_axis_off()
    tickets = {row.label for row in target.rows if row.is_ticket}
    for row_of_panels in grid:
        label_rows(row_of_panels[0], labels, tickets)
    figure.suptitle(f"{target.title}: {title}", x=0.01, ha="left", fontsize=10)
    return figure, panels[: len(levels)]


def label_rows(axes: Axes, labels: Sequence[str], bold: set[str]) -> None:
    """Name the rows of a chart at the left, from the bottom up."""
    axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
    axes.set_ylim(-0.7, len(labels) - 0.3)
    for text, label in zip(axes.get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if label in bold else "normal")


def sorted_labels(values: Iterable[tuple[str, float]]) -> list[str]:
    """The labels of labelled values, each once, by the mean of its values, the lowest first."""
    found: dict[str, list[float]] = {}
    for label, value in values:
        found.setdefault(label, []).append(value)
    return sorted(found, key=lambda label: fmean(found[label]))
