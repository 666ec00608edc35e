"""Verifying a ticket, seeds × arms trainings: one after the other against several at once.

python benchmarks/verify.py --out benchmarks/results/verify-cpu.json
python benchmarks/verify.py --device cuda --data-dir DIR --parallel 1 8 16 --out benchmarks/results/verify-cuda.json

Three seeds of ten arms, thirty trainings of ResNet-20, in the very command that users run, evaluations included. The
document tells how many trainings' worth of time the whole took, and how far any accuracy moved: on the CPU by nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from noise import cifar, pruned_ticket
from record import record
from tables import show

from ticketkit.arch import parse_arch
from ticketkit.data import ImageData, load_data
from ticketkit.recipe import Recipe, load_recipe
from ticketkit.report.comparison import Report
from ticketkit.ticket import Ticket
from ticketkit.train import Compute, choose_compute
from ticketkit.train.allocator import keep_freed_memory
from ticketkit.train.parallel import Parallel
from ticketkit.verify import verify_ticket

ARMS = ("dense", "random", "reinit", "random-weights", "magnitude", "snip", "grasp", "synflow", "erk")
"""Beside the ticket itself; none of them needs trainings of its own before."""


def verified(
    ticket: Ticket,
    data: ImageData,
    recipe: Recipe,
    compute: Compute,
    *,
    arms: Sequence[str],
    seeds: int,
    parallel: Parallel,
) -> tuple[Report, float]:
    """Verify a ticket; gives the report and the wall time in seconds."""
    began = time.perf_counter()
    report = verify_ticket(
        ticket, data, recipe, arms=arms, seeds=range(seeds), start="0", device=compute, parallel=parallel
    )
    return report, time.perf_counter() - began


def accuracies(report: Report) -> list[float]:
    """Of every run, in order."""
    return [run.accuracy for arm in report.arms for run in arm.runs]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    keep_freed_memory()  # as the command line does
    on_digits = choose_compute(options.device, image_size=8).device == "cpu" and options.data_dir is None
    data = load_data("digits") if on_digits else cifar(options.data_dir, 50_000, 10_000)
    recipe = load_recipe("quick" if on_digits else "fast-cifar")
    network, arms = "resnet20", [*ARMS]
    if options.quick:
        network, arms = "resnet8-w4", [*ARMS[:1]]
        data = data.limited(256, 64)
    epochs = options.epochs or (2 if on_digits else 5)
    recipe = replace(recipe, epochs=epochs, warmup=1, rewind="0it")
    compute = choose_compute(options.device, image_size=data.shape[1])
    arch = parse_arch(f"cifar-{network}", in_channels=data.shape[0], num_classes=data.num_classes)
    ticket = pruned_ticket(arch)
    # Kernels are chosen, and libraries loaded, before anything is timed.
    verified(ticket, data, recipe, compute, arms=arms[:1], seeds=1, parallel=1)
    rows: list[list[Any]] = []
    ways: list[dict[str, Any]] = []
    alone: list[float] = []
    for parallel in options.parallel:
        report, seconds = verified(ticket, data, recipe, compute, arms=arms, seeds=options.seeds, parallel=parallel)
        alone = alone or accuracies(report)
        single = min(run.seconds for arm in report.arms for run in arm.runs) if not ways else ways[0]["one_training"]
        apart = max(abs(left - right) for left, right in zip(alone, accuracies(report), strict=True))
        first = ways[0]["seconds"] if ways else seconds
        ways.append(
            {
                "parallel": parallel,
                "at_once": report.setting["environment"].get("parallel", 1),
                "trainings": len(accuracies(report)),
                "seconds": seconds,
                "one_training": single,
                "in_trainings": seconds / single,
                "ratio": first / seconds,
                "accuracy_moved": apart,
            }
        )
        rows.append([str(parallel), len(alone), seconds, first / seconds, seconds / single, apart])
    title = f"Verifying a ticket of {arch.name} on {data.name}, {epochs} epochs, {compute.summary}"
    show(title, ["at once", "trainings", "seconds", "ratio", "in single ones", "accuracy moved"], rows)
    setting = {**compute.describe(), "network": arch.name, "data": data.name, "recipe": recipe.to_dict()}
    record({"setting": setting, "ways": ways}, options.out)


def _parallel(text: str) -> Parallel:
    return "auto" if text == "auto" else int(text)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n")
    parser.add_argument("--parallel", type=_parallel, nargs="+", default=[1, "auto"], help="how many trainings at once")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of each training; 2 on digits and 5 on CIFAR-10 if not given")
    parser.add_argument("--data-dir", type=Path, help="a folder with CIFAR-10; without it digits, on CUDA noise")
    parser.add_argument("--quick", action="store_true", help="a tiny network, to try the script out")
    parser.add_argument("--out", type=Path, help="where to write the JSON document; standard output if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
