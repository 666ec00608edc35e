"""A layer's picture: every weight in its place, what is dead marked, what is too large in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from ticketkit.errors import ArchError
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
    Layout,
    difference_image,
    weight_image,
)


def weights_of(shape: tuple[int, ...], density: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.standard_normal(shape, dtype=np.float32), random.random(shape) < density


@pytest.mark.parametrize(
    ("shape", "limit"),
    [((8, 6, 3, 3), 400), ((10, 64), 400), ((40, 1, 3, 3), 400), ((70, 70, 3, 3), 230), ((5, 9, 5, 5), 90)],
)
def test_every_weight_has_its_square_of_pixels(shape: tuple[int, ...], limit: int) -> None:
    weights, mask = weights_of(shape)
    image = weight_image(weights, mask, limit)
    layout = image.layout
    assert layout.exact
    assert image.pixels.shape == layout.size
    assert max(layout.size) <= limit
    (down, right), (pitch_down, pitch_right), (_, width) = layout.scale, layout.pitch, layout.strip
    kept = mask.reshape(layout.shape)
    for output, inner, row, column in np.ndindex(layout.shape):
        strip, place = divmod(output, layout.outputs)
        y = GAP + int(place * pitch_down) + row * down
        x = strip * (GAP + width) + GAP + int(inner * pitch_right) + column * right
        codes = np.unique(image.pixels[y : y + down, x : x + right])
        assert codes.size == 1
        assert (codes[0] in (NOTHING, DEAD)) == (not kept[output, inner, row, column])


def test_shades_tell_sign_and_size() -> None:
    weights = np.array([[-2.0, -0.1, 0.0, 0.1, 2.0, 1.0]], dtype=np.float32)
    image = weight_image(weights, np.array([[True] * 5 + [False]]), 100)
    width = image.layout.scale[1]
    codes = [int(image.pixels[GAP, GAP + width * place]) for place in range(6)]
    assert codes == [5, 5 + SHADES - 1, ZERO, 5 + SHADES, 5 + 2 * SHADES - 1, DEAD]
    red, _, blue = (image.palette[codes[place]].astype(int) for place in (0, 0, 4))
    assert red[2] > red[0]
    assert blue[0] > blue[2]
    assert image.bound == pytest.approx(2.0)


def test_values_that_are_no_numbers_are_drawn_as_large_ones() -> None:
    image = weight_image(np.array([[np.inf, -np.inf, np.nan, 1.0]]), np.ones((1, 4), dtype=bool), 200)
    width = image.layout.scale[1]
    codes = [int(image.pixels[GAP, GAP + width * place]) for place in range(4)]
    assert codes == [5 + 2 * SHADES - 1, 5, 5 + 2 * SHADES - 1, 5 + 2 * SHADES - 1]


def test_dead_filters_and_inputs_are_grey_and_marked_in_the_margin() -> None:
    weights, _ = weights_of((6, 5, 3, 3))
    mask = np.ones(weights.shape, dtype=bool)
    mask[2] = False
    mask[:, 4] = False
    image = weight_image(weights, mask, 400)
    assert list(np.flatnonzero(image.dead_filters)) == [2]
    assert list(np.flatnonzero(image.dead_inputs)) == [4]
    down, right = map(int, image.layout.pitch)
    beside = image.pixels[:, GAP - 4] == MARK
    above = image.pixels[GAP - 4, :] == MARK
    assert set(np.flatnonzero(beside)) == set(range(GAP + 2 * down, GAP + 3 * down - 1))
    assert set(np.flatnonzero(above)) == set(range(GAP + 4 * right, GAP + 5 * right - 1))
    assert (image.pixels == DEAD).sum() == (~mask).sum() * image.layout.scale[0] ** 2


def test_a_layer_much_taller_than_wide_is_folded() -> None:
    layout = Layout.of((512, 1, 3, 3), 1600)
    assert layout.strips > 10
    assert layout.outputs * layout.strips >= 512
    height, width = layout.size
    assert 0.5 < height / width < 2


@pytest.mark.parametrize("shape", [(512, 512, 3, 3), (500, 700)])
def test_a_layer_that_is_too_large_is_drawn_in_blocks_by_the_share_of_kept_weights(shape: tuple[int, ...]) -> None:
    weights, mask = weights_of(shape, 0.02)
    mask[: shape[0] // 2] = False
    image = weight_image(weights, mask, 300)
    layout = image.layout
    assert not layout.exact
    assert max(layout.size) <= 300
    assert "too large to draw each weight" in layout.pixel
    rows, columns = layout.block
    kernels = mask.reshape(*shape[:2], -1)
    for row, column in ((0, 0), (layout.strip[0] - 1, 5), (layout.strip[0] - 2, layout.strip[1] - 1)):
        block = kernels[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
        expected = int(np.ceil(block.mean() * LEVELS))
        found = int(image.pixels[GAP + row, GAP + column])
        assert found == (NOTHING if expected == 0 else 4 + expected)
    assert (image.pixels[GAP, GAP - 5], image.pixels[-1, GAP - 5]) == (MARK, NOTHING)


def test_a_difference_has_a_colour_for_each_case() -> None:
    first, other = np.array([[1, 1, 0, 0]], dtype=bool), np.array([[1, 0, 1, 0]], dtype=bool)
    image = difference_image(first, other, 200)
    width = image.layout.scale[1]
    codes = [int(image.pixels[GAP, GAP + width * place]) for place in range(4)]
    assert codes == [BOTH, FIRST, OTHER, DEAD]
    assert len({tuple(image.palette[code]) for code in codes}) == 4


def test_a_large_difference_is_shaded_by_the_overlap() -> None:
    _, first = weights_of((400, 400), 0.3)
    same = difference_image(first, first, 300)
    assert set(np.unique(same.pixels[GAP:, GAP:])) <= {NOTHING, 4 + LEVELS}
    apart = difference_image(first, ~first, 300)
    assert set(np.unique(apart.pixels)) == {NOTHING}


def test_a_weight_with_another_number_of_dimensions_is_refused() -> None:
    with pytest.raises(ArchError, match=r"^a weight to draw must be a matrix or have square kernels \(got 3 "):
        weight_image(*weights_of((2, 3, 4)), 100)
