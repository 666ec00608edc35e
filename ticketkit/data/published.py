"""Published data sets that torchvision fetches, checks and reads: what the modules of CIFAR, MNIST and SVHN share."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path
from typing import Any, Protocol

from ticketkit.data.datasets import DataRequest
from ticketkit.data.facts import DEFAULT_DIR, Facts
from ticketkit.data.images import ImageData, Images, Labels
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision


class ReadPart(Protocol):
    """Reads one part of a data set, ``train`` or not, by ``datasets``, which is ``torchvision.datasets``."""

    def __call__(self, datasets: Any, root: Path, *, train: bool, download: bool) -> tuple[Images, Labels]:
        """Return images [N, C, H, W] and labels [N]; an OSError or RuntimeError says that they cannot be read."""


def load_published(facts: Facts, request: DataRequest, read: ReadPart) -> ImageData:
    """Load a published data set, or say in one line how to bring it.

    Args:
        facts: The data set; its images are square.
        request: ``data_dir`` is the folder that holds, or will hold, the files (default ``data``); with ``download``,
            what is missing there is fetched. ``image_size`` must be the data set's own where it is given.
        read: Reads one part.

    Raises:
        DataError: If the files are missing or damaged and could not be fetched.
    """
    name = facts.name
    if facts.shape is None or facts.classes is None:
        raise DataError(f"a published data set must say its images' shape and its classes: {name}")
    request.check_image_size(name, facts.shape[1])
    root = request.data_dir or DEFAULT_DIR
    missing = sum(facts.megabytes[path] for path in facts.missing(root))
    if request.download and request.on_wait is not None and missing:
        request.on_wait(f"{name} is not in {root}: downloading {missing} MB")
    datasets = import_torchvision().datasets
    try:
        # torchvision shows a progress bar of its own, across whatever the caller draws.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            train_images, train_labels = read(datasets, root, train=True, download=request.download)
            test_images, test_labels = read(datasets, root, train=False, download=request.download)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        action = "found or downloaded" if request.download else "found"
        raise DataError(
            f"{name} must be {action} in {root} ({reason}): {facts.how_to}, "
            "or use --dataset folder with --data-dir on a copy as train/CLASS/*.png and test/CLASS/*.png"
        ) from error
    return ImageData(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=facts.classes,
    )
