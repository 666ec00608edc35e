"""How images of any size are brought to one: by their centre, or at random for training, as torchvision does it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS: Final = 2**26
"""The most pixels of an image that is decoded; it takes up to 768 MiB while it is."""

TRIES: Final = 10
"""How often a box is drawn that may not fit the image, before the largest one in its centre is taken."""

LEAST_ASPECT: Final = 3 / 4
MOST_ASPECT: Final = 4 / 3

Size = tuple[int, int]
"""Width and height in pixels."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the latter two outside of the box."""


class Framing(Protocol):
    """Brings an image of 8 bits a channel to its size: :class:`CentreCrop` or :class:`ResizedCrop`."""

    def __call__(self, image: Image.Image) -> Image.Image | None:
        """The image in its size; None if that would take more than :data:`MOST_PIXELS` on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreCrop:
    """Resizes the shorter side and cuts out the centre, as torchvision's Resize and CenterCrop do.

    Attributes:
        size: Height and width of the result, in pixels.
        resize: What the shorter side is brought to first, at least ``size``; None for ``size``.
    """

    size: int
    resize: int | None = None

    def __call__(self, image: Image.Image) -> Image.Image | None:
        """See :class:`Framing`."""
        from PIL import Image  # Pillow is not imported to look up a data set

        shorter = self.resize or self.size
        width, height = _sides(image.size, shorter)
        if width * height > MOST_PIXELS:  # a strip may be small, and yet be huge once its shorter side has grown
            return None
        if min(image.size) != shorter:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedCrop:
    """Cuts out a box of random area and aspect ratio and resizes it, as torchvision's RandomResizedCrop does.

    Attributes:
        size: Width and height of the result, in pixels.
        least: The least area of the box, as a fraction of the image's, in (0, 1]; its aspect ratio is from 3/4 to 4/3.
        seed: What the box is drawn from, in [0, 2**63).
    """

    size: Size
    least: float
    seed: int

    def __call__(self, image: Image.Image) -> Image.Image | None:
        """See :class:`Framing`."""
        from PIL import Image  # Pillow is not imported to look up a data set

        # Cut first: resizing a box of an image would let its edges see what is beyond them.
        return image.crop(random_box(image.size, self.least, self.seed)).resize(self.size, Image.Resampling.BILINEAR)


def random_box(size: Size, least: float, seed: int) -> Box:
    """Draw a box by the rule of torchvision's RandomResizedCrop.

    The area is uniform between ``least`` and 1 of the image's, the logarithm of the aspect ratio between those of 3/4
    and 4/3. After :data:`TRIES` that do not fit, it is the largest box of such an aspect ratio in the centre.

    Args:
        size: The image's.
        least: The least area, as a fraction of the image's, in (0, 1].
        seed: What the box follows from, and from nothing else; in [0, 2**63).
    """
    width, height = size
    # Numbers in [0, 1) alone, which numpy makes of the bits in one way: how it draws integers has changed before.
    for area, aspect, across, down in np.random.default_rng(seed).random((TRIES, 4)).tolist():
        target = width * height * (least + (1 - least) * area)
        ratio = math.exp(math.log(LEAST_ASPECT) + (math.log(MOST_ASPECT) - math.log(LEAST_ASPECT)) * aspect)
        wide, high = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left, top = math.floor(across * (width - wide + 1)), math.floor(down * (height - high + 1))
            return left, top, left + wide, top + high
    return _central_box(size)


def _central_box(size: Size) -> Box:
    width, height = size
    wide, high = width, height
    if width / height < LEAST_ASPECT:
        high = round(width / LEAST_ASPECT)
    elif width / height > MOST_ASPECT:
        wide = round(height * MOST_ASPECT)
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def _sides(size: Size, shorter_side: int) -> Size:
    """Width and height once the shorter side is brought to a length."""
    shorter = min(size)
    width, height = (shorter_side if side == shorter else shorter_side * side // shorter for side in size)
    return width, height
