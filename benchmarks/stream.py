"""Streaming a folder of images: decoded and delivered images a second, and how long a training waits for them.

Beside it, with as many processes, what a user would write: torchvision's ImageFolder in a DataLoader, with Resize,
CenterCrop, ToTensor and Normalize; neither augments. Both deliver to the CPU, where ours is normalised by the one
process that trains, and the user's by those of the loader. Without ``--data`` the images are made: JPEG files of 4:3,
a quarter larger than what they are brought to.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from record import record

from ticketkit.arch import parse_arch
from ticketkit.data import DataRequest, ImageData, load_data
from ticketkit.models import initialise
from ticketkit.recipe import Recipe
from ticketkit.torchvision_compat import import_torchvision
from ticketkit.train import Batches, Compute, Progress, train

BATCH = 64
CLASSES = 10
EPOCHS = 3
"""Of each the fastest counts: others compute on the same machine, and the first one starts the processes."""


def make_images(root: Path, size: int, count: int) -> None:
    """Smooth colours under noise: a JPEG of them is about as large as one of a photograph."""
    random = np.random.default_rng(0)
    height = size + size // 4
    for part, images in (("train", count), ("test", CLASSES)):
        for index in range(images):
            folder = root / part / f"class-{index % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((height * 4 // 3, height), Image.Resampling.BICUBIC), dtype=np.int16)
            noisy = np.clip(smooth + random.integers(-16, 17, smooth.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{index}.jpg", quality=90)


def plain_loader(root: Path, data: ImageData, workers: int) -> torch.utils.data.DataLoader:
    import_torchvision()
    from torchvision import datasets, transforms

    mean, std = ([number / 255 for number in numbers] for numbers in (data.mean, data.std))
    size = data.shape[1]
    transform = transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return torch.utils.data.DataLoader(
        datasets.ImageFolder(root / "train", transform),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
    )


def timed(batches: Iterable[object]) -> float:
    began = time.perf_counter()
    count = sum(BATCH for _ in batches)
    return count / (time.perf_counter() - began)


def delivery(root: Path, data: ImageData, workers: int) -> dict[str, float]:
    """Images a second, in turns: both see the same machine."""
    batches, plain = Batches(data, recipe_of(1, augment=False)), plain_loader(root, data, workers)
    ours, theirs = [], []
    for epoch in range(EPOCHS + 1):
        ours.append(timed(batches.epoch(0, epoch)))
        theirs.append(timed(plain))
    best, other = max(ours[1:]), max(theirs[1:])
    return {"ours_images_per_second": best, "plain_images_per_second": other, "ratio": best / other}


def waiting(data: ImageData, threads: int) -> dict[str, float]:
    """The share of its time that a training of ResNet-20 waits for images, after its first epoch."""
    arch = parse_arch("cifar-resnet20", num_classes=data.num_classes)
    batches = Batches(data, recipe_of(EPOCHS, augment=True))
    marks: list[tuple[float, float]] = []

    def mark(_progress: Progress) -> None:
        marks.append((time.perf_counter(), batches.waited))

    train(arch, initialise(arch, 0), None, batches, seed=0, compute=Compute(threads=threads), on_epoch=mark)
    seconds, waited = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    images = (EPOCHS - 1) * batches.steps_per_epoch * BATCH
    return {"training_images_per_second": images / seconds, "waited_share": waited / seconds}


def recipe_of(epochs: int, *, augment: bool) -> Recipe:
    return Recipe(name="stream", epochs=epochs, batch=BATCH, lr=0.1, crop=4 if augment else 0, flip=augment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of images instead of those made: train/CLASS, test/CLASS")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 224])
    parser.add_argument("--images", type=int, nargs="+", default=[1024, 512], help="made for each size")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of the training, which is timed for 32 pixels and less")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for size, count in zip(arguments.sizes, arguments.images, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            root = arguments.data or Path(folder) / "images"
            if arguments.data is None:
                make_images(root, size, count)
            request = DataRequest(
                data_dir=root, image_size=size, workers=arguments.workers, stream=True, cache_dir=Path(folder) / "cache"
            )
            began = time.perf_counter()
            data = load_data("folder", request)
            row = {
                "image_size": size,
                "images": len(data.train_labels),
                "batch": BATCH,
                "workers": arguments.workers,
                "survey_seconds": time.perf_counter() - began,
                **delivery(root, data, arguments.workers),
            }
            if size <= 32:
                row |= {"network": "cifar-resnet20", "threads": arguments.threads, **waiting(data, arguments.threads)}
            rows.append(row)
    record(rows, arguments.out)


if __name__ == "__main__":
    main()
