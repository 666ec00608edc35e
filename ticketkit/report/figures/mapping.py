"""Which source unit each target unit came from, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ticketkit.report.figures.style import BLUE, RED, new_figure, styled
from ticketkit.stretch import StageMap

UNITS_ABREAST = 26
"""Units that fit beside each other; stages that need more begin a new line."""

LABELLED_UNITS = 60
"""Units of which so many stand beside each other have no names."""

MOST_UNITS = 400
"""A mapping of longer stages is not drawn: its lines would run into each other."""

UNIT_WIDTH = 0.74
_SOURCE, _TARGET = 1.0, 0.0
_HALF_HEIGHT = 0.14
_COPY = "#cfe3f2"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One stage, or several in a row that are mapped alike.

    Attributes:
        title: Which stages.
        sources: The source unit of each target unit.
        source_units: How many units the source has.
    """

    title: str
    sources: tuple[int, ...]
    source_units: int

    @property
    def width(self) -> int:
        """Units of the wider of the two rows."""
        return max(len(self.sources), self.source_units)


@styled
def stage_mapping(mapping: StageMap, *, source: str, target: str, source_units: Sequence[int] = ()) -> Figure | None:
    """Source units above, target units below, and a line from each target unit to the one it came from.

    A source unit's further copies are shaded and their lines dashed; source units that are dropped are struck through.

    Args:
        mapping: The mapping.
        source: Name of the source network.
        target: Name of the target network.
        source_units: How many units each stage of the source has; where it is empty, those that the mapping names.

    Returns:
        None if a stage has more than :data:`MOST_UNITS` units.
    """
    panels = _panels(mapping, source_units)
    if max(panel.width for panel in panels) > MOST_UNITS:
        return None
    lines = _lines(panels)
    widest = max(sum(panel.width for panel in line) + len(line) - 1 for line in lines)
    figure = new_figure(0.4 + 1.55 * len(lines))
    for number, line in enumerate(lines):
        axes = figure.add_subplot(len(lines), 1, number + 1)
        axes.set_axis_off()
        axes.set_xlim(-2.8, max(widest, 12) - 0.4)
        axes.set_ylim(_TARGET - 0.35, _SOURCE + 0.55)
        axes.text(-2.7, _SOURCE, source, va="center", fontsize=8.5)
        axes.text(-2.7, _TARGET, target, va="center", fontsize=8.5)
        left = 0.0
        for panel in line:
            _draw(axes, panel, left)
            left += panel.width + 1
    figure.suptitle(f"{source} → {target}: which unit each came from", x=0.01, ha="left", fontsize=10)
    return figure


def _panels(mapping: StageMap, source_units: Sequence[int]) -> list[_Panel]:
    stages = mapping.for_stages(len(source_units)) if len(mapping.stages) == 1 and source_units else mapping.stages
    named = [max(sources) + 1 for sources in stages]
    counts = [max(pair) for pair in zip(named, source_units, strict=True)] if len(source_units) == len(named) else named
    panels = []
    for (sources, count), group in groupby(enumerate(zip(stages, counts, strict=True)), key=lambda item: item[1]):
        numbers = [number for number, _ in group]
        title = "every stage" if len(mapping.stages) == 1 and not source_units else _stages(numbers)
        panels.append(_Panel(title=title, sources=sources, source_units=count))
    return panels


def _stages(numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"stage {first}"
    return f"stages {first} {'and' if last == first + 1 else 'to'} {last}, each"


def _lines(panels: Sequence[_Panel]) -> list[list[_Panel]]:
    """The panels in lines that are not too wide."""
    lines: list[list[_Panel]] = []
    for panel in panels:
        if lines and sum(other.width + 1 for other in lines[-1]) + panel.width <= UNITS_ABREAST:
            lines[-1].append(panel)
        else:
            lines.append([panel])
    return lines


def _draw(axes: Axes, panel: _Panel, left: float) -> None:
    axes.text(left - 0.37, _SOURCE + 0.42, panel.title, va="center", fontsize=9, fontweight="bold")
    above = left + (panel.width - panel.source_units) / 2
    below = left + (panel.width - len(panel.sources)) / 2
    size = 8.5 if panel.width <= UNITS_ABREAST else 6.5 if panel.width <= LABELLED_UNITS else 0.0
    for unit in range(panel.source_units):
        _unit(axes, above + unit, _SOURCE, unit, size, dropped=unit not in panel.sources)
    for unit, source in enumerate(panel.sources):
        is_copy = source in panel.sources[:unit]
        axes.plot(
            [above + source, below + unit],
            [_SOURCE - _HALF_HEIGHT, _TARGET + _HALF_HEIGHT],
            color=BLUE if is_copy else "#222222",
            linestyle=(0, (4, 2)) if is_copy else "-",
            linewidth=1.2,
            zorder=1,
        )
        _unit(axes, below + unit, _TARGET, unit, size, copied=is_copy)


def _unit(
    axes: Axes, x: float, y: float, number: int, size: float, *, copied: bool = False, dropped: bool = False
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - UNIT_WIDTH / 2, y - _HALF_HEIGHT),
            UNIT_WIDTH,
            2 * _HALF_HEIGHT,
            boxstyle="square,pad=0",
            facecolor=_COPY if copied else "white",
            edgecolor="#999999" if dropped else BLUE if copied else "#222222",
            linestyle="--" if copied or dropped else "-",
            linewidth=1.2,
            zorder=2,
        )
    )
    if size:
        shade = "#999999" if dropped else "black"
        axes.text(x, y, f"B{number}", ha="center", va="center", fontsize=size, color=shade, zorder=3)
    if dropped:
        reach = 0.3 * UNIT_WIDTH
        axes.plot([x - reach, x + reach], [y - 0.1, y + 0.1], color=RED, linewidth=1.4, zorder=4)
