"""How fast a masked network is trained: ours against a plain PyTorch loop, one training and several at once.

python benchmarks/train.py --out benchmarks/results/train-cpu.json
python benchmarks/train.py --device cuda --out benchmarks/results/train-cuda.json

Everything of a table is timed in turn in the same run, and each ratio is against the plain loop of that run. Times are
of whole blocks of steps: on CUDA an epoch of 50,000 images, on the CPU a few steps of a smaller set. The best round
counts, for others may use the machine too; the document holds medians beside it.

The sections, most important first:

* ``same``: plain, ours and stacked trainings, fed the same batches, must have the same loss curve;
* ``single``: ResNet-20, batch 128, 32×32 images, in every precision and mode, with the floors of ``floors.py`` beside
  them: the fraction of the step's time that its FLOPs and its bytes would take at best;
* ``parallel``: several trainings of ResNet-20 at once, by threads and streams, and with stacked parameters;
* ``deeper``: ResNet-56, in the ways that people choose among;
* ``sizes`` (CPU): the same step by image size and number of threads, batch 64.

``--profile`` prints instead which operators a step of ResNet-20 spends its time in.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from floors import Machine, floor_of, machine_blocks
from noise import cifar, cifar_recipe, noise, pruned
from operators import profile_step
from plain import How
from record import record
from rounds import Budget, Rates, interleaved
from tables import show
from variants import (
    BASELINE,
    NO_WORKERS,
    OurTraining,
    Task,
    loss_curves,
    parallel_block,
    plain_blocks,
    precisions_of,
    single_blocks,
    stacked_block,
)

from ticketkit.arch import parse_arch
from ticketkit.train import Batches, Compute, choose_compute
from ticketkit.train.allocator import keep_freed_memory
from ticketkit.train.compute import Precision, cores

TOLERANCE = 2e-3
"""How far losses may lie apart, relative to the plain loop's, over the first steps: float32 rounds differently in other
kernels, and training enlarges it."""

SPARSITY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured.

    Attributes:
        networks: The first is the one that is trained in every way, and several times at once.
        batch: Images a step.
        images: Training images.
        steps: Of a block.
        rounds: Timed rounds, at most.
        parallel: How many trainings at once.
        image_sizes: Of the section ``sizes``, in pixels.
        curve: Steps of the loss curves.
        shrink: Of what the floors are measured with.
        compiled: Whether compiled steps are measured too; compiling takes a minute.
        seconds: For all of it.
    """

    networks: tuple[str, ...]
    batch: int
    images: int
    steps: int
    rounds: int
    parallel: tuple[int, ...]
    image_sizes: tuple[int, ...]
    curve: int
    shrink: int
    seconds: float
    compiled: bool = True


ON_CPU = Sizes(
    networks=("cifar-resnet20", "cifar-resnet56"),
    batch=128,
    images=2_560,
    steps=5,
    rounds=5,
    parallel=(1, 2),
    image_sizes=(8, 16, 32),
    curve=16,
    shrink=1,
    seconds=220,
)
ON_CUDA = replace(
    ON_CPU, images=50_000, steps=390, rounds=3, parallel=(1, 2, 4, 8, 16, 32), image_sizes=(), seconds=150
)
QUICK = Sizes(
    networks=("cifar-resnet8-w4",),
    batch=16,
    images=64,
    steps=2,
    rounds=1,
    parallel=(1, 2),
    image_sizes=(8,),
    curve=3,
    shrink=32,
    seconds=60,
    compiled=False,
)


def same(task: Task, compute: Compute, steps: int) -> dict[str, Any]:
    """Compare the loss curves of plain, ours and stacked trainings on the same batches, in float32."""
    gentle = replace(task, batches=task.batches.with_recipe(replace(task.batches.recipe, lr=0.01)))
    curves = loss_curves(gentle, replace(compute, precision="fp32"), steps)
    apart = {
        name: max(abs(loss - other) / other for loss, other in zip(losses, curves["plain"], strict=True))
        for name, losses in curves.items()
    }
    rows = [[name, losses[0], losses[-1], apart[name]] for name, losses in curves.items()]
    show(f"Losses on the same batches, {steps} steps", ["", "first", "last", "furthest apart"], rows)
    return {
        "steps": steps,
        "tolerance": TOLERANCE,
        "within_tolerance": all(distance <= TOLERANCE for distance in apart.values()),
        "furthest_apart": apart,
        "losses": curves,
    }


def single(task: Task, compute: Compute, sizes: Sizes, *, every: bool, seconds: float) -> dict[str, Any]:
    """Time one training at a time, and put the floors beside it."""
    workers = min(cores(), 8)
    with single_blocks(task, compute, workers=workers, every=every, compiled=sizes.compiled) as blocks:
        hardware = machine_blocks(compute, precisions_of(compute), shrink=sizes.shrink)
        rates = interleaved(blocks | hardware, rounds=sizes.rounds, seconds=seconds)
    baseline = max(rates[name].best for name in (BASELINE, NO_WORKERS) if name in rates)
    batch = task.batches.recipe.batch
    bandwidth = rates.pop("copy").best
    machines = {
        precision: Machine(flops=rates.pop(f"matrix {precision}").best, bytes=bandwidth)
        for precision in precisions_of(compute)
    }
    rows, ways = [], []
    for name, rate in rates.items():
        precision = _precision_of(name, compute)
        way = replace(compute, precision=precision)
        machine = machines[precision]
        floor = floor_of(task.arch, task.batches.data.shape, batch, way, machine)
        step = batch / rate.best
        ways.append(
            {
                "way": name,
                "images_per_second": rate.to_dict(),
                "step_ms": 1e3 * step,
                "ratio": rate.best / baseline,
                "fraction_of_flop_floor": floor.flop_seconds / step,
                "fraction_of_byte_floor": floor.byte_seconds / step,
                "floor": floor.to_dict(),
                "machine": {"flops": machine.flops, "bytes": machine.bytes},
            }
        )
        rows.append(
            [name, rate.best, 1e3 * step, rate.best / baseline, floor.flop_seconds / step, floor.byte_seconds / step]
        )
    title = f"{task.arch.name}, batch {batch}, {compute.summary}; {workers} workers load the plain loop's images"
    show(title, ["", "images/s", "ms/step", "ratio", "of FLOPs", "of bytes"], rows)
    return {"network": task.arch.name, "batch": batch, "workers": workers, "ways": ways}


def _precision_of(way: str, compute: Compute) -> Precision:
    """What a way computes in; PyTorch's default for convolutions on CUDA is tf32."""
    if "bf16" in way:
        return "bf16"
    return "tf32" if compute.is_cuda and (BASELINE in way or "tf32" in way) else "fp32"


def several(task: Task, compute: Compute, sizes: Sizes, *, seconds: float) -> dict[str, Any]:
    """Time several trainings at once; the baseline is one after the other, as fast as one alone is."""
    narrow = compute if compute.is_cuda else replace(compute, threads=1)
    machine = Machine.measured(compute, shrink=sizes.shrink)
    floor = floor_of(task.arch, task.batches.data.shape, task.batches.recipe.batch, compute, machine)
    budget = Budget(seconds)
    rows: list[list[Any]] = []
    found: list[dict[str, Any]] = []
    alone = 0.0
    for count in sizes.parallel:
        if count > 1 and budget.spent:
            break
        blocks: dict[str, Callable[[], float]] = {"threads": parallel_block(task, narrow, count)}
        if count == 1:
            blocks["one after the other"] = parallel_block(task, compute, 1)
        else:
            blocks["stacked"] = stacked_block(task, compute, count)
        share = seconds / len(sizes.parallel)
        rates = _measured(blocks, sizes.rounds, share)
        if count == 1:
            alone = rates["one after the other"].best
        for name, rate in rates.items():
            entry = {"how": name, "at_once": count, "images_per_second": rate.to_dict(), "ratio": rate.best / alone}
            entry["fraction_of_byte_floor"] = rate.best / task.batches.recipe.batch * floor.byte_seconds
            found.append(entry)
            rows.append([name, count, rate.best, entry["ratio"], entry["fraction_of_byte_floor"]])
        del blocks
        gc.collect()
    title = f"Several trainings of {task.arch.name} at once, {compute.summary}"
    show(title, ["", "at once", "images/s in all", "ratio", "of bytes"], rows)
    return {"network": task.arch.name, "ways": found, "floor": floor.to_dict()}


def _measured(blocks: Mapping[str, Callable[[], float]], rounds: int, seconds: float) -> dict[str, Rates]:
    """Time blocks; one that does not fit into the device's memory is left out."""
    try:
        return interleaved(blocks, rounds=rounds, seconds=seconds)
    except torch.cuda.OutOfMemoryError as error:
        print(f"left out {', '.join(blocks)}: {error}", file=sys.stderr)
        return {}


def by_size(sizes: Sizes, *, seconds: float) -> list[dict[str, Any]]:
    """Time a step on the CPU by image size and number of threads, ours and plain."""
    arch = parse_arch(sizes.networks[0])
    tensors, mask = pruned(arch, SPARSITY)
    batch = sizes.batch // 2
    threads = sorted({1, cores()})
    rows: list[list[Any]] = []
    found = []
    for size in sizes.image_sizes:
        data = noise(8 * batch, size=size)
        recipe = cifar_recipe(batch, crop=size // 8)
        task = Task(arch=arch, tensors=tensors, mask=mask, batches=Batches(data, recipe), steps=min(sizes.steps, 8))
        # Small images are loaded faster without workers.
        there, blocks = plain_blocks(task, {f"plain/{count}": How(threads=count) for count in threads})
        with closing(there):
            for count in threads:
                blocks[f"ours/{count}"] = OurTraining(task, Compute(threads=count)).rate
            rates = interleaved(blocks, rounds=sizes.rounds, seconds=seconds / len(sizes.image_sizes))
        for count in threads:
            plain, ours = (1e3 * batch / rates[f"{side}/{count}"].best for side in ("plain", "ours"))
            rows.append([f"{size}×{size}", count, ours, plain, plain / ours])
            found.append(
                {"image_size": size, "threads": count, "ours_ms": ours, "plain_ms": plain, "ratio": plain / ours}
            )
    show(f"{arch.name}, batch {batch}, CPU, fp32", ["image", "threads", "ours, ms/step", "plain", "ratio"], rows)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    keep_freed_memory()  # as the command line does
    compute = choose_compute(options.device, image_size=32, threads=options.threads)
    sizes = QUICK if options.quick else ON_CUDA if compute.is_cuda else ON_CPU
    seconds = options.seconds or sizes.seconds
    data = cifar(options.data_dir, sizes.images, 100)
    batches = Batches(data, cifar_recipe(sizes.batch), compute.device)

    def task_of(name: str) -> Task:
        arch = parse_arch(name)
        tensors, mask = pruned(arch, SPARSITY)
        return Task(arch=arch, tensors=tensors, mask=mask, batches=batches, steps=sizes.steps)

    task, deeper = task_of(sizes.networks[0]), task_of(sizes.networks[-1])
    deeper = replace(deeper, steps=-(-sizes.steps // 2))  # its steps take longer
    results: dict[str, Any] = {"setting": {**compute.describe(), "data": data.name, "sparsity": SPARSITY}}
    if options.profile:
        results["profile"] = profile_step(task, compute, shrink=sizes.shrink)
        record(results, options.out)
        return
    # What the rest costs besides, building and warming up, is about as much again as the rounds.
    budget = Budget(seconds)
    sections: dict[str, Callable[[float], Any]] = {
        "same": lambda _: same(task, compute, sizes.curve),
        "single": lambda share: single(task, compute, sizes, every=True, seconds=share),
        "parallel": lambda share: several(task, compute, sizes, seconds=share),
        "deeper": lambda share: single(deeper, compute, sizes, every=False, seconds=share),
        "sizes": lambda share: by_size(sizes, seconds=share),
    }
    shares = {"same": 0.0, "single": 0.25, "parallel": 0.2 if compute.is_cuda else 0.1, "deeper": 0.1, "sizes": 0.1}
    for name, section in sections.items():
        if name in options.sections and (name != "sizes" or not compute.is_cuda):
            results[name] = "no time was left" if budget.spent else section(shares[name] * seconds)
            gc.collect()
            if options.out is not None:
                record(results, options.out)  # so far, should the run be ended
    if options.out is None:
        record(results, None)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n")
    parser.add_argument("--threads", type=int, help="of the CPU; one a core if not given")
    parser.add_argument("--data-dir", type=Path, help="a folder with CIFAR-10; noise of its shape if not given")
    parser.add_argument("--seconds", type=float, help="about how long it may take")
    parser.add_argument(
        "--sections", nargs="+", default=SECTIONS, choices=SECTIONS, help="what to measure; all if not given"
    )
    parser.add_argument("--profile", action="store_true", help="profile a step instead")
    parser.add_argument("--quick", action="store_true", help="a tiny network, to try the script out")
    parser.add_argument("--out", type=Path, help="where to write the JSON document; standard output if not given")
    return parser.parse_args(arguments)


SECTIONS = ("same", "single", "parallel", "deeper", "sizes")

if __name__ == "__main__":
    main()
