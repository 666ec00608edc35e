"""How find, verify and stretch grow with depth, width, trainings at once, and images; a plot each.

python benchmarks/scale.py --out benchmarks/results/scale-cpu.json --plots docs/pictures
python benchmarks/scale.py --device cuda --out benchmarks/results/scale-cuda.json --plots docs/pictures

Made-up images, short trainings: what counts is how one time follows from another, not how long one is. ``find`` is the
dense training and one pruning, ``verify`` a ticket beside its dense network, one seed, both for one epoch; ``stretch``
reads a ticket of ResNet-20, stretches it (to depth 56 where the width is varied; squeezes it to 8) and writes the
result. Each is timed a few times and the least time counts. Dotted lines are what growth in proportion would be.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from noise import cifar_recipe, noise, pruned, pruned_ticket
from record import record
from rounds import Budget
from tables import show
from variants import Task, parallel_block

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.data import ImageData
from ticketkit.find import find_ticket
from ticketkit.recipe import Recipe
from ticketkit.stretch import stretch_ticket
from ticketkit.train import Batches, Compute, choose_compute
from ticketkit.train.allocator import keep_freed_memory
from ticketkit.verify import verify_ticket

Point = dict[str, Any]
"""What was varied, under its name, and the times in seconds of what was done, under theirs."""

DEPTH, WIDTH = 20, 16
STRETCHED = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What is measured.

    Attributes:
        depths: Of the network, at width 16.
        widths: Of the network, at depth 20; stretched to depth 56.
        at_once: Trainings at once.
        images: Training images.
        few: Training images where their number is not what is varied.
        size: Height and width of an image.
        batch: Images a step.
        repeats: How often each is timed.
        seconds: Points that would begin after so long are left out.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    at_once: tuple[int, ...]
    images: tuple[int, ...]
    few: int
    size: int
    batch: int
    repeats: int
    seconds: float


ON_CPU = Range(
    depths=(8, 20, 32, 56, 110),
    widths=(8, 16, 32, 64),
    at_once=(1, 2, 3, 4),
    images=(256, 512, 1_024, 2_048, 4_096),
    few=512,
    size=8,
    batch=64,
    repeats=2,
    seconds=180,
)
ON_CUDA = Range(
    depths=(8, 20, 32, 56, 110),
    widths=(8, 16, 32, 64),
    at_once=(1, 2, 4, 8, 16, 32, 64),
    images=(12_500, 25_000, 50_000, 100_000),
    few=25_600,
    size=32,
    batch=128,
    repeats=2,
    seconds=180,
)
QUICK = Range(
    depths=(8, 14), widths=(2, 4), at_once=(1, 2), images=(32, 64), few=32, size=8, batch=16, repeats=1, seconds=60
)


class Scale:
    """Times each of the three at one point.

    Args:
        compute: Where and how to train.
        extent: How often, and on what images.
        folder: Where to put files.
    """

    def __init__(self, compute: Compute, extent: Range, folder: Path) -> None:
        self._compute, self._extent, self._folder = compute, extent, folder
        self._recipe: Recipe = cifar_recipe(extent.batch, crop=extent.size // 8, lr=0.01)

    def trained(self, arch: ArchSpec, images: int) -> dict[str, float]:
        """Times of ``find`` and ``verify`` of a network."""
        data = self._images(images)
        find = partial(find_ticket, arch, data, self._recipe, levels=1, device=self._compute)
        verify = partial(
            verify_ticket,
            pruned_ticket(arch),
            data,
            self._recipe,
            arms=("dense",),
            seeds=(0,),
            start="0",
            device=self._compute,
        )
        return {"find": self._least(find), "verify": self._least(verify)}

    def stretched(self, arch: ArchSpec, depth: int) -> dict[str, float]:
        """Time of ``stretch`` from file to file."""
        source, target = self._folder / "source.st", self._folder / "target.st"
        save_ticket(pruned_ticket(arch), source, overwrite=True)

        def stretch() -> None:
            save_ticket(stretch_ticket(load_ticket(source), f"resnet{depth}"), target, overwrite=True)

        return {"stretch": self._least(stretch, 3)}

    def both(self, arch: ArchSpec, source: ArchSpec, depth: int) -> dict[str, float]:
        """Times of all three: of training a network, and of stretching another one to a depth."""
        return self.trained(arch, self._extent.few) | self.stretched(source, depth)

    def at_once(self, arch: ArchSpec, count: int) -> dict[str, float]:
        """Time a training, of several at once: measured over the most images, told for the few."""
        tensors, mask = pruned(arch)
        batches = Batches(self._images(self._extent.images[-1]), self._recipe, self._compute.device)
        task = Task(
            arch=arch, tensors=tensors, mask=mask, batches=batches, steps=batches.steps_per_epoch, seconds=math.inf
        )
        block = parallel_block(task, self._compute, count)
        block()  # captures the steps
        rate = max(block() for _ in range(self._extent.repeats))
        return {"verify": self._extent.few / rate}

    def _images(self, count: int) -> ImageData:
        return noise(count, size=self._extent.size)

    def _least(self, function: Callable[[], Any], repeats: int | None = None) -> float:
        times = []
        for _ in range(repeats or self._extent.repeats):
            began = time.perf_counter()
            function()
            times.append(time.perf_counter() - began)
        return min(times)


def measured(compute: Compute, extent: Range, folder: Path) -> dict[str, list[Point]]:
    """Every series, point by point, from the smallest on; what there is no time for is left out."""
    scale, budget = Scale(compute, extent, folder), Budget(extent.seconds)
    scale.trained(_arch(extent.depths[0], extent.widths[0]), extent.few)  # loads libraries
    series: dict[str, list[Point]] = {"depth": [], "width": [], "trainings at once": [], "images": []}

    def add(name: str, value: int, times: Callable[[], dict[str, float]]) -> None:
        if not budget.spent:
            series[name].append({name: value, **times()})

    for depth in extent.depths:
        arch = _arch(depth, WIDTH)
        times = partial(scale.both, arch, _arch(DEPTH, WIDTH), depth)
        add("depth", depth, times)
    for width in extent.widths:
        arch = _arch(DEPTH, width)
        add("width", width, partial(scale.both, arch, arch, STRETCHED))
    for count in extent.at_once:
        add("trainings at once", count, partial(scale.at_once, _arch(DEPTH, WIDTH), count))
    for images in extent.images:
        add("images", images, partial(scale.trained, _arch(DEPTH, WIDTH), images))
    return series


def _arch(depth: int, width: int) -> ArchSpec:
    return parse_arch(f"cifar-resnet{depth}" + ("" if width == WIDTH else f"-w{width}"))


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    keep_freed_memory()  # as the command line does
    extent = QUICK
    compute = choose_compute(options.device, image_size=8)
    if not options.quick:
        extent = ON_CUDA if compute.is_cuda else ON_CPU
    with tempfile.TemporaryDirectory() as folder:
        series = measured(compute, extent, Path(folder))
    for name, points in series.items():
        done = [key for key in points[0] if key != name] if points else []
        rows = [[str(point[name]), *(point[key] for key in done)] for point in points]
        show(f"Seconds by {name}, {compute.summary}", [name, *done], rows)
    record({"setting": compute.describe(), "series": series}, options.out)
    if options.plots is not None:
        from pictures import draw  # matplotlib is an extra

        for name, points in series.items():
            draw(name, points, compute.summary, options.plots)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n")
    parser.add_argument("--plots", type=Path, help="a folder for the plots, scale-*.svg and scale-*.png")
    parser.add_argument("--quick", action="store_true", help="tiny networks, to try the script out")
    parser.add_argument("--out", type=Path, help="where to write the JSON document; standard output if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
