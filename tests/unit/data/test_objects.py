"""Data sets of Python: tensors, arrays and map-style objects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from ticketkit.data import ImageData, objects
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
LABELS = np.arange(6) % 3


class Items(Dataset[Any]):
    """A map-style data set of what it is given."""

    def __init__(self, images: list[Any], labels: list[Any] | None = None) -> None:
        self.items = list(zip(images, LABELS.tolist() if labels is None else labels, strict=True))

    def __getitem__(self, index: int) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


def expected(**replaced: Any) -> ImageData:
    labels = LABELS.astype(np.int64)
    fields = {"name": "x", "train_images": PIXELS, "train_labels": labels, "test_images": PIXELS, "test_labels": labels}
    return ImageData(**{**fields, "classes": ("0", "1", "2"), **replaced})


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        torch.from_numpy,
        lambda array: (
            torch.from_numpy(array).requires_grad_() if array.dtype == np.float32 else torch.from_numpy(array)
        ),
        lambda array: torch.from_numpy(array / np.float32(255)) if array.dtype == np.uint8 else array,
        lambda array: array / 255 if array.dtype == np.uint8 else array.astype(np.uint8),
        lambda array: array.tolist() if array.dtype != np.uint8 else array,
    ],
)
def test_tensors_and_arrays_of_any_kind_are_the_same_data(make: Any) -> None:
    data = ImageData.from_tensors(make(PIXELS), make(LABELS), make(PIXELS), make(LABELS))
    assert data.fingerprint == expected().fingerprint
    assert data.name == "tensors"


def test_floating_point_pixels_are_checked_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "CHECKED_AT_ONCE", 7)
    pixels = PIXELS / np.float32(255)
    assert ImageData.from_tensors(pixels, LABELS, pixels, LABELS).fingerprint == expected().fingerprint
    pixels[-1, -1, -1, -1] = 0.5003
    with pytest.raises(DataError, match="floating-point pixels must be 255ths"):
        ImageData.from_tensors(pixels, LABELS, PIXELS, LABELS)


def test_grey_tensors_need_no_channel() -> None:
    data = ImageData.from_tensors(PIXELS[:, 0], LABELS, PIXELS[:, 0], LABELS, classes=["a", "b", "c"], name="grey")
    assert (data.shape, data.classes, data.name) == ((1, 4, 5), ("a", "b", "c"), "grey")
    assert np.array_equal(data.train_images, PIXELS[:, :1])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            PIXELS.astype(np.int64),
            LABELS,
            "pixels must be uint8, in 0..255 (got int64 [6, 3, 4, 5]): images of the train",
        ),
        (
            PIXELS / 255 - 0.5,
            LABELS,
            "floating-point pixels must be 255ths in [0, 1], as ToTensor makes them: leave out",
        ),
        (PIXELS.astype(np.float32), LABELS, "(got float32 from 0 to 255): images of the train set of tensors"),
        (PIXELS / 255 * np.nan, LABELS, "(got float64 from nan to nan): images of the train set of tensors"),
        (
            np.full((6, 3, 4, 5), 0.3017),
            LABELS,
            "(got float64 from 0.302 to 0.302): images of the train set of tensors",
        ),
        (
            torch.zeros(6, 3, 4, 5).bfloat16(),
            LABELS,
            "images and labels must be tensors or arrays of numbers: Got unsupp",
        ),
        (PIXELS, LABELS / 2, "labels must be integers (got float64 [6]): train set of tensors"),
        (PIXELS, LABELS + 10**6, "labels must be below 1,000,000 (got 1000002): train set of tensors"),
        (PIXELS, LABELS.astype(np.uint64) + 2**63, "labels must be below 1,000,000 (got 9223372036854775810): train"),
        (PIXELS, LABELS[:5], "labels must be int64 [6] (got int64 [5]): train set of tensors"),
        (PIXELS, LABELS - 1, "labels must be from 0 to 2 (got -1 to 1): train set of tensors"),
        (
            PIXELS[0, 0],
            LABELS,
            "images must be uint8 [N, C, H, W], none of them 0 (got uint8 [4, 5]): train set of tensors",
        ),
        (PIXELS[:0], LABELS[:0], "images must be uint8 [N, C, H, W], none of them 0 (got uint8 [0, 3, 4, 5])"),
    ],
)
def test_what_no_images_or_labels_are_is_named(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageData.from_tensors(images, labels, PIXELS, LABELS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        torch.from_numpy,
        lambda image: np.ascontiguousarray(image.transpose(1, 2, 0)),
        lambda image: Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))),
        lambda image: torch.from_numpy(image).float() / 255,
        lambda image: torch.from_numpy(image).half() / 255,
    ],
)
@pytest.mark.parametrize("label", [int, np.int16, torch.tensor])
def test_items_of_any_kind_are_the_same_data(make: Any, label: Any) -> None:
    items = Items([make(image) for image in PIXELS], [label(number) for number in LABELS.tolist()])
    data = ImageData.from_dataset(items, items)
    assert data.fingerprint == expected().fingerprint
    assert data.name == "dataset"


def test_what_torchvision_makes_of_images_is_undone_exactly() -> None:
    import_torchvision()
    from torchvision import datasets, transforms

    shape = {"image_size": (3, 4, 5), "num_classes": 3}
    plain = datasets.FakeData(size=6, **shape)
    tensors = datasets.FakeData(size=6, **shape, transform=transforms.ToTensor())
    assert ImageData.from_dataset(tensors, tensors).fingerprint == ImageData.from_dataset(plain, plain).fingerprint
    both = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    scaled = datasets.FakeData(size=6, **shape, transform=both)
    with pytest.raises(DataError, match=r"leave out augmentation and Normalize.*: item 0 of the train set of dataset"):
        ImageData.from_dataset(scaled, plain)


def test_grey_items_have_one_channel_and_palettes_become_colour() -> None:
    grey = Items([Image.fromarray(image[0]) for image in PIXELS])
    assert ImageData.from_dataset(grey, grey).shape == (1, 4, 5)
    assert np.array_equal(ImageData.from_dataset(grey, Items([*PIXELS[:, 0]])).test_images, PIXELS[:, :1])
    palettes = Items([Image.new("P", (5, 4)) for _ in PIXELS])
    assert ImageData.from_dataset(palettes, palettes).shape == (3, 4, 5)


def test_the_classes_are_the_data_sets_own() -> None:
    items = Items([*map(torch.from_numpy, PIXELS)])
    items.classes = ["cat", "dog", "fox", "owl"]
    assert ImageData.from_dataset(items, items).classes == ("cat", "dog", "fox", "owl")
    assert ImageData.from_dataset(items, items, classes="abc").classes == ("a", "b", "c")
    items.classes = [("cat", "house cat"), ("dog",), 2]
    assert ImageData.from_dataset(items, items).classes == ("cat, house cat", "dog", "2")
    items.classes = 3
    assert ImageData.from_dataset(items, items).classes == ("0", "1", "2")
    more = Items([*map(torch.from_numpy, PIXELS)], [5, 0, 0, 0, 0, 0])
    assert ImageData.from_dataset(more, items).num_classes == 6


class Stream(IterableDataset[Any]):
    """A data set that knows no numbers, though it says how many there are."""

    def __iter__(self) -> Iterator[Any]:
        yield from Items([*PIXELS])

    def __len__(self) -> int:
        return 6


IMAGES = [*map(torch.from_numpy, PIXELS)]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Stream(), "a data set must be map-style, with __len__ and __getitem__ (got Stream): train set of mine"),
        (
            iter(IMAGES),
            "a data set must be map-style, with __len__ and __getitem__ (got list_iterator): train set of mine",
        ),
        (Items([], []), "a data set must hold an item (got none): train set of mine"),
        (
            TensorDataset(torch.from_numpy(PIXELS)),
            "an item must be an image and its label (got tuple): item 0 of the train",
        ),
        (PIXELS, "an item must be an image and its label (got ndarray): item 0 of the train set of mine"),
        (
            Items([*IMAGES[:2], IMAGES[2][:, :3], *IMAGES[3:]]),
            "images must have one shape: resize and crop them alike (got 3x4x5 and 3x3x5): item 2 of",
        ),
        (
            Items([image[0, 0] for image in IMAGES]),
            "or an image of Pillow (got uint8 [5]): item 0 of the train set of mine",
        ),
        (
            Items([image.int() for image in IMAGES]),
            "pixels must be uint8, in 0..255 (got int32 [3, 4, 5]): item 0 of the",
        ),
        (
            Items([Image.new("F", (5, 4))] * 6),
            "an image must have 8 or 16 bits a channel (got 32-bit or floating-point",
        ),
        (
            Items(IMAGES, [0.5] * 6),
            "a label must be a whole number from 0 to 999,999 (got 0.5): item 0 of the train set of mine",
        ),
        (Items(IMAGES, ["cat"] * 6), "from 0 to 999,999 (got 'cat'): item 0 of the train set of mine"),
        (Items(IMAGES, [0, 1, -1, 2, 0, 1]), "from 0 to 999,999 (got -1): item 2 of the train set of mine"),
        (Items(IMAGES, [2**70] * 6), "from 0 to 999,999 (got 1180591620717411303424): item 0 of the train set of mine"),
    ],
)
def test_what_no_data_set_of_images_is_is_named(dataset: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageData.from_dataset(dataset, Items(IMAGES), name="mine")
    assert message in str(caught.value)


def test_arrays_need_no_torch() -> None:
    script = """if True:
        import sys
        import numpy as np
        import ticketkit
        images, labels = np.zeros((4, 8, 8), dtype=np.uint8), np.arange(4) % 2
        print(ticketkit.ImageData.from_tensors(images, labels, images, labels).shape)
        print("torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(1, 8, 8)", "False"]
