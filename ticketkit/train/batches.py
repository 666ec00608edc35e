"""A data set on the device, whole, and the batches of every epoch.

Which images an epoch's steps see, and how they are shifted and mirrored, follows from the seed and the epoch's number
alone: a run can resume at any step, and every arm of a comparison sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ticketkit.arch import FAMILIES, ArchSpec
from ticketkit.data import ImageData
from ticketkit.encoding import Array
from ticketkit.errors import ArchError, DataError
from ticketkit.recipe import Recipe
from ticketkit.seeds import derive_seed
from ticketkit.train.pool import Pool

EVALUATION_BATCH = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Images as uint8 [N, H, W, C], channels last so that batches come out that way, and labels [N]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """Which images each step of an epoch sees, and how they are shifted and mirrored.

    Attributes:
        order: The images' positions in the training set, int64 [steps, batch].
        shifts: Where each one is cut out of its padded image, row and column, int64 [steps, batch, 2].
        mirrored: Whether it is mirrored, bool [steps, batch].
    """

    order: Tensor
    shifts: Tensor
    mirrored: Tensor

    @classmethod
    def draw(cls, seed: int, epoch: int, *, count: int, steps: int, recipe: Recipe) -> EpochPlan:
        """Draw the plan of one epoch, on the CPU, so that every device sees the same images.

        Args:
            seed: Seed of order and augmentation.
            epoch: The epoch's number, from 0.
            count: Number of training images.
            steps: Steps of an epoch.
            recipe: Its batch size and augmentation.
        """
        order = _shuffled(count, derive_seed(seed, "data order", epoch))
        generator = torch.Generator().manual_seed(derive_seed(seed, "augmentation", epoch))
        shifts = torch.randint(0, 2 * recipe.crop + 1, (count, 2), generator=generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if recipe.flip else 0.0)
        used = steps * recipe.batch
        return cls(
            order=order[:used].view(steps, recipe.batch),
            shifts=shifts[:used].view(steps, recipe.batch, 2),
            mirrored=mirrored[:used].view(steps, recipe.batch),
        )

    def to(self, device: str) -> EpochPlan:
        """The same plan on a device."""
        return EpochPlan(order=self.order.to(device), shifts=self.shifts.to(device), mirrored=self.mirrored.to(device))


def check_fits(arch: ArchSpec, data: ImageData) -> None:
    """Check that a network takes a data set's images and tells its classes apart.

    Raises:
        ArchError: If it has other input channels or classes, or takes images of another size.
    """
    family = FAMILIES[arch.family]
    needs: list[tuple[str, int | str, int | str]] = [
        ("in_channels", family.image_channels(data.shape), arch.in_channels),
        ("num_classes", data.num_classes, arch.num_classes),
    ]
    if (size := family.image_size(arch)) is not None:
        needs.append(("the image size", f"{data.shape[1]}×{data.shape[2]}", f"{size}×{size}"))
    for name, needed, found in needs:
        if found != needed:
            raise ArchError(f"{name} of {arch.name} must be {needed}, as in {data.name} (got {found})")


class Batches:
    """A data set ready to train on.

    Args:
        data: The images and labels.
        recipe: Its batch size and augmentation.
        device: Where images live and batches are made.

    Raises:
        DataError: If there are fewer training images than a batch holds.
    """

    def __init__(self, data: ImageData, recipe: Recipe, device: str = "cpu") -> None:
        count = len(data.train_labels)
        if count < recipe.batch:
            raise DataError(f"training images of {data.name} must fill a batch of {recipe.batch:,} (got {count:,})")
        self.data = data
        self.recipe = recipe
        self.steps_per_epoch = count // recipe.batch
        self.captured: Pool[Any] = Pool()
        self._device = device
        _, self._height, self._width = data.shape
        pad = recipe.crop
        train = _to_device(data.train_images.transpose(0, 2, 3, 1), device)
        self._train = _Split(
            images=functional.pad(train, (0, 0, pad, pad, pad, pad)),
            labels=_to_device(data.train_labels, device),
        )
        self._test = _Split(
            images=_to_device(data.test_images.transpose(0, 2, 3, 1), device),
            labels=_to_device(data.test_labels, device),
        )
        self._mean = torch.tensor(data.mean, device=device)
        self._std = torch.tensor(data.std, device=device)
        self._rows = torch.arange(self._height, device=device)
        self._columns = torch.arange(self._width, device=device)

    def with_recipe(self, recipe: Recipe) -> Batches:
        """The same images for a recipe that differs in its schedule alone; they are shared, not copied.

        Raises:
            DataError: If it has another batch size or augmentation.
        """
        if (recipe.batch, recipe.crop, recipe.flip) != (self.recipe.batch, self.recipe.crop, self.recipe.flip):
            raise DataError(f"recipes {self.recipe.name} and {recipe.name} must batch and augment images alike")
        shared = copy(self)
        shared.recipe = recipe
        return shared

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch, shuffled and augmented.

        Args:
            seed: Seed of order and augmentation.
            epoch: The epoch's number, from 0.
            first: The step in the epoch to begin with.

        Yields:
            Normalised images, float32 [batch, C, H, W] in channels-last layout, and labels, int64 [batch].
        """
        plan = self.plan(seed, epoch)
        for step in range(first, self.steps_per_epoch):
            yield self.batch(plan.order[step], plan.shifts[step], plan.mirrored[step])

    def plan(self, seed: int, epoch: int) -> EpochPlan:
        """What :meth:`epoch` makes its batches of, on the device."""
        count, steps = len(self._train.labels), self.steps_per_epoch
        return EpochPlan.draw(seed, epoch, count=count, steps=steps, recipe=self.recipe).to(self._device)

    def batch(self, chosen: Tensor, shifts: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """One batch of a plan, made on the device without waiting for it; see :meth:`epoch` for what it gives.

        Args:
            chosen: One step of the plan's ``order``, int64 [batch].
            shifts: The same step of its ``shifts``.
            mirrored: The same step of its ``mirrored``.
        """
        images = self._cut(chosen, shifts, mirrored)
        return self._normalised(images), self._train.labels[chosen]

    def _cut(self, chosen: Tensor, shifts: Tensor, mirrored: Tensor) -> Tensor:
        """Cut each image out of its black border at its shift: uint8 [batch, H, W, C]."""
        if not self.recipe.crop and not self.recipe.flip:
            return self._train.images[chosen]
        columns = torch.where(mirrored[:, None], self._columns.flip(0), self._columns)
        rows = shifts[:, 0, None] + self._rows
        columns = shifts[:, 1, None] + columns
        return self._train.images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images.float() - self._mean) / self._std).permute(0, 3, 1, 2)

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images in order, in batches of at most 1,024; see :meth:`epoch` for shapes."""
        yield from self._plain(self._test)

    def train_in_order(self, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The first ``limit`` training images without augmentation, for recalibration.

        The images are taken evenly from the whole set, which may be sorted by class.
        """
        count = len(self._train.labels)
        chosen = torch.arange(0, count, max(count // limit, 1), device=self._device)[:limit]
        pad = self.recipe.crop
        images = self._train.images[:, pad : pad + self._height, pad : pad + self._width][chosen]
        yield from self._plain(_Split(images=images, labels=self._train.labels[chosen]))

    def _plain(self, split: _Split) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(split.labels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            yield self._normalised(split.images[part]), split.labels[part]


def _to_device(array: Array, device: str) -> Tensor:
    # A copy in C order: torch does not take read-only arrays.
    return torch.from_numpy(np.array(array, order="C")).to(device)


def _shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
