"""A data set as a value, and the registry of those that ticketkit can load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketkit.data.files import ImageFiles
from ticketkit.data.survey import Fingerprint, Moments, Survey, moments, survey
from ticketkit.errors import DataError
from ticketkit.registry import Registry

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

IMAGE_AXES = 4
"""Images are [N, C, H, W]."""

MOST_SIDE = 8_192
"""The largest side length that images are brought to; an image of it has :data:`~ticketkit.data.files.MOST_PIXELS`."""

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
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise DataError(f"classes must be one or more different names (got {self.classes}): {self.name}")
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
        limits = [":" if limit is None else f":{limit}" for limit in (train, test)]
        kept_train, kept_test = _evenly_spaced(self.train_labels, train), _evenly_spaced(self.test_labels, test)
        return ImageData(
            name=f"{self.name}[{limits[0] if test is None else ','.join(limits)}]",
            train_images=self.train_images[kept_train],
            train_labels=self.train_labels[kept_train],
            test_images=self.test_images[kept_test],
            test_labels=self.test_labels[kept_test],
            classes=self.classes,
        ).surveyed()

    def _limit(self, part: str, limit: int | None, count: int) -> int | None:
        if limit is not None and limit < 1:
            raise DataError(f"limit of {part} images must be at least 1 (got {limit}): {self.name}")
        return None if limit is None or limit >= count else limit


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """What is asked of a data set's loader; each takes what concerns it.

    Attributes:
        data_dir: The folder that holds the data; None for the data set's own default.
        image_size: Height and width in pixels to bring images to, where they differ; None to take them as they are.
        download: Whether a data set that is missing may be fetched from the net.
        workers: Processes that decode images; None for as many as there are processors.
        stream: Whether images that lie in a file each are decoded whenever they are needed, instead of once; None
            decides by ``memory_budget``. Other data sets are always held.
        memory_budget: What decoded images may take, in bytes, before they are streamed; None for no limit.
            :func:`ticketkit.train.memory_budget` gives a device's.
        cache_dir: Where decoded images are kept; None for ``ticketkit`` in the user's cache folder.
        on_progress: Called, in the thread that loads, with the images done and the images there are.
        on_wait: Called with one line before something slow that shows no progress, such as a download, and with one
            about files that were left out; if None, the latter is a warning.

    Raises:
        DataError: If a number is less than 1, or ``image_size`` above :data:`MOST_SIDE`.
    """

    data_dir: Path | None = None
    image_size: int | None = None
    download: bool = True
    workers: int | None = None
    stream: bool | None = None
    memory_budget: int | None = None
    cache_dir: Path | None = None
    on_progress: Callable[[int, int], None] | None = None
    on_wait: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "workers", "memory_budget"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise DataError(f"{name} of a data set must be at least 1 (got {number})")
        if (self.image_size or 1) > MOST_SIDE:
            raise DataError(f"image_size of a data set must be at most {MOST_SIDE:,} pixels (got {self.image_size:,})")

    def check_image_size(self, name: str, size: int) -> None:
        """Refuse a size that a data set of fixed size does not have; for loaders.

        Args:
            name: The data set.
            size: Height and width of its images.

        Raises:
            DataError: If ``image_size`` is given and differs.
        """
        if self.image_size not in (None, size):
            raise DataError(f"image_size of {name} must be {size}, or not given (got {self.image_size})")


Loader = Callable[[DataRequest], ImageData]

DATASETS: Registry[Loader] = Registry("data set", "ticketkit.data", DataError)


def load_data(name: str, request: DataRequest | None = None) -> ImageData:
    """Load a data set.

    Args:
        name: The name it is registered under ("digits", "cifar10", "folder").
        request: Where it is and how to read it; all defaults if None.

    Raises:
        DataError: If there is no such data set, or it is missing or malformed.

    Examples:
        >>> ticketkit.load_data("digits").classes
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    return DATASETS[name](request or DataRequest())


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
