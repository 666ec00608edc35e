"""One ticket on one page: how dense each layer is, what is dead in it, and how large what is kept is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ticketkit.report.figures.style import BLUE, GREY, RED, SKY, Entry, legend_at_right, new_figure, styled
from ticketkit.report.sparsity import GroupSparsity, LayerSparsity
from ticketkit.report.weights import EDGES, GroupWeights

_ROOM_FOR_A_WORD = 0.07
"""Stages that take less of the axis than this have their number alone above them."""

MOST_LABELS: Final = 28
"""Layers that have their number below them; of more, every second, fifth, tenth has."""

_BANDS = ("#f1f1f1", "#ffffff")
_TICKS = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001)
_PALE = "#c9d9e6"
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
_TOO_FEW = 0.001
"""Share of a group's kept weights below which a magnitude is not drawn, where no group has more at that end."""


_FEW_DECADES = 150.0
"""Ratio of magnitudes below which there are ticks between the powers of ten."""


@styled
def ticket_page(
    name: str, layers: Sequence[LayerSparsity], groups: Sequence[GroupSparsity], weights: Sequence[GroupWeights]
) -> Figure:
    """Density, dead filters and kept weights of every layer; density, magnitudes and kernels of every stage.

    A layer of which nothing is kept has no place on the logarithmic axes; a cross stands at the bottom.

    Args:
        name: The network's name.
        layers: The prunable layers, in execution order.
        groups: The same by stage and role.
        weights: Their kept weights.
    """
    figure = new_figure(8.6)
    grid = figure.add_gridspec(4, 1, height_ratios=(2.3, 1.0, 1.6, 2.2))
    tops = [figure.add_subplot(grid[row]) for row in range(3)]
    stages = [None if layer.stage is None else f"stage {layer.stage}" for layer in layers]
    for axes, draw in zip(tops, (_densities, _dead, _kept), strict=True):
        shade_stages(axes, stages, named=axes is tops[0])
        draw(axes, layers)
        axes.set_xlim(-0.6, len(layers) - 0.4)
        axes.grid(visible=False, axis="x")
        _label_layers(axes, layers, named=axes is tops[-1])
    below = grid[3].subgridspec(1, 3, width_ratios=(1.0, 1.25, 1.0))
    _group_densities(figure.add_subplot(below[0]), groups)
    _magnitudes(figure.add_subplot(below[1]), weights)
    _kernels(figure.add_subplot(below[2]), weights)
    kept, total = sum(layer.kept for layer in layers), sum(layer.total for layer in layers)
    text = f"{name}: {kept:,} of {total:,} prunable weights kept ({100 * kept / total:.2f} %)"
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def shade_stages(axes: Axes, stages: Sequence[str | None], *, named: bool = True) -> None:
    """Shade every other run of one stage, and name the stages above.

    Args:
        axes: Where.
        stages: The stage of each place of the axis, "stage 0"; None outside of them.
        named: Whether their names are written.
    """
    runs = [list(run) for _, run in groupby(range(len(stages)), key=lambda place: stages[place])]
    for number, places in enumerate(runs):
        axes.axvspan(places[0] - 0.5, places[-1] + 0.5, color=_BANDS[number % 2], zorder=0, linewidth=0)
        if named and (stage := stages[places[0]]) is not None:
            wide = len(places) / len(stages) > _ROOM_FOR_A_WORD
            axes.text(
                (places[0] + places[-1]) / 2,
                0.97,
                stage if wide else stage.removeprefix("stage "),
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=8.5,
                color="#444444",
            )


def label_step(count: int) -> int:
    """Of so many places on an axis, every how many-th has a label."""
    return next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000) if count / step <= MOST_LABELS)


def density_axis(axes: Axes, densities: Sequence[float], *, room: float = 1.9) -> None:
    """Make the vertical axis logarithmic, in per cent; ``room`` is how far it goes beyond 100 %."""
    axes.set_yscale("log")
    low = 0.7 * min((density for density in densities if density > 0), default=1.0)
    axes.set_ylim(low, 100 * room)
    ticks = [tick for tick in _TICKS if tick >= low]
    most = 7
    axes.yaxis.set_major_locator(FixedLocator(ticks[:: math.ceil(len(ticks) / most)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _densities(axes: Axes, layers: Sequence[LayerSparsity]) -> None:
    places = range(len(layers))
    densities = [100 * layer.density for layer in layers]
    size = 4.5 if len(layers) <= MOST_LABELS * 2 else 2.5
    axes.plot(places, [density or math.nan for density in densities], "-o", color=BLUE, markersize=size, zorder=3)
    density_axis(axes, densities)
    mean = 100 * sum(layer.kept for layer in layers) / sum(layer.total for layer in layers)
    axes.axhline(mean, color="#333333", linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    wounded = [place for place in places if layers[place].dead_filters and densities[place]]
    entries = [
        Entry(drawn=axes.lines[0], label="density of a layer"),
        Entry(drawn=axes.lines[1], label="of the network"),
    ]
    if wounded:
        (rings,) = axes.plot(
            wounded,
            [densities[place] for place in wounded],
            "o",
            color=RED,
            markerfacecolor="white",
            markersize=size + 1.5,
            zorder=4,
        )
        entries.append(Entry(drawn=rings, label="has dead filters"))
    if empty := [place for place in places if not densities[place]]:
        (crosses,) = axes.plot(
            empty, [0.03] * len(empty), "X", color=RED, markersize=7, transform=axes.get_xaxis_transform(), zorder=4
        )
        entries.append(Entry(drawn=crosses, label="nothing is kept"))
    legend_at_right(axes, entries)
    axes.set_ylabel("kept weights (%)")


def _dead(axes: Axes, layers: Sequence[LayerSparsity]) -> None:
    """Dead filters upward and dead inputs downward, each as a share of its layer's."""
    places = np.arange(len(layers))
    filters = [100 * (layer.dead_filters or 0) / layer.shape[0] for layer in layers]
    inputs = [100 * (layer.dead_inputs or 0) / layer.shape[1] for layer in layers]
    above = axes.bar(places, filters, 0.8, color=RED, zorder=3)
    under = axes.bar(places, [-share for share in inputs], 0.8, color=GREY, zorder=3)
    axes.axhline(0, color="#555555", linewidth=0.8, zorder=4)
    most = max(*filters, *inputs, 4.0)
    axes.set_ylim(-1.12 * most, 1.12 * most)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, symmetric=True) if any(filters + inputs) else FixedLocator([0]))
    axes.set_ylabel("dead (%)")
    dead = sum(layer.dead_filters or 0 for layer in layers), sum(layer.dead_inputs or 0 for layer in layers)
    entries = [
        Entry(drawn=above, label=f"filters: {dead[0]:,}"),
        Entry(drawn=under, label=f"input channels: {dead[1]:,}"),
    ]
    legend_at_right(axes, entries)


def _kept(axes: Axes, layers: Sequence[LayerSparsity]) -> None:
    places = range(len(layers))
    least = 0.7 * min((layer.kept for layer in layers if layer.kept), default=1)
    low = 10.0 ** math.floor(math.log10(max(least, 0.5)))
    axes.set_yscale("log")
    totals = axes.bar(places, [max(layer.total - low, 0) for layer in layers], 0.8, low, color=_PALE, zorder=2)
    kept = axes.bar(places, [max(layer.kept - low, 0) for layer in layers], 0.8, low, color=BLUE, zorder=3)
    axes.set_ylim(low, 2 * max(layer.total for layer in layers))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylabel("weights")
    legend_at_right(axes, [Entry(drawn=kept, label="kept"), Entry(drawn=totals, label="all")])


def _label_layers(axes: Axes, layers: Sequence[LayerSparsity], *, named: bool) -> None:
    """Label layers with their index among all layers, as tables and ``--layer`` name them."""
    places = range(0, len(layers), label_step(len(layers)))
    axes.set_xticks(list(places), [str(layers[place].index) for place in places] if named else [])
    if named:
        axes.set_xlabel("prunable layer, in execution order, by its index among all layers (#)")


def _group_densities(axes: Axes, groups: Sequence[GroupSparsity]) -> None:
    densities = [100 * group.density for group in groups]
    rows = range(len(groups))
    low = 0.5 * min((density for density in densities if density > 0), default=1.0)
    axes.set_xscale("log")
    axes.barh(rows, [max(density - low, 0) for density in densities], 0.7, low, color=SKY, zorder=3)
    for row, density in zip(rows, densities, strict=True):
        axes.text(max(density, low) * 1.08, row, f"{density:.2f} %", va="center", fontsize=8)
    axes.set_xlim(low, 100 * (100 / low) ** 0.3)
    axes.set_yticks(rows, [group.name for group in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    ticks = [tick for tick in reversed(_TICKS) if low <= tick <= 100]  # noqa: PLR2004 - per cent
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: math.ceil(len(ticks) / 5)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("kept weights (%)")
    axes.set_title("Density by stage", loc="left")


def _magnitudes(axes: Axes, weights: Sequence[GroupWeights]) -> None:
    """How the kept weights' magnitudes are distributed, each group's curve with an area of its own kept weights."""
    shown = [group for group in weights if group.magnitudes.sum()]
    colours = colormaps["viridis"](np.linspace(0, 0.88, max(len(shown), 1)))
    middles = np.sqrt(EDGES[:-1] * EDGES[1:])
    used = np.zeros(middles.size, dtype=np.bool_)
    for number, group in enumerate(shown):
        counts = group.magnitudes
        used |= counts > _TOO_FEW * counts.sum()
        axes.plot(
            middles,
            100 * counts / counts.sum(),
            color=colours[number],
            linestyle=_DASHES[number % len(_DASHES)],
            drawstyle="steps-mid",
            linewidth=1.2,
            label=group.name,
        )
    axes.set_xscale("log")
    if used.any():
        places = np.flatnonzero(used)
        low, high = middles[max(places[0] - 2, 0)], middles[min(places[-1] + 2, middles.size - 1)]
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _FEW_DECADES else (1,), numticks=9))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("magnitude of a kept weight")
    axes.set_ylabel("kept weights (%)")
    zeros = sum(group.zeros for group in weights)
    axes.set_title("Magnitudes" + (f" ({zeros:,} are zero, not drawn)" if zeros else ""), loc="left")
    if shown:
        axes.legend(loc="best", fontsize=7.5, handlelength=2.2, labelspacing=0.25)


def _kernels(axes: Axes, weights: Sequence[GroupWeights]) -> None:
    """How many weights each kernel keeps, against chance, over the groups whose kernels are the largest."""
    largest = max((group.kernel for group in weights), key=math.prod)
    members = [group for group in weights if group.kernel == largest and group.kernels]
    if math.prod(largest) == 1 or not members:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no kernels larger than 1×1", transform=axes.transAxes, ha="center", color="#666666")
        return
    found = sum(group.occupied for group in members)
    chance = sum(group.by_chance for group in members)
    total = np.sum(found)
    numbers = np.arange(math.prod(largest) + 1)
    axes.bar(numbers, 100 * found / total, 0.75, color=SKY, zorder=3, label="found")
    axes.plot(
        numbers,
        100 * chance / total,
        "_",
        color="black",
        markersize=9,
        markeredgewidth=1.6,
        zorder=4,
        label="by chance",
    )
    axes.set_xlabel(f"kept weights of a kernel of {largest[0]}×{largest[1]}")
    axes.set_ylabel("kernels (%)")
    axes.set_xticks(numbers[:: math.ceil(numbers.size / 10)])
    axes.grid(visible=False, axis="x")
    axes.set_title("Kernels", loc="left")
    axes.legend(loc="best")
