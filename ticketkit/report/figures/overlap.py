"""What two tickets of one network share, layer by layer; of two networks, their densities unit by unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ticketkit.arch import ArchSpec
from ticketkit.report.figures.style import BLUE, ORANGE, Entry, legend_at_right, new_figure, shortened, styled
from ticketkit.report.figures.ticket import MOST_LABELS, density_axis, label_step, shade_stages
from ticketkit.report.overlap import LayerOverlap, Overlap
from ticketkit.report.sparsity import LayerSparsity, layer_sparsities
from ticketkit.ticket import Ticket

Place = tuple[str, int | None]
"""A stage and a unit, or a role outside the stages and None."""

_BOTH = "#3a3a3a"
_NAME_WIDTH = 26


@styled
def overlap_page(overlap: Overlap, arch: ArchSpec, names: tuple[str, str]) -> Figure:
    """Of the weights that either ticket keeps, the share kept by both and by each alone; below, both densities.

    Args:
        overlap: What the two share.
        arch: Their network.
        names: What to call them.
    """
    first, other = (shortened(name, _NAME_WIDTH) for name in names)
    stages = {layer.index: layer.stage for layer in arch.layers()}
    layers = overlap.layers
    places = range(len(layers))
    figure = new_figure(5.6)
    above, below = figure.subplots(2, 1, height_ratios=(1.25, 1), sharex=True)
    parts = [_shares(layer) for layer in layers]
    left, both, right = ([part[number] for part in parts] for number in range(3))
    bars = above.bar(places, both, 0.85, color=_BOTH)
    mine = above.bar(places, left, 0.85, both, color=BLUE)
    yours = above.bar(places, right, 0.85, [a + b for a, b in zip(both, left, strict=True)], color=ORANGE)
    (chance,) = above.plot(
        places, [100 * layer.iou_by_chance for layer in layers], "_", color="white", markersize=7, markeredgewidth=1.8
    )
    chance.set_markersize(max(2.5, min(11.0, 480 / len(layers))))
    above.set_facecolor("white")
    above.set_ylim(0, 106)
    above.set_ylabel("of what either keeps (%)")
    legend_at_right(
        above,
        [
            Entry(drawn=yours, label=f"only {other}"),
            Entry(drawn=mine, label=f"only {first}"),
            Entry(drawn=bars, label="both (overlap)"),
        ],
    )
    above.text(1.01, 0.5, "white line: overlap\nexpected by chance", transform=above.transAxes, fontsize=8.5, va="top")
    densities: list[float] = []
    entries = []
    shade_stages(below, [None if stages[layer.index] is None else f"stage {stages[layer.index]}" for layer in layers])
    for name, values, colour, marker in (
        (first, [100 * layer.kept / layer.total for layer in layers], BLUE, "o"),
        (other, [100 * layer.other_kept / layer.total for layer in layers], ORANGE, "s"),
    ):
        densities += values
        entries.append(_curve(below, list(places), values, name, colour, marker))
    density_axis(below, densities)
    below.set_ylabel("kept weights (%)")
    below.set_xlim(-0.6, len(layers) - 0.4)
    step = label_step(len(layers))
    below.set_xticks(list(places)[::step], [str(layer.index) for layer in layers[::step]])
    below.set_xlabel("layer, in execution order, by its index among all layers (#)")
    legend_at_right(below, entries)
    for axes in (above, below):
        axes.grid(visible=False, axis="x")
    shared = f"{100 * overlap.iou:.2f} % overlap ({100 * overlap.iou_by_chance:.2f} % by chance)"
    figure.suptitle(f"{arch.short_name}: {shared}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


@styled
def unit_densities(first: Ticket, other: Ticket, names: tuple[str, str]) -> Figure:
    """The density of every unit of two tickets of different networks, their stages below each other's.

    Where one network has fewer units in a stage than the other, its curve ends there.

    Args:
        first: A ticket.
        other: Another.
        names: What to call them.
    """
    found = _units(first), _units(other)
    columns = _columns(*found)
    figure = new_figure(3.9)
    axes = figure.subplots()
    shade_stages(axes, [group if unit is not None else None for group, unit in columns])
    densities: list[float] = []
    entries = []
    looks = ((first, names[0], BLUE, "o"), (other, names[1], ORANGE, "s"))
    for units, (ticket, name, colour, marker) in zip(found, looks, strict=True):
        label = f"{shortened(name, _NAME_WIDTH)}\n{ticket.arch.short_name}, {100 * ticket.density:.2f} % kept"
        values = [units.get(column, math.nan) for column in columns]
        densities += units.values()
        # Nothing joins a stage's last unit to the next one's first.
        broken = list(enumerate(values))
        for place in reversed(range(1, len(columns))):
            if columns[place][0] != columns[place - 1][0]:
                broken.insert(place, (place - 1, math.nan))
        drawn = [place for place, _ in broken], [value for _, value in broken]
        entries.append(_curve(axes, *drawn, label, colour, marker))
    density_axis(axes, densities)
    step = label_step(len(columns))
    places = [place for place, (_, unit) in enumerate(columns) if (unit or 0) % step == 0]
    axes.set_xticks(
        places, [group if unit is None else str(unit) for group, unit in (columns[place] for place in places)]
    )
    for text, place in zip(axes.get_xticklabels(), places, strict=True):
        text.set_rotation(90 if columns[place][1] is None else 0)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("unit of each stage, and the layers outside the stages")
    axes.set_ylabel("kept weights (%)")
    legend_at_right(axes, entries)
    title = f"{first.arch.short_name} and {other.arch.short_name}: density by stage and unit"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _shares(layer: LayerOverlap) -> tuple[float, float, float]:
    """Of what either keeps, in per cent: the first ticket's alone, both tickets', the other's alone."""
    either = layer.either or 1
    alone, theirs = layer.kept - layer.both, layer.other_kept - layer.both
    return 100 * alone / either, 100 * layer.both / either, 100 * theirs / either


def _units(ticket: Ticket) -> dict[Place, float]:
    """Density of each unit in per cent, and of the layers of each role outside the stages."""
    members: dict[Place, list[LayerSparsity]] = {}
    for layer in layer_sparsities(ticket):
        group = layer.role if layer.stage is None else f"stage {layer.stage}"
        members.setdefault((group, layer.unit), []).append(layer)
    return {
        place: 100 * sum(layer.kept for layer in layers) / sum(layer.total for layer in layers)
        for place, layers in members.items()
    }


def _columns(first: Iterable[Place], other: Iterable[Place]) -> list[Place]:
    """The places that either has: the groups as the first has them, then the other's, each with all of its units."""
    places = dict.fromkeys([*first, *other])
    groups = list(dict.fromkeys(group for group, _ in places))
    if "head" in groups:  # it is the last of both, whatever the other has before it
        groups.append(groups.pop(groups.index("head")))
    return [
        place
        for group in groups
        for place in sorted((place for place in places if place[0] == group), key=lambda place: place[1] or 0)
    ]


def _curve(axes: Axes, places: Sequence[int], values: Sequence[float], label: str, colour: str, marker: str) -> Entry:
    size = 4.5 if len(places) <= 2 * MOST_LABELS else 2.5
    (line,) = axes.plot(
        places,
        [value or math.nan for value in values],
        color=colour,
        marker=marker,
        markersize=size * (1.7 if marker == "o" else 1),  # seen around the other's where the two are equal
        markerfacecolor="white" if marker == "o" else colour,
        zorder=3,
    )
    return Entry(drawn=line, label=label)
