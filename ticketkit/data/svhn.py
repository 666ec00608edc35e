"""SVHN: 99,289 colour images of 32×32 pixels of house numbers' digits; Y. Netzer et al., 2011, section 3."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.facts import Facts
from ticketkit.data.images import ImageData, Images, Labels
from ticketkit.data.published import load_published
from ticketkit.errors import DataError

SVHN = Facts(
    name="svhn",
    title="colour photographs of house numbers' digits",
    source="download",
    shape=(3, 32, 32),
    train=73_257,
    test=26_032,
    mirrors=False,
    needs="ticketkit[svhn]",
    classes=tuple("0123456789"),
    megabytes={"train_32x32.mat": 182, "test_32x32.mat": 64},
    how_to="put train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers there",
)


def load_svhn(request: DataRequest) -> ImageData:
    """Load SVHN's 73,257 training and 26,032 test images with torchvision, which checks the MD5 sum of every file.

    The further 531,131 easier images, ``extra``, are not used.

    Args:
        request: ``data_dir`` is the folder that holds, or will hold, ``train_32x32.mat`` and ``test_32x32.mat``
            (default ``data``); with ``download``, what is missing there is fetched, 246 MB. ``image_size`` must be 32
            where it is given.

    Raises:
        DataError: If scipy is not installed, or the files are missing or damaged and could not be fetched; the
            message says how to bring what is missing.
    """
    try:
        importlib.import_module("scipy.io")
    except ImportError:
        raise DataError(f"svhn needs scipy: pip install '{SVHN.needs}'") from None
    return load_published(SVHN, request, _read)


def _read(datasets: Any, root: Path, *, train: bool, download: bool) -> tuple[Images, Labels]:
    part = datasets.SVHN(root, split="train" if train else "test", download=download)
    # The files call the digit 0 "10"; torchvision has made it 0 again, and [H, W, C, N] into [N, C, H, W].
    return np.ascontiguousarray(part.data), part.labels


DATASETS.register(SVHN.name, DataSet(facts=SVHN, load=load_svhn))
