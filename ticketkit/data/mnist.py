"""MNIST: 70,000 grey images of 28×28 pixels of handwritten digits; Y. LeCun et al., 1998, section III.A."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.facts import Facts
from ticketkit.data.images import ImageData, Images, Labels
from ticketkit.data.published import ReadPart, load_published
from ticketkit.reading import regular_size

SIZE = 28
MOST_BYTES = 2**26
"""The longest file that is read; the longest of these data sets' has 47 MB."""

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def in_idx_files(
    name: str,
    kind: str,
    *,
    title: str,
    classes: tuple[str, ...],
    mirrors: bool,
    megabytes: tuple[int, int, int, int],
    url: str,
) -> Facts:
    """A data set in MNIST's format, and of as many images.

    Args:
        name: The name it is registered under.
        kind: torchvision's class of it, whose files lie in ``KIND/raw``.
        title: What it is, in a few words.
        classes: The classes' names, in the order of the labels.
        mirrors: Whether an image's mirror image is one of the same class.
        megabytes: What fetching each of :data:`FILES` takes, in MB.
        url: Where they come from.
    """
    return Facts(
        name=name,
        title=title,
        source="download",
        shape=(1, SIZE, SIZE),
        train=60_000,
        test=10_000,
        classes=classes,
        mirrors=mirrors,
        megabytes={f"{kind}/raw/{file}": size for file, size in zip(FILES, megabytes, strict=True)},
        how_to=f"put {', '.join(FILES)}, unpacked, from {url} into {kind}/raw there",
    )


def idx_reader(kind: str) -> ReadPart:
    """What reads a part of a data set in MNIST's format, by the name of torchvision's class of it."""

    def read(datasets: Any, root: Path, *, train: bool, download: bool) -> tuple[Images, Labels]:
        which = "training" if train else "test"
        _check_files(root / kind)
        try:
            part = getattr(datasets, kind)(root, train=train, download=download)
        # torchvision takes a file apart without asking how long it is, and asserts what it finds.
        except (AssertionError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
            if isinstance(error, RuntimeError) and not all((root / kind / "raw" / name).exists() for name in FILES):
                raise  # nothing was read yet: it says what is missing, or why it could not be fetched
            raise OSError(f"a file of the {which} set is damaged; delete it") from error
        images, labels = part.data.numpy(), part.targets.numpy()
        if images.shape != (len(labels), SIZE, SIZE):
            shape = "x".join(map(str, images.shape))
            raise OSError(
                f"the {which} set must be {len(labels)}x28x28, as it has {len(labels)} labels, and is {shape}"
            )
        return images[:, np.newaxis], labels.astype(np.int64)

    return read


def _check_files(folder: Path) -> None:
    """Refuse what torchvision would read whole, however long it is, or in place of the files that are named."""
    if (folder / "processed" / "training.pt").exists():
        raise OSError(f"{folder / 'processed'} holds files of an old torchvision, which are not read; delete it")
    for name in FILES:
        path = folder / "raw" / name
        if path.exists() and (size := regular_size(path)) > MOST_BYTES:
            raise OSError(f"{name} must have at most {MOST_BYTES:,} bytes and has {size:,}")


MNIST = in_idx_files(
    "mnist",
    "MNIST",
    title="handwritten digits in grey",
    classes=tuple("0123456789"),
    mirrors=False,
    megabytes=(10, 0, 2, 0),
    url="https://ossci-datasets.s3.amazonaws.com/mnist",
)


def load_mnist(request: DataRequest) -> ImageData:
    """Load MNIST with torchvision, which checks the MD5 sums of what it downloads.

    Files that are there already have no published sums. They must be idx files of images of 28×28 pixels and their
    labels; the data set's ``fingerprint`` tells which.

    Args:
        request: ``data_dir`` is the folder that holds, or will hold, ``MNIST/raw`` (default ``data``); with
            ``download``, what is missing there is fetched, 12 MB. ``image_size`` must be 28 where it is given.

    Raises:
        DataError: If the files are missing or damaged and could not be fetched; the message says how to bring them.
    """
    return load_published(MNIST, request, idx_reader("MNIST"))


DATASETS.register(MNIST.name, DataSet(facts=MNIST, load=load_mnist))
