"""One training step on the CPU: ours against a plain PyTorch loop, by image size and number of threads.

The plain loop is what a user would write: a DataLoader over a tensor data set with torchvision's augmentation, SGD, and
`torch.nn.utils.prune` masks. Both train ResNet-20 with the same batch size from the same weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from record import record
from torch import nn
from torch.nn.utils import prune

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.data import ImageData
from ticketkit.mask import Mask
from ticketkit.models import initialise, instantiate
from ticketkit.prune import magnitudes
from ticketkit.recipe import Recipe
from ticketkit.selection import drop_lowest
from ticketkit.torchvision_compat import import_torchvision
from ticketkit.train import Batches, Compute
from ticketkit.train.flat import FlatParameters
from ticketkit.train.loop import sgd, training_step

BATCH = 64


def images(count: int, size: int) -> ImageData:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 10
    return ImageData(
        name="noise",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels[:10],
        test_labels=labels[:10],
        classes=tuple("0123456789"),
    )


def ours(arch: ArchSpec, mask: Mask, data: ImageData, recipe: Recipe, compute: Compute) -> Iterator[None]:
    batches = Batches(data, recipe)
    model = instantiate(arch, initialise(arch, 0)).train()
    flat = FlatParameters(model, mask)
    optimiser = sgd(flat, recipe)
    epoch = 0
    while True:
        for pixels, labels in batches.epoch(0, epoch):
            training_step(model, flat, optimiser, pixels, labels, recipe, compute)
            yield
        epoch += 1


def plain(arch: ArchSpec, mask: Mask, data: ImageData, recipe: Recipe) -> Iterator[None]:
    import_torchvision()
    from torchvision.transforms import v2

    size = data.shape[1]
    transform = v2.Compose(
        [
            v2.RandomCrop(size, padding=recipe.crop),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    pixels = torch.from_numpy(data.train_images.copy())
    labels = torch.from_numpy(data.train_labels.copy())

    class Augmented(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return transform(pixels[index]), labels[index]

    loader = torch.utils.data.DataLoader(Augmented(), batch_size=BATCH, shuffle=True, drop_last=True)
    model = instantiate(arch, initialise(arch, 0)).train()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            prune.custom_from_mask(module, "weight", torch.from_numpy(mask[f"{name}.weight"].copy()))
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    while True:
        for inputs, targets in loader:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimiser.step()
            yield


def seconds_a_step(loop: Iterator[None], steps: int) -> float:
    for _ in range(3):
        next(loop)
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        next(loop)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arch = parse_arch("cifar-resnet20")
    weights = initialise(arch, 0)
    full = Mask({name: np.ones(weights[name].shape, dtype=bool) for name in arch.prunable_names()})
    mask = drop_lowest(magnitudes(weights, full), full, 0.9)
    recipe = Recipe(name="step", epochs=1, batch=BATCH, lr=0.1, nesterov=True, weight_decay=5e-4, crop=4, flip=True)
    rows = []
    for size in arguments.sizes:
        data = images(8 * BATCH, size)
        for threads in arguments.threads:
            compute = Compute(threads=threads)
            with compute.applied():
                fast = seconds_a_step(ours(arch, mask, data, recipe, compute), arguments.steps)
                slow = seconds_a_step(plain(arch, mask, data, recipe), arguments.steps)
            rows.append(
                {
                    "network": arch.name,
                    "batch": BATCH,
                    "image_size": size,
                    "threads": threads,
                    "ours_ms": 1e3 * fast,
                    "plain_ms": 1e3 * slow,
                    "ratio": slow / fast,
                }
            )
    record(rows, arguments.out)


if __name__ == "__main__":
    main()
