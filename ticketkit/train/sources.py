"""Where batches have their images from: the interface, and images that are held on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ticketkit.data import ImageData
from ticketkit.encoding import Array

EVALUATION_BATCH = 1_024
"""Images that are evaluated at a time."""

Part = Literal["train", "test"]


class ImageSource(Protocol):
    """Where batches have their images from: :class:`HeldImages`, or :class:`~ticketkit.train.streaming.StreamedImages`.

    Attributes:
        waited: Seconds that the device has waited for images so far.
    """

    @property
    def waited(self) -> float:
        """See the class."""

    def train(self, order: Tensor, crops: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The images of an epoch's steps.

        Args:
            order: Positions in the training set, int64 [steps, batch], on the CPU.
            crops: The seed of the box to cut out of each, likewise; None for whole images, the only ones that are held.

        Yields:
            For each step, images inside their black border on the device, uint8 [M, H + 2 border, W + 2 border, C],
            and where among these the batch's are, int64 [batch].
        """

    def plain(self, part: Part, order: Tensor) -> Iterator[Tensor]:
        """Images without a border, at most :data:`EVALUATION_BATCH` at a time: uint8 [N, H, W, C] on the device.

        Args:
            part: Of which set.
            order: Positions in it, int64, on the CPU.
        """


class HeldImages:
    """The images of a data set as uint8 [N, H, W, C] on the device. Implements :class:`ImageSource`.

    Args:
        data: A data set that is held.
        border: Width of the black border that training images are given, in pixels.
        device: Where they are kept.
    """

    waited: float = 0.0

    def __init__(self, data: ImageData, border: int, device: str) -> None:
        # Channels last, so that batches come out that way.
        train, test = (to_device(images.transpose(0, 2, 3, 1), device) for images in data.arrays)
        self.bordered: Tensor = bordered(train, border)
        self._border = border
        self._test = test
        self._device = device

    def train(self, order: Tensor, crops: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """See :class:`ImageSource`."""
        del crops  # there are none: batches refuse a recipe with boxes for images that are held
        for places in order.to(self._device):
            yield self.bordered, places

    def plain(self, part: Part, order: Tensor) -> Iterator[Tensor]:
        """See :class:`ImageSource`."""
        images = self._test if part == "test" else without_border(self.bordered, self._border)
        for places in torch.split(order.to(self._device), EVALUATION_BATCH):
            yield images[places]


def bordered(images: Tensor, border: int) -> Tensor:
    """Images [N, H, W, C] inside a black border, as a copy."""
    return functional.pad(images, (0, 0, border, border, border, border))


def without_border(images: Tensor, border: int) -> Tensor:
    """The inside of images that have a border, as a view."""
    return images[:, border : images.shape[1] - border, border : images.shape[2] - border]


def to_device(array: Array, device: str) -> Tensor:
    """An array as a tensor on a device."""
    # A copy in C order: torch does not take read-only arrays.
    return torch.from_numpy(np.array(array, order="C")).to(device)
