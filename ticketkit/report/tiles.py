"""A layer's weights as a picture: a row for each output filter, a column for each input, a tile for each kernel.

A picture is exact as long as every weight can have a pixel or more. A larger layer is drawn in blocks of whole kernels,
each of them one pixel. Layers that are much taller than wide, as depthwise ones are, are folded into strips. Pixels are
indices of a palette, so that nothing but numpy is needed, and a file of them is small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ticketkit.encoding import Array
from ticketkit.errors import ArchError
from ticketkit.mask import BoolArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
ScalarT = TypeVar("ScalarT", bound=np.generic)

NOTHING, DEAD, LINE, MARK, ZERO = range(5)
"""Codes of the palette: a pruned weight, one of a dead filter or input, the line between kernels, a dead one's mark."""

FIRST, OTHER, BOTH = range(5, 8)
"""Codes of a difference of masks: kept by the first ticket alone, by the other alone, by both."""

SHADES: Final = 16
"""Shades of each sign."""

_NEGATIVE, _POSITIVE = 5, 5 + SHADES
LEVELS: Final = 2 * SHADES
"""Shades of a share, where a pixel is a block."""

GAP: Final = 14
"""Pixels above and beside each strip, where dead filters and inputs are marked."""

_MARK_LENGTH = 7
_TALLEST = 1.2
"""Height over width above which a layer is folded."""

_LARGEST_SCALE = 24
_ROWS_HEIGHT = 240
"""Pixels that the rows of a layer of few outputs share."""

_PERCENTILE = 99
_FIXED = ("#ffffff", "#e4e4e4", "#d0d0d0", "#000000", "#8c8c8c")
_SIGNS = (("#004a87", "#a9cfec"), ("#f8c99f", "#a83b00"))
"""Ends of each sign's shades, from the lowest value to the highest; blue and orange, which most eyes tell apart."""

_SHARES = ("#dcdcf0", "#2a1a5e")
_MASKS = ("#0072B2", "#E69F00", "#3a3a3a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a layer's kernels stand in its picture.

    Attributes:
        shape: Outputs, inputs and the kernel's height and width.
        strips: Into how many strips, side by side, the outputs are folded.
        scale: Pixels of a weight, or of a block, down and to the right. They are equal but for a layer of few outputs
            and no kernels, whose rows are higher, so that they can be seen.
        block: How many kernels a block has down and to the right; (0, 0) where the picture is exact.
    """

    shape: tuple[int, int, int, int]
    strips: int
    scale: tuple[int, int]
    block: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, shape: tuple[int, int, int, int], limit: int) -> Layout:
        """Choose the largest picture of at most ``limit`` pixels on each side, lines and gaps included."""
        outputs, inputs, height, width = shape
        strips = max(1, round(math.sqrt(outputs * height / (inputs * width) / _TALLEST)))
        strips = min(strips, outputs, max(limit // (4 * GAP), 1))
        rows = math.ceil(outputs / strips)
        tall = min(_LARGEST_SCALE, max(_ROWS_HEIGHT // rows, 1)) if (height, width) == (1, 1) else 1
        for scale in range(_LARGEST_SCALE, 0, -1):
            found = cls(shape=shape, strips=strips, scale=(max(scale, tall), scale))
            if max(found.size) <= limit:
                return found
        room = limit - GAP, limit // strips - GAP
        block = math.ceil(rows / max(room[0], 1)), math.ceil(inputs / max(room[1], 1))
        return cls(shape=shape, strips=strips, scale=(tall if block[0] == 1 else 1, 1), block=block)

    @property
    def exact(self) -> bool:
        """Whether every weight can be seen."""
        return self.block == (0, 0)

    @property
    def line(self) -> int:
        """Pixels between two kernels: one, where weights are larger than a pixel and kernels than a weight."""
        return int(self.exact and min(self.scale) > 1 and self.shape[2:] != (1, 1))

    @property
    def outputs(self) -> int:
        """Outputs of a strip; the last may have fewer."""
        return math.ceil(self.shape[0] / self.strips)

    @property
    def pitch(self) -> tuple[float, float]:
        """Pixels from one output to the next, and from one input to the next."""
        down, right = self.scale
        if not self.exact:
            return down / self.block[0], right / self.block[1]
        return self.shape[2] * down + self.line, self.shape[3] * right + self.line

    @property
    def strip(self) -> tuple[int, int]:
        """Height and width of a strip in pixels, without the gaps above and beside it."""
        down, right = self.pitch
        return math.ceil(self.outputs * down), math.ceil(self.shape[1] * right)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        height, width = self.strip
        return GAP + height, self.strips * (GAP + width)

    @property
    def pixel(self) -> str:
        """What a pixel is, in words."""
        pixels = "one pixel is" if self.scale == (1, 1) else f"{self.scale[0]}×{self.scale[1]} pixels are"
        if self.exact:
            return f"{pixels} a weight"
        unit = "weights" if self.shape[2:] == (1, 1) else f"kernels of {self.shape[2]}×{self.shape[3]}"
        return f"too large to draw each weight: {pixels} a block of {self.block[0]}×{self.block[1]} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerImage:
    """A layer's picture.

    Attributes:
        pixels: Indices of the palette, uint8 [height, width].
        palette: Red, green and blue of each index, uint8 [colours, 3].
        layout: Where the kernels stand.
        dead_filters: Whether nothing is kept of an output, bool [outputs].
        dead_inputs: Whether nothing is kept of an input (per group), bool [inputs].
        bound: Magnitude from which on the darkest shade is used; 0 where shades are not of weights.
    """

    pixels: Pixels
    palette: Pixels
    layout: Layout
    dead_filters: BoolArray
    dead_inputs: BoolArray
    bound: float


def weight_image(weights: Array, mask: BoolArray, limit: int) -> LayerImage:
    """Draw a layer's kept weights: blue if negative, orange if positive, the darker the larger.

    The darkest shade begins at the 99th percentile of the magnitudes, so that a few large weights do not pale the
    others. Where a pixel is a block, its shade is the share of kept weights.

    Args:
        weights: The weights: outputs, inputs, and the kernel's height and width if it has one.
        mask: True where a weight is kept; of the same shape.
        limit: The most pixels on each side.

    Raises:
        ArchError: If the weight has neither two dimensions nor four.
    """
    kept = _four(mask)
    layout = Layout.of(_shape(kept), limit)
    filters, inputs = _dead(kept)
    bound = 0.0
    if not layout.exact:
        counts = _per_kernel(kept)
        whole = np.broadcast_to(np.int32(kept.shape[2] * kept.shape[3]), counts.shape)
        pixels = _blocks(layout, counts, whole)
    else:
        values = _four(weights).astype(np.float64)
        magnitudes = np.abs(values[kept & np.isfinite(values)])
        bound = float(np.percentile(magnitudes, _PERCENTILE)) if magnitudes.size else 0.0
        codes = _signed_codes(values, kept, bound)
        codes[~kept & (filters[:, None, None, None] | inputs[None, :, None, None])] = DEAD
        pixels = _exact(layout, codes)
    _mark(pixels, layout, filters, inputs)
    return LayerImage(
        pixels=pixels,
        palette=_palette_of_signs() if layout.exact else _palette(_SHARES, LEVELS),
        layout=layout,
        dead_filters=filters,
        dead_inputs=inputs,
        bound=bound,
    )


def difference_image(first: BoolArray, other: BoolArray, limit: int) -> LayerImage:
    """Draw which weights of a layer two tickets keep: the first alone, the other alone, both.

    Where a pixel is a block, its shade is the intersection over union of the two masks. Dead filters and inputs are
    those of which neither keeps a weight.

    Args:
        first: The first ticket's mask of the layer.
        other: The other's; of the same shape.
        limit: The most pixels on each side.

    Raises:
        ArchError: If the weight has neither two dimensions nor four.
    """
    left, right = _four(first), _four(other)
    either = left | right
    layout = Layout.of(_shape(left), limit)
    filters, inputs = _dead(either)
    if not layout.exact:
        pixels = _blocks(layout, _per_kernel(left & right), _per_kernel(either))
    else:
        codes = np.full(left.shape, NOTHING, dtype=np.uint8)
        for code, where in ((FIRST, left & ~right), (OTHER, right & ~left), (BOTH, left & right)):
            codes[where] = code
        codes[~either & (filters[:, None, None, None] | inputs[None, :, None, None])] = DEAD
        pixels = _exact(layout, codes)
    _mark(pixels, layout, filters, inputs)
    masks = np.array([_rgb(text) for text in (*_FIXED, *_MASKS)])
    palette = masks if layout.exact else _palette(_SHARES, LEVELS)
    return LayerImage(
        pixels=pixels,
        palette=palette.astype(np.uint8),
        layout=layout,
        dead_filters=filters,
        dead_inputs=inputs,
        bound=0.0,
    )


def _four(array: NDArray[ScalarT]) -> NDArray[ScalarT]:
    if array.ndim not in (2, 4):
        raise ArchError(f"a weight to draw must be a matrix or have square kernels (got {array.ndim} dimensions)")
    return array if array.ndim == 4 else array[:, :, None, None]  # noqa: PLR2004 - outputs, inputs, kernel


def _shape(array: BoolArray) -> tuple[int, int, int, int]:
    outputs, inputs, height, width = array.shape
    return outputs, inputs, height, width


def _per_kernel(kept: BoolArray) -> Counts:
    """How many weights each kernel keeps, int32 [outputs, inputs]: a layer that is drawn in blocks is a large one."""
    counts: Counts = kept.sum(axis=(2, 3), dtype=np.int32)
    return counts


def _dead(kept: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Whether nothing is kept of each output, and of each input."""
    filters: BoolArray = np.logical_not(np.any(kept, axis=(1, 2, 3)))
    inputs: BoolArray = np.logical_not(np.any(kept, axis=(0, 2, 3)))
    return filters, inputs


def _signed_codes(values: Floats, kept: BoolArray, bound: float) -> Pixels:
    strength = np.minimum(np.nan_to_num(np.abs(values), nan=bound) / (bound or 1.0), 1.0)
    shade = np.minimum((strength * SHADES).astype(np.int64), SHADES - 1)
    codes = np.where(values < 0, _NEGATIVE + SHADES - 1 - shade, _POSITIVE + shade)
    codes[values == 0] = ZERO
    codes[~kept] = NOTHING
    return codes.astype(np.uint8)


def _exact(layout: Layout, codes: Pixels) -> Pixels:
    """Every weight as a square of pixels, strip by strip."""
    outputs, inputs, height, width = layout.shape
    (down, right), line, padded = layout.scale, layout.line, layout.outputs * layout.strips
    tiles = np.full((padded, inputs, height * down + line, width * right + line), LINE, dtype=np.uint8)
    tiles[:outputs, :, : height * down, : width * right] = codes.repeat(down, axis=2).repeat(right, axis=3)
    tiles[outputs:] = NOTHING
    rows = tiles.transpose(0, 2, 1, 3).reshape(layout.strips, *layout.strip)
    return _side_by_side(layout, rows)


def _blocks(layout: Layout, part: Counts, whole: Counts) -> Pixels:
    """Every block of kernels as one pixel, shaded by its share: ``part`` of ``whole``, int32 [outputs, inputs]."""
    height, width = layout.strip
    strips = np.full((layout.strips, height, width), NOTHING, dtype=np.uint8)
    for number in range(layout.strips):
        mine = slice(number * layout.outputs, (number + 1) * layout.outputs)
        parts, wholes = _summed(part[mine], layout.block), _summed(whole[mine], layout.block)
        share = np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes > 0)
        shade = np.minimum(np.ceil(share * LEVELS).astype(np.int64), LEVELS)
        codes = np.where(shade > 0, len(_FIXED) - 1 + shade, NOTHING).repeat(layout.scale[0], axis=0)
        strips[number, : codes.shape[0], : codes.shape[1]] = codes
    return _side_by_side(layout, strips)


def _summed(counts: Counts, block: tuple[int, int]) -> Counts:
    # Of another type, numpy would first make a copy of them all.
    rows = np.add.reduceat(counts, range(0, counts.shape[0], block[0]), axis=0, dtype=counts.dtype)
    summed: Counts = np.add.reduceat(rows, range(0, counts.shape[1], block[1]), axis=1, dtype=counts.dtype)
    return summed


def _side_by_side(layout: Layout, strips: Pixels) -> Pixels:
    pixels = np.full(layout.size, NOTHING, dtype=np.uint8)
    height, width = layout.strip
    for number, strip in enumerate(strips):
        left = number * (GAP + width) + GAP
        pixels[GAP : GAP + height, left : left + width] = strip
    return pixels


def _mark(pixels: Pixels, layout: Layout, filters: BoolArray, inputs: BoolArray) -> None:
    """Blacken the gap beside each dead output and above each dead input; of blocks, beside those wholly dead."""
    (down, right), (_, width), line = layout.pitch, layout.strip, layout.line
    low, high = GAP - 3 - _MARK_LENGTH, GAP - 3
    columns = _spans(inputs, layout.block[1] or 1, right, line)
    for number in range(layout.strips):
        left = number * (GAP + width)
        mine = filters[number * layout.outputs : (number + 1) * layout.outputs]
        for first, last in _spans(mine, layout.block[0] or 1, down, line):
            pixels[GAP + first : GAP + last, left + low : left + high] = MARK
        for first, last in columns:
            pixels[low:high, left + GAP + first : left + GAP + last] = MARK


def _spans(dead: BoolArray, step: int, pitch: float, line: int) -> list[tuple[int, int]]:
    """The pixels, first and behind the last, of each run of ``step`` that are all dead."""
    starts = [start for start in range(0, dead.size, step) if dead[start : start + step].all()]
    return [(round(start * pitch), round((start + step) * pitch) - line) for start in starts]


def _palette_of_signs() -> Pixels:
    below, above = _SIGNS
    return np.concatenate([_palette(below, SHADES), _between(*above, SHADES)])


def _palette(ends: tuple[str, str], count: int) -> Pixels:
    return np.concatenate([np.array([_rgb(text) for text in _FIXED], dtype=np.uint8), _between(*ends, count)])


def _between(first: str, last: str, count: int) -> Pixels:
    low, high = np.array(_rgb(first)), np.array(_rgb(last))
    shades: Pixels = np.rint(low + np.linspace(0, 1, count)[:, None] * (high - low)).astype(np.uint8)
    return shades


def _rgb(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
