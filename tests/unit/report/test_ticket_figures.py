"""Pictures of a ticket, of two tickets and of a mapping hold what they are drawn from."""

from __future__ import annotations

import doctest
import io
import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ticketkit
from ticketkit.arch import parse_arch
from ticketkit.bundle import save_ticket
from ticketkit.errors import ArchError, TicketkitError
from ticketkit.mask import Mask
from ticketkit.report import figures
from ticketkit.report.figures import (
    SUFFIXES,
    draw_difference,
    draw_layer,
    draw_layer_difference,
    draw_mapping,
    draw_ticket,
    save_figure,
)
from ticketkit.report.figures.layer_image import LARGEST, find_layer
from ticketkit.report.figures.style import to_png
from ticketkit.report.overlap import compare
from ticketkit.report.sparsity import layer_sparsities
from ticketkit.report.tiles import weight_image
from ticketkit.stretch import StageMap, plan_stretch, stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def without(ticket: Ticket, make_ticket: MakeTicket, name: str, *, filters: int | None = None) -> Ticket:
    """The ticket with a layer's first filters pruned, or all of it."""
    masks = {key: np.array(value) for key, value in ticket.mask.items()}
    masks[f"{name}.weight"][:filters] = False
    return make_ticket("resnet8-w2", mask=Mask(masks))


def test_a_ticket_s_page_has_every_layer(make_ticket: MakeTicket) -> None:
    ticket = without(make_ticket("resnet8-w2"), make_ticket, "blocks.0.conv1", filters=1)
    figure = draw_ticket(ticket)
    layers = layer_sparsities(ticket)
    densities, dead, kept, stages, _, kernels = figure.axes
    assert list(densities.lines[0].get_ydata()) == pytest.approx([100 * layer.density for layer in layers])
    wounded = [place for place, layer in enumerate(layers) if layer.dead_filters]
    assert list(densities.lines[2].get_xdata()) == wounded
    shares = [bar.get_height() for bar in dead.containers[0]]
    assert shares == pytest.approx([100 * (layer.dead_filters or 0) / layer.shape[0] for layer in layers])
    tops = [bar.get_y() + bar.get_height() for bar in kept.containers[1]]
    assert tops == pytest.approx([layer.kept for layer in layers])
    assert [label.get_text() for label in kept.get_xticklabels()] == [str(layer.index) for layer in layers]
    assert [label.get_text() for label in stages.get_yticklabels()] == ["stem", "stage 0", "stage 1", "stage 2", "head"]
    assert sum(bar.get_height() for bar in kernels.containers[0]) == pytest.approx(100)


def test_an_empty_layer_is_a_gap_with_a_cross(make_ticket: MakeTicket) -> None:
    ticket = without(make_ticket("resnet8-w2"), make_ticket, "blocks.0.conv1")
    axes = draw_ticket(ticket).axes[0]
    assert math.isnan(axes.lines[0].get_ydata()[1])
    assert list(axes.lines[-1].get_xdata()) == [1]
    assert "nothing is kept" in [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("name", ["vgg11-w2", "mobilenetv1-2-w2", "mlp-64-32-32-10", "vit2-w16-p2-i8", "resnet110-w2"])
def test_labels_of_every_family_stand_clear_of_each_other(make_ticket: MakeTicket, name: str) -> None:
    figure = draw_ticket(make_ticket(name))
    figure.draw_without_rendering()
    for axes in figure.axes:
        if axes.axison:
            boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
            low, high = axes.get_window_extent().extents[[0, 2]]
            inside = sorted((box.x0, box.x1) for box in boxes if low <= (box.x0 + box.x1) / 2 <= high)
            assert all(end < start for (_, end), (start, _) in pairwise(inside))


@pytest.mark.parametrize("name", ["blocks.1.conv1", "blocks.1.conv1.weight", "0", 0])
def test_a_layer_s_png_has_its_pixels(make_ticket: MakeTicket, name: str | int) -> None:
    ticket = make_ticket("resnet8-w2")
    spec, stored = find_layer(ticket, name)
    figure = draw_layer(ticket, name)
    image = weight_image(stored.decode(), stored.mask(), LARGEST)
    png = np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB"))
    box = figure.axes[0].get_position()
    top, left = round((1 - box.y1) * png.shape[0]), round(box.x0 * png.shape[1])
    height, width = image.layout.size
    assert np.array_equal(png[top : top + height, left : left + width], image.palette[image.pixels])
    assert f"layer {spec.index}, {spec.name}" in figure.texts[0].get_text()
    assert f"{stored.kept:,} of {stored.size:,} weights kept" in figure.texts[1].get_text()


def test_a_large_layer_says_that_it_is_in_blocks(make_ticket: MakeTicket) -> None:
    figure = draw_layer(make_ticket("mlp-2000-8-8-10"), 0)
    assert "too large to draw each weight" in figure.texts[1].get_text()


def test_an_unknown_layer_is_refused_with_two_known_ones(make_ticket: MakeTicket) -> None:
    ticket = make_ticket("resnet8-w2")
    for layer in ("bn", 1, "blocks.9.conv1"):
        with pytest.raises(ArchError, match=r"such as conv \(or 0\) and fc \(or \d+\) \(got '"):
            draw_layer(ticket, layer)


def test_what_two_tickets_share_is_drawn_layer_by_layer(make_ticket: MakeTicket) -> None:
    first, other = make_ticket("resnet8-w2"), make_ticket("resnet8-w2", density=0.5, seed=1)
    above, below = draw_difference(first, other, ("a.st", "b.st")).axes
    layers = compare(first, other).layers
    both, mine, theirs = ([bar.get_height() for bar in bars] for bars in above.containers)
    assert both == pytest.approx([100 * layer.iou for layer in layers])
    assert [sum(parts) for parts in zip(both, mine, theirs, strict=True)] == pytest.approx([100] * len(layers))
    assert list(above.lines[0].get_ydata()) == pytest.approx([100 * layer.iou_by_chance for layer in layers])
    assert list(below.lines[1].get_ydata()) == pytest.approx([100 * layer.other_kept / layer.total for layer in layers])
    assert [text.get_text() for text in below.get_legend().get_texts()] == ["a.st", "b.st"]


def test_different_networks_are_drawn_unit_by_unit(make_ticket: MakeTicket) -> None:
    first = make_ticket("resnet14-w2")
    other = stretch_ticket(first, "26")
    (axes,) = draw_difference(first, other).axes
    few, many = ([value for value in line.get_ydata() if not math.isnan(value)] for line in axes.lines)
    assert (len(few), len(many)) == (2 + 3 * 2, 2 + 3 * 4)
    assert few[:3] == pytest.approx(many[:3])
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["stem", *["0", "1", "2", "3"] * 3, "head"]
    with pytest.raises(ArchError, match="must be of one network"):
        draw_layer_difference(first, other, 0)


def test_a_layer_of_two_tickets(make_ticket: MakeTicket) -> None:
    first, other = make_ticket("resnet8-w2"), make_ticket("resnet8-w2", seed=1)
    figure = draw_layer_difference(first, other, "conv", ("a.st", "b.st"))
    left, right = first.mask["conv.weight"], other.mask["conv.weight"]
    shared = f"{(left & right).sum()} of {(left | right).sum()} weights that either keeps"
    assert figure.texts[1].get_text().startswith(shared)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:4] == ["both keep it", "only a.st", "only b.st", "neither"]


def test_a_mapping_is_drawn_unless_it_is_absurd() -> None:
    source, target = parse_arch("resnet20"), parse_arch("resnet56")
    figure = draw_mapping(plan_stretch(source, target), source, target)
    assert len(figure.axes[0].patches) == 3 + 9
    deep = parse_arch("resnet6002")
    with pytest.raises(TicketkitError, match=r"at most 400 units \(got 1,000\)"):
        draw_mapping(StageMap((tuple(range(1000)),)), deep, deep)


def test_files_are_what_their_suffix_says_and_the_same_each_time(make_ticket: MakeTicket, tmp_path: Path) -> None:
    figure = draw_layer(make_ticket("resnet8-w2"), 0)
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert tuple(starts) == SUFFIXES
    for suffix, start in starts.items():
        path = tmp_path / f"x{suffix.upper()}"
        save_figure(figure, path)
        content = path.read_bytes()
        assert content.startswith(start)
        with pytest.raises(FileExistsError):
            save_figure(figure, path)
        save_figure(figure, path, overwrite=True)
        assert path.read_bytes() == content
    for name in ("x.gif", "x"):
        with pytest.raises(TicketkitError, match=r"must end in one of \.png, \.svg, \.pdf"):
            save_figure(figure, tmp_path / name)


def test_without_matplotlib_one_line_says_how_to_get_it(
    make_ticket: MakeTicket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (lambda: draw_ticket(make_ticket()), lambda: draw_layer(make_ticket(), 0)):
        with pytest.raises(TicketkitError, match=r"^plots need matplotlib: pip install 'ticketkit\[plots\]'$"):
            draw()


def test_the_example_runs(make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_ticket(make_ticket("resnet20", density=0.044), tmp_path / "resnet20.st")
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(figures, globs={"ticketkit": ticketkit})
    assert (result.attempted > 0, result.failed) == (True, 0)
