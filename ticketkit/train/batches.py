"""The batches of every epoch, made on the device from images that are held there, whole, or streamed to it.

Which images an epoch's steps see, and how they are shifted and mirrored, follows from the seed and the epoch's number
alone: a run can resume at any step, and every arm of a comparison sees the same batches. Where the images come from
makes no difference to a bit of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ticketkit.arch import FAMILIES, ArchSpec
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, DataError, RunError
from ticketkit.recipe import Recipe
from ticketkit.seeds import derive_seed
from ticketkit.train.pool import Pool
from ticketkit.train.sources import EVALUATION_BATCH, HeldImages, ImageSource, Part, to_device
from ticketkit.train.streaming import StreamedImages


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """Which images each step of an epoch sees, and how they are shifted and mirrored.

    Attributes:
        order: The images' positions in the training set, int64 [steps, batch].
        shifts: Where each one is cut out of its padded image, row and column, int64 [steps, batch, 2].
        mirrored: Whether it is mirrored, bool [steps, batch].
        crops: The seed of the box that is cut out of each one, int64 [steps, batch]; None if the recipe cuts out none.
    """

    order: Tensor
    shifts: Tensor
    mirrored: Tensor
    crops: Tensor | None = None

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
        # A box depends on its image's size, which is not known yet: whoever decodes the image draws it from a seed.
        crops = torch.randint(2**62, (count,), generator=generator) if recipe.resized_crop else None
        return cls(
            order=order[:used].view(steps, recipe.batch),
            shifts=shifts[:used].view(steps, recipe.batch, 2),
            mirrored=mirrored[:used].view(steps, recipe.batch),
            crops=None if crops is None else crops[:used].view(steps, recipe.batch),
        )

    def columns(self, chosen: slice) -> EpochPlan:
        """The same plan for some images of every step."""
        return EpochPlan(
            order=self.order[:, chosen].contiguous(),
            shifts=self.shifts[:, chosen].contiguous(),
            mirrored=self.mirrored[:, chosen].contiguous(),
            crops=None if self.crops is None else self.crops[:, chosen].contiguous(),
        )

    def to(self, device: str) -> EpochPlan:
        """The same plan on a device; the seeds of boxes stay where images are decoded."""
        order, shifts, mirrored = (planned.to(device) for planned in (self.order, self.shifts, self.mirrored))
        return EpochPlan(order=order, shifts=shifts, mirrored=mirrored, crops=self.crops)


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
        data: The images and labels; whether it is streamed decides where the images are.
        recipe: Its batch size and augmentation.
        device: Where batches are made, and images held.

    Attributes:
        data: See above.
        recipe: See above.
        steps_per_epoch: Whole batches of an epoch.
        captured: Steps that were captured or compiled for these batches.

    Raises:
        DataError: If there are fewer training images than a batch holds, or the recipe cuts boxes out of images that
            are held.
    """

    def __init__(self, data: ImageData, recipe: Recipe, device: str = "cpu") -> None:
        count = len(data.train_labels)
        if count < recipe.batch:
            raise DataError(f"training images of {data.name} must fill a batch of {recipe.batch:,} (got {count:,})")
        if recipe.resized_crop and data.files is None:
            raise crops_error(recipe, data.name)
        self.data = data
        self.recipe = recipe
        self.steps_per_epoch: int = count // recipe.batch
        self.captured: Pool[Any] = Pool()
        self._device = device
        self._source = _source_of(data, recipe, device)
        self._labels: dict[Part, Tensor] = {
            "train": to_device(data.train_labels, device),
            "test": to_device(data.test_labels, device),
        }
        _, height, width = data.shape
        # Of a row's every value: on the CPU, operators are slow over axes as short as the channels are.
        self._mean = torch.tensor(data.mean, device=device).repeat(width)
        self._std = torch.tensor(data.std, device=device).repeat(width)
        self._rows = torch.arange(height, device=device)
        self._columns = torch.arange(width, device=device)

    @property
    def streamed(self) -> bool:
        """Whether images are streamed to the device, instead of held there."""
        return not isinstance(self._source, HeldImages)

    @property
    def waited(self) -> float:
        """Seconds that training and evaluation have waited for streamed images so far, on whatever thread.

        On CUDA that is the device's own time; it counts what the device has done, so synchronise with it first.
        """
        return self._source.waited

    def with_recipe(self, recipe: Recipe) -> Batches:
        """The same images for a recipe that differs in its schedule alone; they are shared, not copied.

        Raises:
            DataError: If it has another batch size or augmentation.
        """
        ours, theirs = ((one.batch, one.crop, one.flip, one.resized_crop) for one in (self.recipe, recipe))
        if ours != theirs:
            raise DataError(f"recipes {self.recipe.name} and {recipe.name} must batch and augment images alike")
        shared = copy(self)
        shared.recipe = recipe
        return shared

    def epoch(
        self, seed: int, epoch: int, first: int = 0, *, steps: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch, shuffled and augmented.

        Args:
            seed: Seed of order and augmentation.
            epoch: The epoch's number, from 0.
            first: The step in the epoch to begin with.
            steps: How many steps to give; all that remain if None. Whoever needs fewer says so, as streamed images are
                decoded ahead.

        Yields:
            Normalised images, float32 [batch, C, H, W] in channels-last layout, and labels, int64 [batch].

        Raises:
            DataError: If a streamed image has changed and cannot be used.
            RunError: If a process that decodes images has ended.
        """
        plan = self._drawn(seed, epoch)
        there = plan.to(self._device)
        end = self.steps_per_epoch if steps is None else min(first + steps, self.steps_per_epoch)
        crops = None if plan.crops is None else plan.crops[first:end]
        source = self._source.train(plan.order[first:end], crops)
        for step, (images, places) in zip(range(first, end), source, strict=True):
            yield (
                self._normalised(self._cut(images, places, there.shifts[step], there.mirrored[step])),
                self._labels["train"][there.order[step]],
            )

    def plan(self, seed: int, epoch: int) -> EpochPlan:
        """What :meth:`epoch` makes its batches of, on the device."""
        return self._drawn(seed, epoch).to(self._device)

    def _drawn(self, seed: int, epoch: int) -> EpochPlan:
        count = len(self.data.train_labels)
        return EpochPlan.draw(seed, epoch, count=count, steps=self.steps_per_epoch, recipe=self.recipe)

    def batch(self, chosen: Tensor, shifts: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """One batch of a plan, made on the device without waiting for it; see :meth:`epoch` for what it gives.

        Args:
            chosen: One step of the plan's ``order``, int64 [batch].
            shifts: The same step of its ``shifts``.
            mirrored: The same step of its ``mirrored``.

        Raises:
            RunError: If images are streamed: then only :meth:`epoch` knows which come next.
        """
        if not isinstance(self._source, HeldImages):
            raise RunError(
                f"images must be held on the device to be chosen there (they are streamed): {self.data.name}"
            )
        images = self._cut(self._source.bordered, chosen, shifts, mirrored)
        return self._normalised(images), self._labels["train"][chosen]

    def _cut(self, images: Tensor, places: Tensor, shifts: Tensor, mirrored: Tensor) -> Tensor:
        """Cut each image out of its black border at its shift: uint8 [batch, H, W, C]."""
        if not self.recipe.crop and not self.recipe.flip:
            return images[places]
        columns = torch.where(mirrored[:, None], self._columns.flip(0), self._columns)
        rows = shifts[:, 0, None] + self._rows
        columns = shifts[:, 1, None] + columns
        return images[places[:, None, None], rows[:, :, None], columns[:, None, :]]

    def _normalised(self, images: Tensor) -> Tensor:
        rows = images.flatten(start_dim=2).float().sub_(self._mean).div_(self._std)
        return rows.view(images.shape).permute(0, 3, 1, 2)

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images in order, in batches of at most 1,024; see :meth:`epoch` for shapes."""
        yield from self._plain("test", torch.arange(len(self.data.test_labels)))

    def train_in_order(self, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The first ``limit`` training images without augmentation, for recalibration.

        The images are taken evenly from the whole set, which may be sorted by class.
        """
        count = len(self.data.train_labels)
        yield from self._plain("train", torch.arange(0, count, max(count // limit, 1))[:limit])

    def _plain(self, part: Part, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        labels = torch.split(self._labels[part][order.to(self._device)], EVALUATION_BATCH)
        for images, their_labels in zip(self._source.plain(part, order), labels, strict=True):
            yield self._normalised(images), their_labels


def crops_error(recipe: Recipe, name: str) -> DataError:
    """What to raise where a recipe cuts boxes out of images that are not decoded for every epoch anew."""
    return DataError(
        f"images must be streamed from a folder for resized_crop, which recipe {recipe.name} has ({name} is held in "
        "memory): --dataset folder without --no-stream, or --set resized_crop=0"
    )


def _source_of(data: ImageData, recipe: Recipe, device: str) -> ImageSource:
    if data.files is None:
        return HeldImages(data, recipe.crop, device)
    train, test = data.files
    return StreamedImages(train, test, recipe.crop, device, least=recipe.resized_crop)


def _shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
