"""How long a GPU waits for images that are streamed from a folder: the share of a training's time.

python benchmarks/waits.py DIR --device cuda --arch imagenet-resnet18 --image-size 224

DIR holds ``train/CLASS`` and ``test/CLASS``. ``stream.py`` measures on the CPU what is delivered, beside a plain
loader; this measures whether that is enough for the network at hand.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noise import cifar_recipe
from record import record
from tables import show

from ticketkit.arch import parse_arch
from ticketkit.data import DataRequest, load_data
from ticketkit.models import initialise
from ticketkit.train import Batches, Progress, choose_compute, train
from ticketkit.train.compute import cores

EPOCHS = 3
"""The first one starts the processes and warms the device up: it is not counted."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    compute = choose_compute(options.device, image_size=options.image_size)
    with tempfile.TemporaryDirectory() as folder:
        request = DataRequest(
            data_dir=options.folder,
            image_size=options.image_size,
            workers=options.workers,
            stream=True,
            cache_dir=Path(folder),
        )
        data = load_data("folder", request).limited(options.images, options.batch)
    arch = parse_arch(options.arch, in_channels=data.shape[0], num_classes=data.num_classes)
    batches = Batches(data, cifar_recipe(options.batch, epochs=EPOCHS, lr=0.01), compute.device)
    marks: list[tuple[float, float]] = []

    def mark(_: Progress) -> None:
        marks.append((time.perf_counter(), batches.waited))

    train(arch, initialise(arch, 0), None, batches, seed=0, compute=compute, on_epoch=mark)
    seconds, waited = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    rate = (EPOCHS - 1) * batches.steps_per_epoch * options.batch / seconds
    title = f"{arch.name}, batch {options.batch}, {compute.summary}, {options.workers} workers"
    show(title, ["", "images/s", "of its time waiting"], [[data.name, rate, waited / seconds]])
    results: dict[str, Any] = {
        "setting": {**compute.describe(), "network": arch.name, "image_size": options.image_size},
        "batch": options.batch,
        "workers": options.workers,
        "images": len(data.train_labels),
        "images_per_second": rate,
        "waited_share": waited / seconds,
    }
    record(results, options.out)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the images: train/CLASS and test/CLASS")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n")
    parser.add_argument("--arch", default="imagenet-resnet18")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--images", type=int, default=10_000, help="of the folder's, at most")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=cores(), help="processes that decode")
    parser.add_argument("--out", type=Path, help="where to write the JSON document; standard output if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
