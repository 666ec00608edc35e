"""The handwritten digits that come with ticketkit: 1,797 grey images of 8×8 pixels, in ten classes.

The test set of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; digits.LICENSE.md says how the file was made from it.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np

from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.facts import Facts
from ticketkit.data.images import ImageData

NAME = "digits"
ROTATED = "digits-rotated"
SIZE = 8
DIGITS = Facts(
    name=NAME,
    title="handwritten digits in grey",
    source="embedded",
    classes=tuple("0123456789"),
    shape=(1, SIZE, SIZE),
    train=898,
    test=899,
    recipe="quick",
    mirrors=False,
)
ROTATED_DIGITS = replace(DIGITS, name=ROTATED, title="the same digits, turned by a quarter")


def load_digits(request: DataRequest) -> ImageData:
    """Load the embedded digits: 898 images to train on and 899 to test on, values 0 to 16.

    The halves are stratified, shuffled once and stored in that order: no library's random stream decides them.

    Args:
        request: Only ``image_size`` matters, which must be 8 where it is given.

    Raises:
        DataError: If another size of image is asked for.
    """
    return _load(NAME, request, quarters=0)


def load_rotated_digits(request: DataRequest) -> ImageData:
    """Load the same digits in the same halves and order, every image turned anticlockwise by a quarter.

    A shift between data sets that needs no second one: a ticket found on one can be verified on the other.

    Args:
        request: Only ``image_size`` matters, which must be 8 where it is given.

    Raises:
        DataError: If another size of image is asked for.
    """
    return _load(ROTATED, request, quarters=1)


def _load(name: str, request: DataRequest, *, quarters: int) -> ImageData:
    request.check_image_size(name, SIZE)
    file = resources.files("ticketkit.data").joinpath("digits.npz")
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        images = np.rot90(arrays["images"], quarters, axes=(1, 2))[:, np.newaxis]
        labels = arrays["labels"].astype(np.int64)
        train = int(arrays["train"])
    return ImageData(
        name=name,
        train_images=images[:train],
        train_labels=labels[:train],
        test_images=images[train:],
        test_labels=labels[train:],
        classes=DIGITS.classes or (),
    )


DATASETS.register(NAME, DataSet(facts=DIGITS, load=load_digits))
DATASETS.register(ROTATED, DataSet(facts=ROTATED_DIGITS, load=load_rotated_digits))
