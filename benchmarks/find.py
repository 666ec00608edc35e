"""A whole run of iterative magnitude pruning, eleven trainings: ours against a plain PyTorch loop.

python benchmarks/find.py --out benchmarks/results/find-digits-cpu.json
python benchmarks/find.py --device cuda --data-dir DIR --out benchmarks/results/find-cifar10-cuda.json

On the CPU it is the embedded digits with the recipe quick, on CUDA CIFAR-10 with fast-cifar. The plain loop prunes by
``torch.nn.utils.prune.global_unstructured`` and rewinds by ``load_state_dict``; ``plain.py`` says how it trains. Both
start from the same weights and use the same recipe, but shuffle and augment by their own random numbers, so accuracies
agree as far as those of two seeds do. The levels take turns, ours, plain, ours, so that what disturbs the machine
disturbs both.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from elsewhere import Elsewhere
from noise import cifar
from plain import How, PlainTraining
from record import record
from tables import show
from torch import Tensor
from torch.nn.utils import prune

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.data import ImageData, load_data
from ticketkit.find import LevelReport, find_ticket, full_mask
from ticketkit.models import initialise
from ticketkit.recipe import Recipe, load_recipe
from ticketkit.train import Compute, choose_compute
from ticketkit.train.allocator import keep_freed_memory
from ticketkit.train.compute import cores

RATE = 0.2
LEVELS = 10
"""Prunings after the dense training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a run.

    Attributes:
        kept: Weights that are kept.
        accuracy: Test accuracy in [0, 1].
        seconds: Wall time since the level before.
    """

    kept: int
    accuracy: float
    seconds: float


def plain_levels(arch: ArchSpec, data: ImageData, recipe: Recipe, how: How, seed: int) -> Iterator[Level]:
    """Iterative magnitude pruning as a user would write it; gives each level as it ends, and has no end itself.

    Args:
        arch: The network.
        data: What to train and test on.
        recipe: How to train, and where to rewind to.
        how: What is left to the user.
        seed: Of the initial weights, which are those of :func:`find_ticket`.
    """
    began = time.perf_counter()
    mask = full_mask(arch, arch.prunable_names())
    training = PlainTraining(arch, initialise(arch, seed), mask, data, recipe, how)
    model = training.model
    places = [(model.get_submodule(name.removesuffix(".weight")), "weight") for name in mask]
    rewind = recipe.rewind_step(training.steps_per_epoch)
    rewound: dict[str, Tensor] = {}
    first = 0
    while True:
        with how.applied():
            training.restart(first)
            losses = training.forever()
            for step in range(first, recipe.total_steps(training.steps_per_epoch)):
                if step == rewind and not rewound:
                    rewound = copy.deepcopy(model.state_dict())
                next(losses)
            losses.close()
            accuracy = training.accuracy()
        kept = sum(int(module.get_buffer("weight_mask").sum()) for module, _ in places)
        now = time.perf_counter()
        yield Level(kept=kept, accuracy=accuracy, seconds=now - began)
        began = time.perf_counter()
        prune.global_unstructured(places, pruning_method=prune.L1Unstructured, amount=RATE)
        masks = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("_mask")}
        model.load_state_dict(rewound | masks)
        first = rewind


def plain_run(*arguments: Any) -> Callable[[int], Level]:
    """Give a function that does the next level; for :class:`~elsewhere.Elsewhere`."""
    levels = plain_levels(*arguments)
    return lambda _: next(levels)


def compared(
    arch: ArchSpec,
    data: ImageData,
    recipe: Recipe,
    compute: Compute,
    how: How,
    *,
    levels: int,
    plain_for: int,
    seed: int,
) -> tuple[list[Level], list[Level]]:
    """Both runs, level by level in turns: ours and plain.

    Args:
        arch: The network.
        data: What to train and test on.
        recipe: How to train, and where to rewind to.
        compute: Where and how ours computes.
        how: The same for the plain loop.
        levels: How often to prune.
        plain_for: How many levels the plain loop does, from the dense one on.
        seed: Of initial weights, and of our data order.
    """
    ours: list[Level] = []
    theirs: list[Level] = []
    plain: Elsewhere[int, Level] = Elsewhere(plain_run, arch, data, recipe, how, seed)
    began = time.perf_counter()

    def take_turns(report: LevelReport) -> None:
        nonlocal began
        result = report.result
        ours.append(Level(kept=result.kept, accuracy=result.accuracy, seconds=time.perf_counter() - began))
        if len(theirs) < plain_for:
            theirs.append(plain(len(theirs)))
        began = time.perf_counter()

    with closing(plain):
        find_ticket(arch, data, recipe, seed=seed, device=compute, levels=levels, rate=RATE, on_level=take_turns)
    return ours, theirs


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    keep_freed_memory()  # as the command line does
    on_digits = choose_compute(options.device, image_size=8).device == "cpu" and options.data_dir is None
    data = load_data("digits") if on_digits else cifar(options.data_dir, 50_000, 10_000)
    recipe = load_recipe("quick" if on_digits else "fast-cifar")
    levels, network = LEVELS, "resnet20"
    if options.quick:
        recipe, levels, network = replace(recipe, epochs=3, warmup=1, rewind="4it"), 1, "resnet8-w4"
        data = data.limited(256, 64)
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs, warmup=min(recipe.warmup, options.epochs / 2))
    arch = parse_arch(f"cifar-{network}", in_channels=data.shape[0], num_classes=data.num_classes)
    compute = choose_compute(options.device, image_size=data.shape[1], precision=options.precision)
    # Small images are loaded faster without workers, and small networks train faster on one thread.
    workers = 0 if on_digits else min(cores(), 8)
    how = How(device=compute.device, threads=compute.threads, workers=workers, bf16=options.plain_bf16)
    levels = levels if options.levels is None else options.levels
    plain_for = levels + 1 if options.plain_levels is None else options.plain_levels
    ours, plain = compared(arch, data, recipe, compute, how, levels=levels, plain_for=plain_for, seed=0)
    seconds = {"ours": sum(level.seconds for level in ours), "plain": seconds_of(plain, levels + 1)}
    pairs = list(zip_longest(ours, plain))
    rows: list[list[Any]] = [
        [
            str(number),
            left.kept,
            _percent(left),
            _percent(right),
            left.seconds,
            None if right is None else right.seconds,
        ]
        for number, (left, right) in enumerate(pairs)
    ]
    rows.append(["all", None, None, None, seconds["ours"], seconds["plain"]])
    title = f"Finding a ticket of {arch.name} on {data.name}, {recipe.name}, {compute.summary}"
    show(title, ["level", "kept", "ours: accuracy", "plain", "ours: seconds", "plain"], rows)
    results: dict[str, Any] = {
        "setting": {**compute.describe(), "network": arch.name, "data": data.name, "recipe": recipe.to_dict()},
        "plain": asdict(how) | {"levels": len(plain)},
        "levels": [{"ours": asdict(left), "plain": right and asdict(right)} for left, right in pairs],
        "seconds": seconds,
        "ratio": seconds["plain"] / seconds["ours"],
    }
    record(results, options.out)


def _percent(level: Level | None) -> str | None:
    return None if level is None else f"{100 * level.accuracy:.2f} %"


def seconds_of(run: Sequence[Level], levels: int) -> float:
    """Wall time of a run; levels that were left out take as long as its last one did."""
    return sum(level.seconds for level in run) + (levels - len(run)) * run[-1].seconds


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n")
    parser.add_argument(
        "--precision", choices=("fp32", "tf32", "bf16"), help="of ours; the device's default if not given"
    )
    parser.add_argument("--plain-bf16", action="store_true", help="run the plain loop under autocast to bfloat16")
    parser.add_argument("--data-dir", type=Path, help="a folder with CIFAR-10; without it digits, on CUDA noise")
    parser.add_argument("--levels", type=int, help="how often to prune, instead of ten times")
    parser.add_argument(
        "--plain-levels", type=int, help="levels of the plain loop, at least one; the others are taken to last as long"
    )
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--quick", action="store_true", help="a tiny network, to try the script out")
    parser.add_argument("--out", type=Path, help="where to write the JSON document; standard output if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
