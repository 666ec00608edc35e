"""One layer of a ticket, weight by weight, and what two tickets keep of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ticketkit.arch import LayerSpec
from ticketkit.encoding import Bitmask
from ticketkit.errors import ArchError
from ticketkit.report.figures.style import PNG_DPI, WIDTH, shortened, styled
from ticketkit.report.tiles import (
    BOTH,
    DEAD,
    FIRST,
    GAP,
    LEVELS,
    MARK,
    NOTHING,
    OTHER,
    SHADES,
    ZERO,
    LayerImage,
    difference_image,
    weight_image,
)
from ticketkit.ticket import Ticket

LARGEST: Final = 1650
"""Pixels on each side that a layer may take at 200 to the inch."""

_LEFT, _TOP, _BELOW = 170, 170, 130
"""Pixels around the layer: labels, legend, title, labels."""

_LEAST_HEIGHT = 480
_ABOVE_STRIPS = 40
_LETTER = 14
"""Width of a label's letter in pixels."""


def find_layer(ticket: Ticket, layer: str | int) -> tuple[LayerSpec, Bitmask]:
    """Find a masked layer by its name, by its tensor's or by its index among all layers.

    Raises:
        ArchError: If there is none.
    """
    masked: dict[int, tuple[LayerSpec, Bitmask]] = {}
    by_name: dict[str, int] = {}
    for entry in ticket.arch.state():
        if isinstance(stored := ticket.stored[entry.name], Bitmask):
            masked[entry.layer.index] = entry.layer, stored
            if isinstance(layer, str):  # a layer of one's own may be named by a number
                by_name |= dict.fromkeys((entry.layer.name, entry.name), entry.layer.index)
    by_index = {str(index): index for index in masked}
    index = by_name.get(str(layer), by_index.get(str(layer)))
    if index is not None:
        return masked[index]
    first, last = min(masked), max(masked)
    known = f"such as {masked[first][0].name} (or {first}) and {masked[last][0].name} (or {last})"
    raise ArchError(f"a layer to draw must be one that {ticket.arch.name} prunes, {known} (got {str(layer)[:80]!r})")


@styled
def layer_picture(ticket: Ticket, layer: str | int) -> Figure:
    """A layer's kept weights by sign and size, a row an output, a column an input, a tile a kernel.

    Dead outputs and inputs are grey with a black mark in the margin. A layer of more than :data:`LARGEST` pixels is
    drawn in blocks by the share of kept weights; the caption says so.

    Args:
        ticket: The ticket.
        layer: The layer's name, or its index among all layers.

    Raises:
        ArchError: If there is no such layer.
    """
    spec, stored = find_layer(ticket, layer)
    image = weight_image(stored.decode(), stored.mask(), LARGEST)
    density = 100 * stored.kept / stored.size
    title = f"{ticket.arch.short_name}: layer {spec.index}, {spec.name}, {'×'.join(map(str, stored.shape))}"
    figure = _placed(image, title, [f"{stored.kept:,} of {stored.size:,} weights kept ({density:.2f} %)", _dead(image)])
    if not image.layout.exact:
        _share_bar(figure, image, "kept weights of a block (%)")
        return figure
    bound = image.bound or 1.0
    colours = ListedColormap(image.palette[5 : 5 + 2 * SHADES] / 255)
    norm = Normalize(-bound, bound)
    _bar(figure, image, ScalarMappable(norm, colours), "kept weight", "both" if stored.kept else "neither")
    _legend(figure, image, [(NOTHING, "pruned"), (DEAD, "dead filter or input"), (ZERO, "kept, but zero")])
    return figure


@styled
def difference_picture(first: Ticket, other: Ticket, layer: str | int, names: tuple[str, str]) -> Figure:
    """Which weights of a layer the first ticket keeps alone, the other alone, and both.

    Args:
        first: A ticket.
        other: Another of the same network.
        layer: The layer's name, or its index among all layers.
        names: What the picture calls the two.

    Raises:
        ArchError: If the networks differ, or one of the tickets does not mask such a layer.
    """
    if first.arch != other.arch:
        raise ArchError(
            f"tickets whose masks are drawn must be of one network (got {first.arch.name} and {other.arch.name})"
        )
    spec, stored = find_layer(first, layer)
    mask, other_mask = stored.mask(), find_layer(other, layer)[1].mask()
    image = difference_image(mask, other_mask, LARGEST)
    both, either = int(np.count_nonzero(mask & other_mask)), int(np.count_nonzero(mask | other_mask))
    shared = f"{both:,} of {either:,} weights that either keeps are kept by both ({100 * both / max(either, 1):.2f} %)"
    title = f"{first.arch.short_name}: layer {spec.index}, {spec.name}, {'×'.join(map(str, stored.shape))}"
    figure = _placed(image, title, [shared, _dead(image)])
    if not image.layout.exact:
        _share_bar(figure, image, "kept by both, of either's (%)")
        return figure
    left, right = (shortened(name, 22) for name in names)
    entries = [(BOTH, "both keep it"), (FIRST, f"only {left}"), (OTHER, f"only {right}"), (NOTHING, "neither")]
    _legend(figure, image, [*entries, (DEAD, "filter or input dead")])
    return figure


def _dead(image: LayerImage) -> str:
    filters, inputs = image.dead_filters, image.dead_inputs
    words = ("outputs", "inputs") if image.layout.shape[2:] == (1, 1) else ("output filters", "input channels")
    return (
        f"{np.count_nonzero(filters):,} of {filters.size:,} {words[0]} and {np.count_nonzero(inputs):,} of "
        f"{inputs.size:,} {words[1]} dead"
    )


def _placed(image: LayerImage, title: str, facts: Sequence[str]) -> Figure:
    """A figure in which each pixel of the image is one of the PNG file, with ticks at outputs and inputs."""
    height, width = image.layout.size
    above = _TOP + (_ABOVE_STRIPS if image.layout.strips > 1 else 0)
    total_width, total_height = round(WIDTH * PNG_DPI), max(above + height + _BELOW, _LEAST_HEIGHT)
    figure = Figure(figsize=(WIDTH, total_height / PNG_DPI))
    bottom = total_height - above - height
    axes = figure.add_axes(
        (_LEFT / total_width, bottom / total_height, width / total_width, height / total_height), frameon=False
    )
    axes.imshow(
        image.palette[image.pixels], extent=(0, width, height, 0), interpolation="none", aspect="auto", origin="upper"
    )
    axes.grid(visible=False)
    axes.tick_params(length=3)
    _ticks(axes, image)
    place = 40 / total_width
    figure.text(place, 1 - 40 / total_height, shortened(title, 120), va="top", fontsize=10, fontweight="bold")
    lines = "\n".join(["; ".join(facts), image.layout.pixel])
    figure.text(place, 1 - 84 / total_height, lines, va="top", fontsize=8.5, linespacing=1.35)
    return figure


def _ticks(axes: Axes, image: LayerImage) -> None:
    layout = image.layout
    (down, right), (height, width) = layout.pitch, layout.strip
    outputs = min(layout.outputs, layout.shape[0])
    rows = _spread(outputs, height)
    axes.set_yticks([GAP + (row + 0.5) * down for row in rows], [str(row) for row in rows])
    places, labels = [], []
    for strip in range(layout.strips):
        left = strip * (GAP + width) + GAP
        columns = _spread(layout.shape[1], width) if layout.shape[1] > 1 else []
        places += [left + (column + 0.5) * right for column in columns]
        labels += [str(column) for column in columns]
    axes.set_xticks(places, labels)
    kind = "input" if layout.shape[2:] == (1, 1) else f"input channel, kernels of {layout.shape[2]}×{layout.shape[3]}"
    axes.set_xlabel(kind)
    axes.set_ylabel("output" if layout.strips == 1 else "output, of the first strip")
    if layout.strips == 1:
        return
    words = [f"{strip * outputs}–{min((strip + 1) * outputs, layout.shape[0]) - 1}" for strip in range(layout.strips)]
    every = math.ceil(max(map(len, words)) * _LETTER / (width + GAP))
    for strip in range(0, layout.strips, every):
        if strip * outputs < layout.shape[0]:
            left = strip * (GAP + width) + GAP
            axes.text(left, -6, words[strip], ha="left", va="bottom", fontsize=7.5, color="#444444")
    axes.text(GAP, -34, "folded into strips of outputs:", ha="left", va="bottom", fontsize=7.5, color="#444444")


def _spread(count: int, pixels: int) -> list[int]:
    """At most so many of 0 to ``count`` - 1 that their labels do not touch, at round steps."""
    most = max(pixels // max(75, _LETTER * len(str(count)) + 25), 1)
    step = next(
        step for power in range(12) for step in (10**power, 2 * 10**power, 5 * 10**power) if count / step <= most
    )
    return list(range(0, count, step))


def _share_bar(figure: Figure, image: LayerImage, label: str) -> None:
    colours = ListedColormap(image.palette[5 : 5 + LEVELS] / 255)
    norm = BoundaryNorm(np.linspace(0, 100, LEVELS + 1), LEVELS)
    _bar(figure, image, ScalarMappable(norm, colours), label, "neither")
    _legend(figure, image, [(NOTHING, "none")])


def _beside(figure: Figure) -> float:
    return (_LEFT + LARGEST + 40) / round(figure.get_figwidth() * PNG_DPI)


def _right_of(figure: Figure, image: LayerImage) -> float:
    """Where the legend begins, right of the layer, as a share of the figure's width."""
    return min((_LEFT + image.layout.size[1] + 60) / round(figure.get_figwidth() * PNG_DPI), _beside(figure))


def _bar(figure: Figure, image: LayerImage, scale: ScalarMappable, label: str, extend: str) -> None:
    height = round(figure.get_figheight() * PNG_DPI)
    top = 1 - (_TOP + _ABOVE_STRIPS) / height
    axes = figure.add_axes((_right_of(figure, image), top - 60 / height, 280 / (WIDTH * PNG_DPI), 22 / height))
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal", extend=extend)
    if not image.layout.exact:
        bar.set_ticks([0, 25, 50, 75, 100])
        bar.ax.minorticks_off()
    else:
        bar.ax.locator_params(nbins=4)
    bar.ax.tick_params(labelsize=7.5)
    bar.ax.set_title(label, fontsize=8.5, loc="left")
    bar.ax.grid(visible=False)


def _legend(figure: Figure, image: LayerImage, entries: Sequence[tuple[int, str]]) -> None:
    height = round(figure.get_figheight() * PNG_DPI)
    handles = [
        Patch(facecolor=tuple(image.palette[code] / 255), edgecolor="#888888", linewidth=0.6, label=label)
        for code, label in (*entries, (MARK, "in the margin: dead"))
        if code not in (DEAD, ZERO, MARK) or np.any(image.pixels == code)
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_right_of(figure, image) - 0.006, 1 - (_TOP + _ABOVE_STRIPS + 110) / height),
        fontsize=8,
        handlelength=1.0,
        handleheight=1.0,
        borderaxespad=0.0,
    )
