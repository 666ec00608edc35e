"""How dense each layer is: of a ticket, and of the one that it was stretched from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ticketkit.report.comparison import LayerDensity, Report
from ticketkit.report.figures.style import Entry, legend_at_right, new_figure, styled
from ticketkit.report.figures.ticket import shade_stages
from ticketkit.report.grouping import short_name, shown_percent

_MARKERS = "os^Dv<>PX*"
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
_TICKS = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.01)


@styled
def layer_densities(reports: Sequence[Report]) -> Figure | None:
    """Density of every prunable layer over its index, one curve a sparsity; the source's tickets in a panel below.

    A layer of which nothing is kept has no place on the logarithmic axis: the curve has a gap.

    Args:
        reports: Reports of one target, source and order, by rising sparsity.

    Returns:
        None if no report knows its ticket's layers.
    """
    known = [report for report in reports if report.layers]
    if not known:
        return None
    target, origin = known[0].architecture, known[0].origin
    sources = [report for report in known if report.origin is not None and report.origin.layers]
    figure = new_figure(5.6 if sources else 3.2)
    grid = figure.subplots(2 if sources else 1, 1, sharey=True, squeeze=False)
    entries = _panel(grid[0][0], known, [report.layers for report in known])
    grid[0][0].set_title(f"{short_name(target)}: the ticket", loc="left")
    if sources and origin is not None:
        layers = [report.origin.layers for report in sources if report.origin is not None]
        _panel(grid[1][0], sources, layers)
        title = f"{short_name(origin.architecture)}: the ticket it was stretched from ({origin.order})"
        grid[1][0].set_title(title, loc="left")
    legend_at_right(grid[0][0], entries)
    _density_axis(grid[0][0], [_density(layer) for report in known for layer in _layers_of(report)])
    return figure


def _layers_of(report: Report) -> tuple[LayerDensity, ...]:
    return report.layers + (report.origin.layers if report.origin is not None else ())


def _density(layer: LayerDensity) -> float:
    """In per cent; an empty layer keeps nothing."""
    return 100 * layer.kept / layer.size if layer.size else 0.0


def _panel(axes: Axes, reports: Sequence[Report], layers: Sequence[Sequence[LayerDensity]]) -> list[Entry]:
    shade_stages(axes, [None if layer.stage is None else f"stage {layer.stage}" for layer in layers[0]])
    entries = []
    for number, (report, found) in enumerate(zip(reports, layers, strict=True)):
        shade = 0.85 * number / max(len(reports) - 1, 1)
        densities = [_density(layer) or math.nan for layer in found]
        (line,) = axes.plot(
            range(len(found)),
            densities,
            color=colormaps["viridis"](shade),
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle=_DASHES[number % len(_DASHES)],
            markersize=4,
        )
        entries.append(Entry(drawn=line, label=f"{shown_percent(report.sparsity)} % sparse"))
    axes.set_xlim(-0.6, len(layers[0]) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=24, integer=True))
    axes.set_xlabel("prunable layer, in execution order")
    axes.set_ylabel("kept weights (%)")
    axes.grid(visible=False, axis="x")
    return entries


def _density_axis(axes: Axes, densities: Sequence[float]) -> None:
    axes.set_yscale("log")
    low = min((density for density in densities if density > 0), default=1.0)
    axes.set_ylim(0.75 * low, 190)  # room above 100 % for the stages' names
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick >= 0.75 * low]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
