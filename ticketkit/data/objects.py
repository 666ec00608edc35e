"""Data sets of Python: tensors and arrays, or map-style objects as torch's and torchvision's data sets are.

Torch is not imported here: who passes its objects in has done so.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ticketkit.arch.spec import LIMITS
from ticketkit.data.files import eight_bits
from ticketkit.data.images import IMAGE_AXES, ImageData, Images, Labels
from ticketkit.errors import DataError, one_line
from ticketkit.reading import shown

ROUNDING = 1e-3
"""How far 255 times a pixel of a floating-point image may be from a whole number, at least: float16 is coarser."""

CHECKED_AT_ONCE = 1 << 20
"""Floating-point pixels whose multiples are held at a time: 16 MiB, where those of a whole data set take gigabytes."""

AXES_OF_COLOUR = 3

MOST_CLASSES = LIMITS["num_classes"]
"""The most classes that a network tells apart: of a label beyond it, as many names would be made."""

_HOW = "leave out augmentation and Normalize, which recipes do"


class MapDataset(Protocol):
    """What has items by number, as a map-style ``torch.utils.data.Dataset`` has."""

    def __getitem__(self, index: int, /) -> Any:
        """Give one item: an image and its label."""

    def __len__(self) -> int:
        """Number of items."""


def data_of_tensors(
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    classes: Sequence[str] | None,
    name: str,
    make: Callable[..., ImageData],
) -> ImageData:
    """See :meth:`ticketkit.data.ImageData.from_tensors`; ``make`` is the class."""
    parts: dict[str, Images | Labels] = {}
    for part, (images, labels) in (("train", train), ("test", test)):
        where = f"{part} set of {name}"
        pixels = _bytes(_array(images), f"images of the {where}")
        if pixels.ndim == IMAGE_AXES - 1:
            pixels = pixels[:, np.newaxis]
        parts |= {f"{part}_images": pixels, f"{part}_labels": _labels(labels, where)}
    return make(name=name, classes=_classes(classes, parts), **parts)


def data_of_datasets(
    train: MapDataset,
    test: MapDataset,
    *,
    classes: Sequence[str] | None,
    name: str,
    make: Callable[..., ImageData],
) -> ImageData:
    """See :meth:`ticketkit.data.ImageData.from_dataset`; ``make`` is the class."""
    parts: dict[str, Images | Labels] = {}
    for part, dataset in (("train", train), ("test", test)):
        images, labels = _items(dataset, f"{part} set of {name}")
        parts |= {f"{part}_images": images, f"{part}_labels": labels}
    if classes is None and isinstance(own := getattr(train, "classes", None), Iterable):
        classes = [*own]
    return make(name=name, classes=_classes(classes, parts), **parts)


def _items(dataset: MapDataset, where: str) -> tuple[Images, Labels]:
    if _is_iterable_style(dataset) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        kind = type(dataset).__name__
        raise DataError(f"a data set must be map-style, with __len__ and __getitem__ (got {kind}): {where}")
    count = len(dataset)
    if not count:
        raise DataError(f"a data set must hold an item (got none): {where}")
    images: Images | None = None
    labels = np.empty(count, dtype=np.int64)
    for index in range(count):
        place = f"item {index} of the {where}"
        item = dataset[index]
        if not isinstance(item, Sequence) or len(item) < 2:  # noqa: PLR2004 - an image and its label
            raise DataError(f"an item must be an image and its label (got {type(item).__name__}): {place}")
        pixels, labels[index] = _image(item[0], place), _label(item[1], place)
        if images is None:
            images = np.empty((count, *pixels.shape), dtype=np.uint8)
        if pixels.shape != images.shape[1:]:
            sizes = f"{_times(images.shape[1:])} and {_times(pixels.shape)}"
            raise DataError(f"images must have one shape: resize and crop them alike (got {sizes}): {place}")
        images[index] = pixels
    return np.empty(0, dtype=np.uint8) if images is None else images, labels


def _image(image: Any, place: str) -> Images:
    """An item's image as uint8 [C, H, W]."""
    channels_first = hasattr(image, "detach")  # a tensor; Pillow's images and arrays have their channels last
    if hasattr(image, "getbands") and (image := eight_bits(image)) is None:
        raise DataError(f"an image must have 8 or 16 bits a channel (got 32-bit or floating-point pixels): {place}")
    array = _array(image)
    pixels = _bytes(array, place)
    if pixels.ndim == AXES_OF_COLOUR:
        return pixels if channels_first else pixels.transpose(2, 0, 1)
    if pixels.ndim == AXES_OF_COLOUR - 1:
        return pixels[np.newaxis]
    wanted = "a tensor [C, H, W] or [H, W], an array [H, W, C] or [H, W], or an image of Pillow"
    raise DataError(f"an image must be {wanted} (got {array.dtype} {list(array.shape)}): {place}")


def _label(label: Any, place: str) -> int:
    try:
        number = operator.index(label)
    except TypeError:
        number = -1
    if not 0 <= number < MOST_CLASSES:
        raise DataError(f"a label must be a whole number from 0 to {MOST_CLASSES - 1:,} (got {shown(label)}): {place}")
    return number


def _array(value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:  # bfloat16, which numpy has not, or a ragged list
        reason = one_line(str(error), 200)
        raise DataError(f"images and labels must be tensors or arrays of numbers: {reason}") from None


def _bytes(array: NDArray[Any], place: str) -> Images:
    """Pixels as uint8; floating-point ones only where they are those of bytes, so that nothing is lost or guessed."""
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"pixels must be uint8, in 0..255 (got {array.dtype} {list(array.shape)}): {place}")
    tolerance = max(ROUNDING, 255 * float(np.finfo(array.dtype).eps))
    flat = array.reshape(-1)
    pixels = np.empty(flat.shape, dtype=np.uint8)
    for start in range(0, len(flat), CHECKED_AT_ONCE):
        part = slice(start, start + CHECKED_AT_ONCE)
        scaled = flat[part].astype(np.float64) * 255
        rounded = np.rint(scaled)
        # Also false for what is no number.
        if not np.all((np.abs(scaled - rounded) <= tolerance) & (rounded >= 0) & (rounded <= 255)):  # noqa: PLR2004
            raise DataError(
                f"floating-point pixels must be 255ths in [0, 1], as ToTensor makes them: {_HOW} "
                f"(got {array.dtype} from {float(array.min()):.3g} to {float(array.max()):.3g}): {place}"
            )
        pixels[part] = rounded
    return pixels.reshape(array.shape)


def _labels(labels: Any, where: str) -> Labels:
    array = _array(labels)
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"labels must be integers (got {array.dtype} {list(array.shape)}): {where}")
    if (highest := int(array.max(initial=0))) >= MOST_CLASSES:
        raise DataError(f"labels must be below {MOST_CLASSES:,} (got {highest}): {where}")
    return array.astype(np.int64)


def _classes(classes: Iterable[object] | None, parts: dict[str, Images | Labels]) -> tuple[str, ...]:
    if classes is not None:
        # torchvision's ImageNet gives each class's synonyms, as a tuple.
        return tuple(", ".join(map(str, name)) if isinstance(name, (tuple, list)) else str(name) for name in classes)
    highest = max(int(parts[f"{part}_labels"].max(initial=-1)) for part in ("train", "test"))
    return tuple(map(str, range(highest + 1)))


def _is_iterable_style(dataset: object) -> bool:
    """Whether it is torch's IterableDataset, which inherits a ``__getitem__`` that refuses."""
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and isinstance(dataset, torch_data.IterableDataset)


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
