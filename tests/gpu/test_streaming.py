"""Streaming to a CUDA device. Run with ``pytest -m gpu``."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ticketkit.arch import parse_arch
from ticketkit.data import DataRequest, ImageData, files, load_data
from ticketkit.models import initialise
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute, train

pytestmark = pytest.mark.gpu

RECIPE = Recipe(name="tiny", epochs=3, batch=48, lr=0.05, crop=2, flip=True)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ImageData]:
    random = np.random.default_rng(0)
    for part, count in (("train", 80), ("test", 20)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{index}.png")

    def load(**options: object) -> ImageData:
        return load_data("folder", DataRequest(data_dir=tmp_path / "pets", cache_dir=tmp_path / "cache", **options))

    return load


@pytest.mark.parametrize("workers", [None, 1])
def test_streamed_batches_on_the_gpu_are_those_of_held_images(load: Callable[..., ImageData], workers: int | None):
    held, streamed = (Batches(data, RECIPE, "cuda:0") for data in (load(), load(stream=True, workers=workers)))
    for epoch in range(3):
        # Whole epochs are taken before they are compared: copies go on while the device has other work.
        pairs = [*zip(held.epoch(3, epoch), streamed.epoch(3, epoch), strict=True)]
        for (images, labels), (same_images, same_labels) in pairs:
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)
    for (images, _), (same_images, _) in zip(held.test(), streamed.test(), strict=True):
        assert torch.equal(images, same_images)


def test_a_training_on_the_gpu_counts_how_long_the_device_waits(
    load: Callable[..., ImageData], monkeypatch: pytest.MonkeyPatch
):
    arch = parse_arch("resnet8-w8", num_classes=2)
    batches = Batches(load(stream=True), RECIPE, "cuda:0")
    real = files.decode_image

    def slow(path: str, image_size: int | None) -> object:
        time.sleep(0.002)
        return real(path, image_size)

    monkeypatch.setattr(files, "decode_image", slow)
    compute = Compute(device="cuda:0")
    trained = train(arch, initialise(arch, 0), None, batches, seed=0, compute=compute)
    torch.cuda.synchronize()
    decoding = (3 * 144 + 40) * 0.002
    assert 0.5 * decoding < batches.waited < trained.seconds
