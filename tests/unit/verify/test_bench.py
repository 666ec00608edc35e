"""The rewind weights and IMP that the arms of a run share."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ticketkit.bundle import load_ticket
from ticketkit.data import ImageData
from ticketkit.errors import MaskError, RecipeError
from ticketkit.lock import FolderLock
from ticketkit.models import initialise
from ticketkit.provenance import Flops
from ticketkit.recipe import Recipe
from ticketkit.selection import drop_lowest
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, train
from ticketkit.train.flops import training_flops
from ticketkit.verify import Bench, Target
from ticketkit.verify import bench as module
from ticketkit.verify.bench import Pruned, levels_above

MakeBench = Callable[..., Bench]


def same(left: object, right: object) -> bool:
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def alike(left: Pruned, right: Pruned) -> bool:
    return left.mask == right.mask and same(left.tensors, right.tensors) and left.flops == right.flops


class Told:
    """Counts the epochs that a bench trains, by what it says it trains."""

    def __init__(self) -> None:
        self.epochs: Counter[str] = Counter()

    def __call__(self, label: str, _: Progress) -> None:
        self.epochs[label] += 1


# --- the rewind weights


@pytest.mark.parametrize("step", [0, 3, 4, 6])
def test_the_rewind_weights_are_those_that_a_whole_training_passes(
    ticket: Ticket, stripes: ImageData, recipe: Recipe, make_bench: MakeBench, step: int
) -> None:
    whole = train(
        ticket.arch,
        initialise(ticket.arch, 5),
        None,
        Batches(stripes, recipe),
        seed=5,
        compute=Compute(),
        capture_step=step,
    )
    bench = make_bench(ticket, rewind_step=step)
    assert whole.captured is not None
    assert same(bench.rewound, whole.captured)
    assert bench.rewound is bench.rewound, "they are made once"
    dense = training_flops(ticket.arch, (1, 8, 8), None, step * 16)
    assert bench.rewound_flops == dense


def test_imp_rewinds_to_them(ticket: Ticket, make_bench: MakeBench) -> None:
    bench = make_bench(ticket)
    assert same(bench.pruned_to(ticket.kept).tensors, bench.rewound)
    assert same(bench.rewind_ticket().tensors, bench.rewound)


def test_another_seed_is_another_network(ticket: Ticket, make_bench: MakeBench) -> None:
    assert not same(make_bench(ticket, seed=1).rewound, make_bench(ticket, seed=2).rewound)


def test_a_step_that_training_does_not_reach_is_refused(ticket: Ticket, make_bench: MakeBench) -> None:
    bench = make_bench(ticket, rewind_step=8)
    with pytest.raises(RecipeError, match=r"before the end of training, 8 steps \(got 8it\)"):
        _ = bench.rewound
    with pytest.raises(RecipeError, match=r"before the end of training, 8 steps \(got 8it\)"):
        bench.pruned_to(ticket.kept)


@pytest.mark.parametrize("rate", [-0.2, 0.0, 1.0, float("nan")])
def test_a_rate_out_of_its_range_is_refused_at_once(ticket: Ticket, make_bench: MakeBench, rate: float) -> None:
    with pytest.raises(MaskError, match="the rate must be above 0 and below 1"):
        make_bench(ticket, rate=rate)


# --- levels


@pytest.mark.parametrize(
    ("total", "kept", "rate", "level"),
    [
        (1000, 1000, 0.2, 0),
        (1000, 999, 0.2, 0),
        (1000, 800, 0.2, 0),  # a level keeps exactly so many: pruning the one before gives it
        (1000, 799, 0.2, 1),
        (1000, 640, 0.2, 1),
        (1000, 512, 0.2, 2),
        (1000, 511, 0.2, 3),
        (1000, 1200, 0.2, 0),
        (4, 1, 0.1, 0),  # round(0.4) is 0: no level would ever prune
        (10, 0, 0.5, 3),  # 10, 5, 3, 1: round(0.5) is 0
        (7, 0, 0.9, 1),
    ],
)
def test_the_last_level_that_keeps_more(total: int, kept: int, rate: float, level: int) -> None:
    counts = [total]
    for _ in range(level + 1):
        counts.append(counts[-1] - round(rate * counts[-1]))
    found = levels_above(total, kept, rate)
    assert found == level
    assert counts[found] > kept or found == 0


@pytest.mark.parametrize("rewinding", ["weights", "rate"])
def test_exactly_so_many_weights_are_kept_inside_the_last_levels_mask(
    ticket: Ticket, make_bench: MakeBench, tmp_path: Path, rewinding: str
) -> None:
    bench = make_bench(ticket, runs=tmp_path)
    total = ticket.total
    levels = {total: 0, total // 2: 1, total // 3: 1, total // 5: 2, 10: 6, total - round(0.5 * total): 0}
    for kept, level in levels.items():
        pruned = bench.pruned_to(kept, rewinding)
        assert pruned.mask.kept == kept
        assert list(pruned.mask) == list(ticket.mask)
        above = bench.level_above(kept, rewinding)
        assert above.provenance.level == level
        assert above.kept > kept or kept == total
        assert pruned.mask.within(above.mask)
        sizes = {name: np.abs(above.tensors[name]) for name in pruned.mask}
        dropped = np.concatenate([sizes[name][above.mask[name] & ~mask] for name, mask in pruned.mask.items()])
        stays = np.concatenate([sizes[name][mask] for name, mask in pruned.mask.items()])
        assert dropped.max(initial=0) <= stays.min()
        if rewinding == "rate":
            assert same(pruned.tensors, above.tensors), "weights go on from the end of the last level"
            assert all(not pruned.tensors[name][~mask].any() for name, mask in above.mask.items())
    masks = [bench.level(level, rewinding).mask for level in range(7)]
    assert all(after.within(before) for before, after in pairwise(masks))


def test_the_last_step_is_a_level_of_imp_where_the_count_is_one(ticket: Ticket, make_bench: MakeBench) -> None:
    bench = make_bench(ticket)
    first = bench.level(1)
    exact = bench.pruned_to(first.kept)
    assert exact.mask == first.mask
    dense = bench.level(0)
    assert exact.mask == drop_lowest({name: np.abs(dense.tensors[name]) for name in dense.mask}, dense.mask, 0.5)


def test_it_costs_its_levels(ticket: Ticket, make_bench: MakeBench) -> None:
    bench = make_bench(ticket)
    for rewinding in ("weights", "rate"):
        pruned = bench.pruned_to(ticket.total // 5, rewinding)
        by_hand = Flops(sparse=0.0, dense=0.0)
        for level, steps in ((0, 8), (1, 5), (2, 5)):
            mask = bench.level(level, rewinding).mask
            by_hand += training_flops(ticket.arch, (1, 8, 8), mask, steps * 16)
        assert pruned.flops == by_hand
        assert pruned.flops.sparse < pruned.flops.dense


@pytest.mark.parametrize("rewinding", ["weights", "rate"])
def test_levels_that_are_there_are_not_trained_again(
    ticket: Ticket, make_bench: MakeBench, tmp_path: Path, rewinding: str
) -> None:
    told = Told()
    label = {"weights": "imp", "rate": "lrr"}[rewinding]
    first = make_bench(ticket, runs=tmp_path, on_epoch=told).pruned_to(ticket.total // 3, rewinding)
    assert told.epochs == {f"{label} level 0": 2, f"{label} level 1": 2}

    told = Told()
    bench = make_bench(ticket, runs=tmp_path, on_epoch=told)
    assert alike(bench.pruned_to(ticket.total // 3, rewinding), first)
    assert bench.pruned_to(ticket.total // 3 + 5, rewinding).flops == first.flops
    assert not told.epochs, "nor for another count that the same levels lead to"

    deeper = bench.pruned_to(ticket.total // 10, rewinding)
    assert told.epochs == {f"{label} level 2": 2, f"{label} level 3": 2}
    at_once = make_bench(ticket).pruned_to(ticket.total // 10, rewinding)
    assert alike(deeper, at_once), "in one step or in several"
    assert not alike(deeper, first)


def test_a_killed_run_goes_on(ticket: Ticket, make_bench: MakeBench, tmp_path: Path) -> None:
    class Killed(Exception):  # noqa: N818 - not an error of ours
        pass

    def kill(label: str, progress: Progress) -> None:
        if (label, progress.epoch) == ("imp level 1", 2):
            raise Killed

    with pytest.raises(Killed):
        make_bench(ticket, runs=tmp_path, on_epoch=kill).pruned_to(ticket.total // 5)
    told = Told()
    resumed = make_bench(ticket, runs=tmp_path, on_epoch=told).pruned_to(ticket.total // 5)
    assert told.epochs == {"imp level 1": 2, "imp level 2": 2}
    assert alike(resumed, make_bench(ticket).pruned_to(ticket.total // 5))


def test_an_imp_run_that_another_process_makes_is_waited_for(
    ticket: Ticket, make_bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    other = make_bench(ticket, runs=tmp_path)
    told, said = Told(), list[str]()
    waiting = threading.Event()

    def wait(line: str) -> None:
        said.append(line)
        waiting.set()

    def hold(label: str, progress: Progress) -> None:
        assert waiting.wait(timeout=60), "while one trains, the other waits and says so"

    bench = make_bench(ticket, runs=tmp_path, on_epoch=told, on_wait=wait)
    other.on_epoch = hold
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(other.pruned_to, ticket.total // 3)
        while not list(tmp_path.glob("imp-*/run.json")):
            time.sleep(0.001)
        second = executor.submit(bench.pruned_to, ticket.total // 3)
        assert alike(first.result(timeout=60), second.result(timeout=60))
    assert not told.epochs, "nothing is trained twice"
    assert re.fullmatch(rf"waiting for an IMP run \(process {os.getpid()} on .* has it since .*\): .*", said[0])


def test_a_wait_can_be_ended(ticket: Ticket, make_bench: MakeBench, tmp_path: Path) -> None:
    class Stopped(Exception):  # noqa: N818 - not an error of ours
        pass

    def stop(_line: str) -> None:
        raise Stopped

    bench = make_bench(ticket, runs=tmp_path, on_wait=stop)
    folder = bench._folder("weights")
    folder.mkdir(parents=True)
    with FolderLock(folder), pytest.raises(Stopped):
        bench.level(0)


# --- folders


def test_another_run_has_another_folder(
    ticket: Ticket,
    stripes: ImageData,
    recipe: Recipe,
    make_bench: MakeBench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {
        "nothing": {},
        "rate": {"rate": 0.3},
        "seed": {"seed": 6},
        "rewind step": {"rewind_step": 2},
        "recipe": {"batches": Batches(stripes, replace(recipe, lr=0.01))},
        "prunable": {"prunable": tuple(ticket.mask)[:-1]},
        "threads": {"compute": Compute(threads=2)},
        "data": {"batches": Batches(replace(stripes, train_images=255 - stripes.train_images), recipe)},
        "network": {"arch": replace(ticket.arch, width=3)},
    }
    folders = {}
    for change, arguments in changes.items():
        make_bench(ticket, runs=tmp_path, **arguments).level(0)
        folders[change] = {path.name for path in tmp_path.iterdir()}
    make_bench(ticket, runs=tmp_path).level(0, "rate")
    monkeypatch.setattr(module, "__version__", "0.0")
    monkeypatch.setattr("ticketkit.find.__version__", "0.0")
    make_bench(ticket, runs=tmp_path).level(0)
    assert [len(names) for names in folders.values()] == list(range(1, len(changes) + 1))
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == len(changes) + 2
    assert sum(name.startswith("lrr-resnet8-w2-") for name in names) == 1
    assert sum(name.startswith("imp-resnet8-w3-") for name in names) == 1


def test_the_order_of_prunable_names_is_of_no_consequence(
    ticket: Ticket, make_bench: MakeBench, tmp_path: Path
) -> None:
    pruned = make_bench(ticket, runs=tmp_path).pruned_to(100)
    told = Told()
    names = tuple(reversed(tuple(ticket.mask)))
    again = make_bench(ticket, runs=tmp_path, prunable=names, on_epoch=told).pruned_to(100)
    assert not told.epochs
    assert alike(pruned, again)


def test_only_what_is_prunable_is_pruned(ticket: Ticket, make_bench: MakeBench) -> None:
    names = tuple(ticket.mask)[1:]
    pruned = make_bench(ticket, prunable=names).pruned_to(50)
    assert tuple(pruned.mask) == names
    assert pruned.mask.kept == 50
    assert Target(arch=ticket.arch, prunable=names, kept=50).full_mask().total == pruned.mask.total


def test_without_a_folder_nothing_is_left_behind(ticket: Ticket, make_bench: MakeBench) -> None:
    bench = make_bench(ticket)
    bench.pruned_to(ticket.kept)
    path = bench._folder("weights")
    assert load_ticket(path / "rewind.st").arch == ticket.arch
    assert path.parent == bench._folder("rate").parent
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del bench
        gc.collect()
    assert not path.parent.exists()
