"""Images made up for benchmarks, of CIFAR's shape, and what is trained on them.

A training step takes as long on noise as on photographs. Each class has a coarse pattern of its own under its noise, so
that losses fall and can be compared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketkit.arch import ArchSpec
from ticketkit.data import DataRequest, ImageData, load_data
from ticketkit.encoding import Array
from ticketkit.find import full_mask
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.provenance import Provenance, Weights
from ticketkit.prune import magnitudes
from ticketkit.recipe import Recipe
from ticketkit.selection import drop_lowest
from ticketkit.ticket import Ticket

CLASSES = 10


def noise(train: int, *, test: int = 100, size: int = 32, channels: int = 3) -> ImageData:
    """Make a data set of coarse patterns, one a class, each image under noise of the same strength.

    Args:
        train: Training images.
        test: Test images.
        size: Height and width in pixels.
        channels: Channels of an image.
    """
    random = np.random.default_rng(0)
    cells = random.integers(0, 128, (CLASSES, channels, 2, 2), dtype=np.uint8)
    patterns = cells.repeat(-(-size // 2), axis=2).repeat(-(-size // 2), axis=3)[..., :size, :size]

    def images(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels = random.integers(0, 128, (len(labels), channels, size, size), dtype=np.uint8)
        pixels += patterns[labels]
        return pixels

    train_labels, test_labels = (np.arange(count, dtype=np.int64) % CLASSES for count in (train, test))
    return ImageData(
        name="noise",
        train_images=images(train_labels),
        train_labels=train_labels,
        test_images=images(test_labels),
        test_labels=test_labels,
        classes=tuple(map(str, range(CLASSES))),
    )


def cifar(data_dir: Path | None, train: int, test: int) -> ImageData:
    """CIFAR-10 from a folder, or noise of its shape if there is none.

    Args:
        data_dir: The folder; None for noise.
        train: How many training images, at most.
        test: How many test images, at most.
    """
    if data_dir is None:
        return noise(train, test=test)
    return load_data("cifar10", DataRequest(data_dir=data_dir, download=False)).limited(train, test)


def pruned(arch: ArchSpec, sparsity: float = 0.9) -> tuple[dict[str, Array], Mask]:
    """Initial weights of a network, and the mask of its largest: as good as a ticket to measure time with."""
    tensors = initialise(arch, 0)
    mask = full_mask(arch, arch.prunable_names())
    return tensors, drop_lowest(magnitudes(tensors, mask), mask, sparsity)


def cifar_recipe(batch: int, *, epochs: int = 1, crop: int = 4, lr: float = 0.1) -> Recipe:
    """How CIFAR's networks are commonly trained, at a constant rate."""
    return Recipe(
        name="benchmark",
        epochs=epochs,
        batch=batch,
        lr=lr,
        nesterov=True,
        weight_decay=5e-4,
        schedule="step",
        crop=crop,
        flip=True,
    )


def pruned_ticket(arch: ArchSpec, sparsity: float = 0.9) -> Ticket:
    """What :func:`pruned` gives as a ticket."""
    tensors, mask = pruned(arch, sparsity)
    return Ticket.from_arrays(
        arch, tensors, mask, weights=Weights(role="init", step=0), provenance=Provenance(method="magnitude")
    )
