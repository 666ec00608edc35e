"""CIFAR-10: 60,000 colour images of 32×32 pixels in ten classes; A. Krizhevsky, 2009, section 3."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.facts import Facts
from ticketkit.data.images import ImageData, Images, Labels
from ticketkit.data.published import ReadPart, load_published

CIFAR10 = Facts(
    name="cifar10",
    title="small colour photographs",
    source="download",
    shape=(3, 32, 32),
    train=50_000,
    test=10_000,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    megabytes={"cifar-10-batches-py": 170},
    how_to="put cifar-10-batches-py or cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html there",
)


def load_cifar10(request: DataRequest) -> ImageData:
    """Load CIFAR-10 with torchvision, which checks the MD5 sum of every file before it reads it.

    Args:
        request: ``data_dir`` is the folder that holds, or will hold, ``cifar-10-batches-py`` (default ``data``);
            with ``download``, what is missing there is fetched, 170 MB. ``image_size`` must be 32 where it is given.

    Raises:
        DataError: If the files are missing or damaged and could not be fetched; the message says how to bring them.
    """
    return load_published(CIFAR10, request, _read)


def batches_reader(kind: str) -> ReadPart:
    """What reads a part of CIFAR, by the name of torchvision's class of it: ``CIFAR10`` or ``CIFAR100``."""

    def read(datasets: Any, root: Path, *, train: bool, download: bool) -> tuple[Images, Labels]:
        with warnings.catch_warnings():
            # The batches were pickled by a numpy so old that 2.4.0 to 2.4.4 warn about how it spelled a dtype, and the
            # archive is unpacked as Python 3.12 and 3.13 warn not to; the MD5 sums have been checked by then.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            part = getattr(datasets, kind)(root, train=train, download=download)
        # torchvision turns the stored [N, C, H, W] into [N, H, W, C]; this turns it back.
        return np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)), np.asarray(part.targets, dtype=np.int64)

    return read


_read = batches_reader("CIFAR10")
DATASETS.register(CIFAR10.name, DataSet(facts=CIFAR10, load=load_cifar10))
