"""A data set as a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ticketkit.data.files import ImageFiles
from ticketkit.data.naming import limited_name
from ticketkit.data.survey import Fingerprint, Moments, Survey, moments, survey
from ticketkit.errors import DataError
from ticketkit.reading import shown

if TYPE_CHECKING:
    from ticketkit.data.objects import MapDataset

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

IMAGE_AXES = 4
"""Images are [N, C, H, W]."""

COUNTED_AT_ONCE = 1 << 24
"""Pixels whose squares are held at a time while they are summed: 64 MiB, whatever the size of the data set."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageData:
    """A training set and a test set of images of one size, with their classes.

    The arrays are kept as read-only views, not copied: whoever passes them in does not write to them afterwards.
    Images that are too many to be held are :class:`~ticketkit.data.files.ImageFiles` instead: a data set of these is
    streamed, and has the same mean, standard deviation and fingerprint as if it were held.

    Attributes:
        name: What the data set is called ("cifar10", "folder:flowers", "cifar10[:5000]").
        train_images: uint8 of shape [N, C, H, W], in 0..255 or whatever part of it the data set uses; or files that
            decode to this.
        train_labels: int64 of shape [N], in [0, number of classes).
        test_images: As ``train_images``, for the test set.
        test_labels: As ``train_labels``, for the test set.
        classes: The classes' names, in the order of the labels.

    Raises:
        DataError: If the arrays do not hold together; the message names the first that does not.

    Examples:
        >>> data = ticketkit.load_data("digits")
        >>> data.num_classes, data.shape, data.train_images.shape
        (10, (1, 8, 8), (898, 1, 8, 8))
    """

    name: str
    train_images: Images | ImageFiles = field(repr=False)
    train_labels: Labels = field(repr=False)
    test_images: Images | ImageFiles = field(repr=False)
    test_labels: Labels = field(repr=False)
    classes: tuple[str, ...]
    # What takes a pass over all pixels is worked out at most once, and only when somebody asks.
    _moments: list[Moments] = field(init=False, repr=False, default_factory=list)
    _fingerprints: list[str] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        repeated = [name for name, count in Counter(self.classes).items() if count > 1]
        if repeated or not self.classes:
            got = f"{shown(repeated[0])} more than once" if repeated else "none"
            raise DataError(f"classes must be one or more different names (got {got}): {self.name}")
        for part in ("train", "test"):
            self._check(part)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            train, test = (_times(images.shape[1:]) for images in (self.train_images, self.test_images))
            raise DataError(f"training and test images must have one shape (got {train} and {test}): {self.name}")
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            array = getattr(self, name)
            if isinstance(array, np.ndarray):
                view = np.ascontiguousarray(array).view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    @property
    def files(self) -> tuple[ImageFiles, ImageFiles] | None:
        """The files of the training and the test images, if the data set is streamed; None if it is held."""
        if isinstance(self.train_images, ImageFiles) and isinstance(self.test_images, ImageFiles):
            return self.train_images, self.test_images
        return None

    @property
    def arrays(self) -> tuple[Images, Images]:
        """The training and the test images of a data set that is held, uint8 [N, C, H, W].

        Raises:
            DataError: If it is streamed.
        """
        if isinstance(self.train_images, np.ndarray) and isinstance(self.test_images, np.ndarray):
            return self.train_images, self.test_images
        raise DataError(f"images must be held in memory for this (they are streamed): {self.name}")

    def surveyed(self, known: Survey | None = None) -> ImageData:
        """The same data set, once a pass over its files, if it is streamed, has told mean and fingerprint.

        Without this call the pass is made when somebody first asks. What is held needs none.

        Args:
            known: What such a pass has told before; None makes one.

        Raises:
            DataError: If images cannot be decoded; these are counted, and the first named.
        """
        if known is None and (files := self.files) is not None:
            train, test = files
            known = survey(train, self.train_labels, test, self.test_labels, self.classes)
        if known is not None:
            self._moments[:] = [(known.mean, known.std)]
            self._fingerprints[:] = [known.fingerprint]
        return self

    def _check(self, part: str) -> None:
        images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
        where = f"{part} set of {self.name}"
        decoded = isinstance(images, ImageFiles) or (images.dtype == np.uint8 and images.ndim == IMAGE_AXES)
        if not decoded or 0 in images.shape:
            raise DataError(f"images must be uint8 [N, C, H, W], none of them 0 (got {_array(images)}): {where}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise DataError(f"labels must be int64 [{len(images)}] (got {_array(labels)}): {where}")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(f"labels must be from 0 to {len(self.classes) - 1} (got {low} to {high}): {where}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training images, in the images' own units (0..255)."""
        return self._mean_and_std()[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training images, in their own units; 1 where it is 0."""
        return self._mean_and_std()[1]

    def _mean_and_std(self) -> Moments:
        if not self._moments:
            if self.files is not None:
                self.surveyed()
            else:
                self._moments.append(_mean_and_std(self.arrays[0]))
        return self._moments[0]

    @property
    def fingerprint(self) -> str:
        """``sha256:`` and the SHA-256 of the arrays' shapes and bytes and of the classes' names, not of ``name``.

        Labels enter as little-endian 64-bit integers, so that every machine gets the same value.
        """
        if not self._fingerprints:
            if self.files is not None:
                self.surveyed()
            else:
                train, test = self.arrays
                arrays = (train, self.train_labels, test, self.test_labels)
                self._fingerprints.append(_fingerprint(arrays, self.classes))
        return self._fingerprints[0]

    def limited(self, train: int | None, test: int | None = None) -> ImageData:
        """A smaller data set, for small tries: ``train`` training images and ``test`` test images.

        They are not the first so many, which in a data set sorted by class would all be of one class, but evenly
        spaced ones of every class: each class keeps its share, to within one image, and those kept stay in order.
        The same call always takes the same images, and the name tells that it did: ``cifar10[:5000,:1000]``.
        Those kept of a streamed set are decoded once, for their mean, standard deviation and fingerprint.

        Args:
            train: Training images to keep, from 1; None, or more than there are, keeps all.
            test: The same for test images.

        Raises:
            DataError: If a number is less than 1, or an image can no longer be decoded.
        """
        train = self._limit("train", train, len(self.train_labels))
        test = self._limit("test", test, len(self.test_labels))
        if train is None and test is None:
            return self
        kept_train, kept_test = _evenly_spaced(self.train_labels, train), _evenly_spaced(self.test_labels, test)
        return ImageData(
            name=limited_name(self.name, (train, test)),
            train_images=self.train_images[kept_train],
            train_labels=self.train_labels[kept_train],
            test_images=self.test_images[kept_test],
            test_labels=self.test_labels[kept_test],
            classes=self.classes,
        ).surveyed()

    def fraction(self, train: float) -> ImageData:
        """A smaller data set, for small tries: a fraction of the training images, and all test images.

        They are those that :meth:`limited` takes for the same number, and the name is the same: ``cifar10[:5000]``.

        Args:
            train: The fraction to keep, above 0 and at most 1; at least one image is kept.

        Raises:
            DataError: If it is out of its range, or an image can no longer be decoded.
        """
        if not 0 < train <= 1:
            raise DataError(f"fraction of training images must be above 0 and at most 1 (got {train:g}): {self.name}")
        return self.limited(max(round(train * len(self.train_labels)), 1))

    @classmethod
    def from_tensors(
        cls,
        train_images: Any,
        train_labels: Any,
        test_images: Any,
        test_labels: Any,
        *,
        classes: Sequence[str] | None = None,
        name: str = "tensors",
    ) -> ImageData:
        """A data set of tensors of torch, or of arrays.

        Args:
            train_images: uint8 [N, C, H, W], or grey [N, H, W]. Floating-point images are taken where every value is
                a 255th in [0, 1], as torchvision's ``ToTensor`` makes them.
            train_labels: Integers of any type, [N], in [0, number of classes).
            test_images: As ``train_images``, of the same channels, height and width.
            test_labels: As ``train_labels``.
            classes: The classes' names, in the order of the labels; "0", "1" and so on if None.
            name: What the data set is called in tickets and reports.

        Raises:
            DataError: If they are something else; the message says which, and what it must be.

        Examples:
            >>> import torch
            >>> images = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8)
            >>> labels = torch.arange(60) % 2
            >>> data = ticketkit.ImageData.from_tensors(images[:40], labels[:40], images[40:], labels[40:])
            >>> data.shape, data.classes, len(data.train_labels)
            ((3, 32, 32), ('0', '1'), 40)
        """
        from ticketkit.data.objects import data_of_tensors

        return data_of_tensors(
            (train_images, train_labels), (test_images, test_labels), classes=classes, name=name, make=cls
        )

    @classmethod
    def from_dataset(
        cls, train: MapDataset, test: MapDataset, *, classes: Sequence[str] | None = None, name: str = "dataset"
    ) -> ImageData:
        """A data set of two map-style objects, such as torchvision's or a ``torch.utils.data.Dataset`` of your own.

        Every item is read once, and held as bytes; normalising, shifting and mirroring are done later, in batches. So
        items come without augmentation and without ``Normalize``; ``ToTensor`` is undone exactly.

        Args:
            train: Items are pairs of an image and its label. An image is one of Pillow (what is neither grey nor RGB
                becomes RGB), a uint8 tensor [C, H, W] or [H, W], or a uint8 array [H, W, C] or [H, W]; all are of one
                shape. A label is an integer from 0.
            test: The same, for the test set.
            classes: The classes' names, in the order of the labels; if None, the ``classes`` of ``train`` where it has
                some, else "0", "1" and so on. Where each is a tuple of synonyms, as ImageNet's are, they are joined.
            name: What the data set is called in tickets and reports.

        Raises:
            DataError: If an item is something else; the message says which, and what it must be.

        Examples:
            >>> from torch.utils.data import TensorDataset
            >>> import torch
            >>> images = torch.randint(0, 256, (60, 1, 28, 28), dtype=torch.uint8)
            >>> train = TensorDataset(images[:40], torch.arange(40) % 4)
            >>> test = TensorDataset(images[40:], torch.arange(20) % 4)
            >>> data = ticketkit.ImageData.from_dataset(train, test, name="mine")
            >>> data.shape, data.num_classes
            ((1, 28, 28), 4)
        """
        from ticketkit.data.objects import data_of_datasets

        return data_of_datasets(train, test, classes=classes, name=name, make=cls)

    def _limit(self, part: str, limit: int | None, count: int) -> int | None:
        if limit is not None and limit < 1:
            raise DataError(f"limit of {part} images must be at least 1 (got {limit}): {self.name}")
        return None if limit is None or limit >= count else limit


def _mean_and_std(images: Images) -> Moments:
    sums = np.zeros((2, images.shape[1]), dtype=np.int64)
    step = max(COUNTED_AT_ONCE // images[0].size, 1)
    for start in range(0, len(images), step):
        part = images[start : start + step].astype(np.uint32)
        sums[0] += part.sum(axis=(0, 2, 3), dtype=np.int64)
        sums[1] += np.square(part, out=part).sum(axis=(0, 2, 3), dtype=np.int64)
    return moments(sums, images.size // images.shape[1])


def _fingerprint(arrays: tuple[Images | Labels, ...], classes: tuple[str, ...]) -> str:
    fingerprint = Fingerprint([array.shape for array in arrays], classes)
    for array in arrays:
        fingerprint.update(array)
    return fingerprint.value


def _evenly_spaced(labels: Labels, limit: int | None) -> NDArray[np.intp] | slice:
    # Evenly spaced in the order of the classes is evenly spaced inside each class, and gives each its share.
    if limit is None:
        return slice(None)
    places = (2 * np.arange(limit) + 1) * len(labels) // (2 * limit)
    return np.sort(np.argsort(labels, kind="stable")[places])


def _array(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | ImageFiles) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
