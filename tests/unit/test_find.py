import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ticketkit import find
from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, MaskError, RunError, TrainingError
from ticketkit.find import LevelReport, find_ticket, full_mask, levels_for
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.provenance import Flops
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute, train
from ticketkit.train.flops import forward_flops

RECIPE = Recipe(name="tiny", epochs=3, batch=16, lr=0.05, nesterov=True, weight_decay=1e-3, crop=1, rewind="2it")
CPU = Compute()


@pytest.fixture
def arch() -> ArchSpec:
    return parse_arch("resnet8-w2", in_channels=1, num_classes=2)


@pytest.fixture
def reports(arch: ArchSpec, stripes: ImageData) -> list[LevelReport]:
    found: list[LevelReport] = []
    find_ticket(arch, stripes, RECIPE, levels=3, rate=0.3, device=CPU, on_level=found.append)
    return found


@pytest.mark.parametrize(
    ("sparsity", "rate", "levels"), [(0.2, 0.2, 1), (0.2001, 0.2, 2), (0.956, 0.2, 14), (0.36, 0.2, 2), (0.5, 0.9, 1)]
)
def test_levels_are_the_fewest_that_reach_a_sparsity(sparsity: float, rate: float, levels: int):
    assert levels_for(sparsity, rate) == levels


@pytest.mark.parametrize(("sparsity", "rate"), [(0.0, 0.2), (1.0, 0.2), (0.5, 0.0), (0.5, 1.0)])
def test_levels_need_a_sparsity_and_a_rate_between_0_and_1(sparsity: float, rate: float):
    with pytest.raises(MaskError, match="must be above 0 and below 1"):
        levels_for(sparsity, rate)


def test_each_level_prunes_the_rounded_fraction_and_nests(reports: list[LevelReport]):
    kept = [report.result.kept for report in reports]
    assert kept[0] == reports[0].result.total
    assert all(after == before - round(0.3 * before) for before, after in pairwise(kept))
    masks = [report.ticket.mask for report in reports]
    assert all(after.within(before) for before, after in pairwise(masks))


def test_each_level_drops_the_smallest_trained_weights(arch: ArchSpec, stripes: ImageData, reports: list[LevelReport]):
    batches = Batches(stripes, RECIPE)
    dense = train(arch, initialise(arch, 0), None, batches, seed=0, compute=CPU, capture_step=2)
    assert dense.accuracy == reports[0].result.accuracy
    first = reports[1].ticket.mask
    magnitudes = {name: np.abs(dense.tensors[name]) for name in first}
    smallest_kept = min(magnitudes[name][first[name]].min() for name in first)
    largest_dropped = max(magnitudes[name][~first[name]].max(initial=0) for name in first)
    assert largest_dropped <= smallest_kept
    # And its weights are those of step 2, bit for bit.
    assert dense.captured is not None
    for name, kept in first.items():
        assert reports[1].ticket.tensors[name][kept].tobytes() == dense.captured[name][kept].tobytes()
    assert reports[1].ticket.tensors["bn.running_var"].tobytes() == dense.captured["bn.running_var"].tobytes()


def test_the_ticket_says_how_it_was_found(stripes: ImageData, reports: list[LevelReport]):
    ticket = reports[-1].ticket
    provenance = ticket.provenance
    assert (ticket.weights.role, ticket.weights.step) == ("rewind", 2)
    assert (provenance.method, provenance.level, provenance.rate, provenance.seed) == ("imp", 3, 0.3, 0)
    assert provenance.dataset is not None
    assert provenance.dataset.fingerprint == stripes.fingerprint
    assert provenance.recipe == RECIPE.to_dict()
    assert provenance.environment is not None
    assert provenance.environment["device"] == "cpu"
    assert provenance.created is None
    assert ticket.results is not None
    assert [result.level for result in ticket.results.levels] == [0, 1, 2, 3]


def test_a_winning_level_is_within_the_tolerance(arch: ArchSpec, stripes: ImageData):
    generous = find_ticket(arch, stripes, RECIPE, levels=2, tolerance=1.0, device=CPU).results
    assert generous is not None
    assert generous.winning_level == 2
    dense = generous.levels[0].accuracy
    strict = find_ticket(arch, stripes, RECIPE, levels=2, tolerance=0.0, device=CPU).results
    assert strict is not None
    expected = [result.level for result in strict.levels[1:] if result.accuracy >= dense]
    assert strict.winning_level == max(expected, default=None)


def test_rewinding_to_step_0_keeps_the_initial_weights(arch: ArchSpec, stripes: ImageData):
    recipe = Recipe(name="tiny", epochs=1, batch=16, lr=0.05, rewind="0it")
    ticket = find_ticket(arch, stripes, recipe, levels=1, device=CPU, seed=3)
    assert (ticket.weights.role, ticket.weights.step) == ("init", 0)
    initial = initialise(arch, 3)
    assert all(
        ticket.tensors[name][kept].tobytes() == initial[name][kept].tobytes() for name, kept in ticket.mask.items()
    )


def test_the_head_is_pruned_where_asked(arch: ArchSpec, stripes: ImageData):
    assert "fc.weight" in find_ticket(arch, stripes, RECIPE, levels=0, device=CPU).mask
    assert "fc.weight" not in find_ticket(arch, stripes, RECIPE, levels=0, device=CPU, prune_head=False).mask


def test_only_the_tensors_that_are_named_are_pruned(arch: ArchSpec, stripes: ImageData):
    names = ["blocks.1.conv1.weight", "conv.weight"]
    ticket = find_ticket(arch, stripes, RECIPE, levels=2, rate=0.5, device=CPU, prunable=names, prune_head=True)
    assert list(ticket.mask) == names[::-1], "in the network's order, whatever else is said"
    total = ticket.total - round(0.5 * ticket.total)
    assert ticket.kept == total - round(0.5 * total)
    family = find_ticket(arch, stripes, RECIPE, levels=1, device=CPU, prunable=arch.prunable_names())
    assert family == find_ticket(arch, stripes, RECIPE, levels=1, device=CPU)


@pytest.mark.parametrize("name", ["bn.weight", "fc.bias", "conv9.weight"])
def test_what_is_no_weight_of_the_network_cannot_be_pruned(arch: ArchSpec, stripes: ImageData, name: str):
    with pytest.raises(MaskError, match=rf"must be weights of cifar-resnet8-w2 \(got '{name}'\)"):
        find_ticket(arch, stripes, RECIPE, device=CPU, prunable=["conv.weight", name])
    with pytest.raises(MaskError, match="at least one tensor"):
        full_mask(arch, [])


def by_hand(arch: ArchSpec, masks: list[Mask]) -> Flops:
    """Three passes an image: the whole schedule of 12 steps at level 0, behind the rewind step at all others."""
    images = [12 * 16] + [10 * 16] * (len(masks) - 1)
    sparse = sum(3 * count * forward_flops(arch, (1, 8, 8), mask) for count, mask in zip(images, masks, strict=True))
    return Flops(sparse=sparse, dense=3 * sum(images) * forward_flops(arch, (1, 8, 8)))


def test_the_ticket_says_what_finding_it_took(arch: ArchSpec, reports: list[LevelReport]):
    masks = [report.ticket.mask for report in reports]
    for level, report in enumerate(reports):
        assert report.ticket.provenance.flops == by_hand(arch, masks[: level + 1])
    last = reports[-1].ticket.provenance.flops
    assert last is not None
    assert last.sparse < last.dense


# --- learning-rate rewinding


def test_with_the_rate_alone_rewound_weights_go_on_from_where_they_are(
    arch: ArchSpec, stripes: ImageData, tmp_path: Path
):
    found: list[LevelReport] = []
    options = {"levels": 3, "rate": 0.3, "rewinding": "rate", "device": CPU}
    find_ticket(arch, stripes, RECIPE, run_dir=tmp_path, on_level=found.append, **options)
    tickets = [report.ticket for report in found]
    assert all(after.mask.within(before.mask) for before, after in pairwise(tickets))
    assert [ticket.kept for ticket in tickets] == [report.result.kept for report in found] == [1226, 858, 601, 421]
    assert {ticket.provenance.method for ticket in tickets} == {"lrr"}
    assert [(ticket.weights.role, ticket.weights.step) for ticket in tickets] == [("rewind", 2), *[("final", 12)] * 3]
    for level, ticket in enumerate(tickets[1:]):
        before = load_ticket(tmp_path / f"level-{level:02d}.st").tensors
        assert ticket.mask.applied_to(before).keys() == ticket.tensors.keys()
        for name, array in ticket.mask.applied_to(before).items():
            assert ticket.tensors[name].tobytes() == array.tobytes(), name
    # And the schedule starts again at the rewind step.
    batches = Batches(stripes, RECIPE)
    last = tickets[-1]
    again = train(arch, last.tensors, last.mask, batches, seed=0, compute=CPU, first_step=2)
    assert again.accuracy == found[-1].result.accuracy
    kept = load_ticket(tmp_path / "level-03.st").tensors
    assert all(again.tensors[name].tobytes() == kept[name].tobytes() for name in kept)
    assert last.provenance.flops == by_hand(arch, [ticket.mask for ticket in tickets])


def test_the_two_ways_of_rewinding_part_at_level_2(arch: ArchSpec, stripes: ImageData, reports: list[LevelReport]):
    found: list[LevelReport] = []
    find_ticket(arch, stripes, RECIPE, levels=2, rate=0.3, rewinding="rate", device=CPU, on_level=found.append)
    assert found[0].result == reports[0].result
    assert found[1].ticket.mask == reports[1].ticket.mask, "both prune the dense network first"
    assert found[1].ticket.tensors["conv.weight"].tobytes() != reports[1].ticket.tensors["conv.weight"].tobytes()
    assert found[2].ticket.mask != reports[2].ticket.mask


def test_source_date_epoch_dates_the_ticket(arch: ArchSpec, stripes: ImageData, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    ticket = find_ticket(arch, stripes, RECIPE, levels=0, device=CPU)
    assert ticket.provenance.created == "1970-01-01T00:00:00+00:00"


def test_bad_arguments_are_refused_before_training(arch: ArchSpec, stripes: ImageData):
    with pytest.raises(MaskError, match="the rate must be above 0 and below 1"):
        find_ticket(arch, stripes, RECIPE, rate=1.0)
    with pytest.raises(MaskError, match="levels must be 0 or above"):
        find_ticket(arch, stripes, RECIPE, levels=-1)
    with pytest.raises(MaskError, match="the tolerance must be in"):
        find_ticket(arch, stripes, RECIPE, tolerance=2)
    with pytest.raises(ArchError, match="num_classes"):
        find_ticket(parse_arch("resnet8", in_channels=1), stripes, RECIPE)


class Killed(Exception):  # noqa: N818 - not an error of ours
    pass


@pytest.mark.parametrize("rewinding", ["weights", "rate"])
@pytest.mark.parametrize(("level", "epoch"), [(0, 1), (0, 3), (1, 2), (2, 3)])
def test_a_killed_run_resumes_to_the_same_bytes(
    arch: ArchSpec, stripes: ImageData, tmp_path: Path, level: int, epoch: int, rewinding: str
):
    options = {"levels": 2, "rate": 0.3, "rewinding": rewinding, "device": CPU}
    save_ticket(find_ticket(arch, stripes, RECIPE, **options), tmp_path / "whole.st")

    def kill(at_level: int, progress: object) -> None:
        if (at_level, progress.epoch) == (level, epoch):
            raise Killed

    run = tmp_path / "run"
    with pytest.raises(Killed):
        find_ticket(arch, stripes, RECIPE, run_dir=run, checkpoint_seconds=0, on_epoch=kill, **options)
    seen: list[LevelReport] = []
    ticket = find_ticket(arch, stripes, RECIPE, run_dir=run, resume=True, on_level=seen.append, **options)
    save_ticket(ticket, tmp_path / "resumed.st")
    assert (tmp_path / "resumed.st").read_bytes() == (tmp_path / "whole.st").read_bytes()
    assert [report.resumed for report in seen] == [number < level for number in range(3)]
    assert not (run / "training.safetensors").exists()
    assert load_ticket(run / "level-02.st").weights.role == "final"


def test_a_finished_run_can_be_asked_for_more_levels(arch: ArchSpec, stripes: ImageData, tmp_path: Path):
    find_ticket(arch, stripes, RECIPE, levels=1, device=CPU, run_dir=tmp_path / "run")
    seen: list[LevelReport] = []
    more = find_ticket(
        arch, stripes, RECIPE, levels=2, device=CPU, run_dir=tmp_path / "run", resume=True, on_level=seen.append
    )
    assert [report.resumed for report in seen] == [True, True, False]
    assert more == find_ticket(arch, stripes, RECIPE, levels=2, device=CPU)


def test_a_run_folder_is_not_used_twice_by_accident(arch: ArchSpec, stripes: ImageData, tmp_path: Path):
    run = tmp_path / "run"
    find_ticket(arch, stripes, RECIPE, levels=0, device=CPU, run_dir=run)
    with pytest.raises(RunError, match=r"must be new, or resumed with --resume \(it holds a run\)"):
        find_ticket(arch, stripes, RECIPE, levels=0, device=CPU, run_dir=run)
    with pytest.raises(RunError, match=r"seed was 0 \(got 1\): .*run\.json"):
        find_ticket(arch, stripes, RECIPE, levels=0, device=CPU, run_dir=run, resume=True, seed=1)
    with pytest.raises(RunError, match=r"method was \"imp\" \(got \"lrr\"\): .*run\.json"):
        find_ticket(arch, stripes, RECIPE, levels=0, device=CPU, run_dir=run, resume=True, rewinding="rate")
    with pytest.raises(RunError, match=r"recipe\.lr was 0\.05 \(got 0\.1\): .*run\.json"):
        find_ticket(arch, stripes, replace(RECIPE, lr=0.1), levels=0, device=CPU, run_dir=run, resume=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "run.json").write_text("{"), r"description must be JSON .*run\.json"),
        (lambda run: (run / "rewind.st").unlink(), r"must have its rewind weights \(rewind\.st is missing\)"),
        (lambda run: (run / "level-00.st").write_bytes(b"junk"), r"level-00\.st"),
        (
            lambda run: (run / "level-00.st").write_bytes((run / "level-01.st").read_bytes()),
            r"must have the mask that follows from the level before .*level-00\.st",
        ),
    ],
)
def test_a_damaged_run_folder_is_one_line(
    arch: ArchSpec, stripes: ImageData, tmp_path: Path, spoil: object, message: str
):
    run = tmp_path / "run"
    find_ticket(arch, stripes, RECIPE, levels=1, device=CPU, run_dir=run)
    spoil(run)
    with pytest.raises((RunError, ValueError), match=message) as raised:
        find_ticket(arch, stripes, RECIPE, levels=1, device=CPU, run_dir=run, resume=True)
    assert "\n" not in str(raised.value)


COLLAPSING = {"levels": 12, "rate": 0.6}


def test_a_level_that_prunes_all_of_a_layer_is_not_trained(arch: ArchSpec, stripes: ImageData):
    done: list[LevelReport] = []
    with pytest.raises(TrainingError) as caught:
        find_ticket(arch, stripes, RECIPE, device=CPU, on_level=done.append, **COLLAPSING)
    found = re.fullmatch(
        r"a layer must keep some of its weights \(level (\d+) prunes all ([\d,]+) of (\S+)\); stop at level (\d+), "
        r"prune less at a time, take a wider network, or allow layers to collapse",
        str(caught.value),
    )
    assert found is not None
    assert int(found[1]) - 1 == int(found[4]) == done[-1].result.level
    last = done[-1].ticket.mask
    assert all(kept.any() for kept in last.values()), "what is finished is whole"
    assert f"{last[found[3]].size:,}" == found[2]


def test_layers_may_collapse_where_that_is_wanted(arch: ArchSpec, stripes: ImageData):
    ticket = find_ticket(arch, stripes, RECIPE, device=CPU, allow_collapse=True, **COLLAPSING)
    assert ticket.provenance.level == COLLAPSING["levels"]
    assert not all(kept.any() for kept in ticket.mask.values())


def test_a_level_that_diverges_is_named(arch: ArchSpec, stripes: ImageData, monkeypatch: pytest.MonkeyPatch):
    """Level 1 starts from weights that overflow; what is looked for is its name, and that level 0 is done."""
    make = find.train

    def overflowing(arch: ArchSpec, tensors: dict, *rest: object, first_step: int, **options: object) -> object:
        if first_step:
            tensors = {name: array * np.float32(1e30) if array.ndim == 4 else array for name, array in tensors.items()}
        return make(arch, tensors, *rest, first_step=first_step, **options)

    monkeypatch.setattr(find, "train", overflowing)
    done: list[LevelReport] = []
    message = r"^level 1: loss and weights must stay finite .* first in step \d, in the (update|output) of \S+\);"
    with pytest.raises(TrainingError, match=message):
        find_ticket(arch, stripes, RECIPE, device=CPU, levels=2, on_level=done.append)
    assert [report.result.level for report in done] == [0]
