"""What one pass over all images of a data set tells: mean, standard deviation and fingerprint, exactly.

They are the same whether the images are held in memory or decoded on the way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketkit.data.files import NAMED, Fault, ImageFiles, size_error
from ticketkit.errors import DataError

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""


class ColourError(DataError):
    """An image is in colour where all before it were grey."""


class BrokenImagesError(DataError):
    """Images cannot be decoded.

    Args:
        faults: What is wrong with each.
        count: How many images there are.
    """

    def __init__(self, faults: Sequence[Fault], count: int) -> None:
        names = ", ".join(map(str, faults[:NAMED])) + (", …" if len(faults) > NAMED else "")
        super().__init__(f"images must be readable ({len(faults):,} of {count:,} are not): {names}")
        self.faults: tuple[Fault, ...] = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a pass over all images of a data set told.

    Attributes:
        shape: Channels, height and width of every image.
        mean: See :attr:`ticketkit.data.ImageData.mean`.
        std: See :attr:`ticketkit.data.ImageData.std`.
        fingerprint: See :attr:`ticketkit.data.ImageData.fingerprint`.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str


class Fingerprint:
    """The SHA-256 of a data set, taken a part of it at a time.

    Args:
        shapes: Of the training images, their labels, the test images and their labels, whose bytes must follow in
            this order.
        classes: The classes' names.
    """

    def __init__(self, shapes: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
        self._digest = hashlib.sha256(json.dumps([[*shape] for shape in shapes] + [[*classes]]).encode())

    def update(self, array: NDArray[np.uint8] | NDArray[np.int64]) -> None:
        """Take the next array, or the next part of one. Numbers enter as little-endian."""
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        self._digest.update(np.ascontiguousarray(little).reshape(-1).data)

    @property
    def value(self) -> str:
        """``sha256:`` and the digest of all that came."""
        return f"sha256:{self._digest.hexdigest()}"


def moments(sums: NDArray[np.int64], count: int) -> Moments:
    """Mean and standard deviation of each channel; the latter is 1 where it is 0.

    Args:
        sums: int64 [2, C]: the sum of each channel's pixels, and of their squares.
        count: Pixels of a channel.
    """
    # Sums of integers are exact, so the result depends on no order of summation: one rounding ends each number.
    totals: list[tuple[int, int]] = list(zip(*sums.tolist(), strict=True))
    mean = tuple(total / count for total, _ in totals)
    std = tuple(math.sqrt((count * squares - total * total) / count**2) or 1.0 for total, squares in totals)
    return mean, std


def survey(
    train: ImageFiles,
    train_labels: NDArray[np.int64],
    test: ImageFiles,
    test_labels: NDArray[np.int64],
    classes: Sequence[str],
) -> Survey:
    """Decode every image of a data set once, and keep none.

    Args:
        train: The training images; their ``on_progress`` is told how far the pass is.
        train_labels: int64 [N].
        test: The test images.
        test_labels: int64 [M].
        classes: The classes' names.

    Raises:
        ColourError: If an image is in colour and ``train`` is grey.
        BrokenImagesError: If images cannot be decoded; these are counted, and the first named.
        DataError: If images differ in size.
    """
    total = len(train) + len(test)
    fingerprint = Fingerprint([train.shape, train_labels.shape, test.shape, test_labels.shape], classes)
    channels, height, width = train.decoder.shape
    sums = np.zeros((2, channels), dtype=np.int64)
    broken: list[Fault] = []
    done = 0
    for images, labels in ((train, train_labels), (test, test_labels)):
        with contextlib.closing(images.parts()) as parts:
            for part in parts:
                _check(part.faults, (height, width))
                broken += part.faults
                fingerprint.update(part.images)
                if images is train:
                    sums += part.sums
                done += len(part.images)
                if train.on_progress is not None:
                    train.on_progress(done, total)
        fingerprint.update(labels)
    if broken:
        raise BrokenImagesError(broken, total)
    mean, std = moments(sums, len(train) * height * width)
    return Survey(shape=train.decoder.shape, mean=mean, std=std, fingerprint=fingerprint.value)


def _check(faults: Sequence[Fault], size: tuple[int, int]) -> None:
    """Raise at once for what is wrong with the whole data set, not with one image."""
    for fault in faults:
        if fault.size is not None:
            raise size_error(size, fault.size, fault.path)
        if fault.in_colour:
            raise ColourError(f"images must be grey, as those before are: {fault.path}")
