"""CIFAR-10: 60,000 colour images of 32×32 pixels in ten classes; A. Krizhevsky, 2009, section 3."""

from __future__ import annotations

import contextlib
import io
import tarfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ticketkit.data.images import DATASETS, DataRequest, ImageData
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

NAME = "cifar10"
SIZE = 32
DEFAULT_DIR = Path("data")
FOLDER = "cifar-10-batches-py"
HOW_TO = (
    "put cifar-10-batches-py or cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html there, "
    "or use --dataset folder with --data-dir on a copy as train/CLASS/*.png and test/CLASS/*.png"
)


def load_cifar10(request: DataRequest) -> ImageData:
    """Load CIFAR-10 with torchvision, which checks the MD5 sum of every file before it reads it.

    Args:
        request: ``data_dir`` is the folder that holds, or will hold, ``cifar-10-batches-py`` (default ``data``);
            with ``download``, what is missing there is fetched, 170 MB. ``image_size`` must be 32 where it is given.

    Raises:
        DataError: If the files are missing or damaged and could not be fetched; the message says how to bring them.
    """
    request.check_image_size(NAME, SIZE)
    root = request.data_dir or DEFAULT_DIR
    if request.download and request.on_wait is not None and not (root / FOLDER).exists():
        request.on_wait(f"{NAME} is not in {root}: downloading 170 MB")
    torchvision = import_torchvision()
    parts = {}
    for part in ("train", "test"):
        try:
            # torchvision shows a progress bar of its own, across whatever the caller draws.
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                parts[part] = _read(torchvision, root, train=part == "train", download=request.download)
        except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            action = "found or downloaded" if request.download else "found"
            raise DataError(f"{NAME} must be {action} in {root} ({reason}): {HOW_TO}") from error
    return ImageData(
        name=NAME,
        train_images=_images(parts["train"]),
        train_labels=np.asarray(parts["train"].targets, dtype=np.int64),
        test_images=_images(parts["test"]),
        test_labels=np.asarray(parts["test"].targets, dtype=np.int64),
        classes=tuple(parts["test"].classes),
    )


def _read(torchvision: ModuleType, root: Path, *, train: bool, download: bool) -> Any:
    with warnings.catch_warnings():
        # The batches were pickled by a numpy so old that 2.4.0 to 2.4.4 warn about how it spelled a dtype, and the
        # archive is unpacked as Python 3.12 and 3.13 warn not to; the MD5 sums have been checked by then.
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return torchvision.datasets.CIFAR10(root, train=train, download=download)


def _images(part: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    # torchvision turns the stored [N, C, H, W] into [N, H, W, C]; this turns it back.
    return np.ascontiguousarray(part.data.transpose(0, 3, 1, 2))


DATASETS.register(NAME, load_cifar10)
