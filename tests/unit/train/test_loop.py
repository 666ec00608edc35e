import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.data import ImageData
from ticketkit.errors import RunError, TrainingError
from ticketkit.mask import BoolArray, Mask
from ticketkit.models import initialise
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute, Progress, divergence, loop, train
from ticketkit.train.checkpoint import Checkpoint
from ticketkit.train.flat import FlatParameters
from ticketkit.train.rewiring import Rewiring
from ticketkit.train.steps import EagerSteps

RECIPE = Recipe(name="tiny", epochs=3, batch=16, lr=0.05, nesterov=True, weight_decay=1e-3, warmup=1, crop=1, flip=True)
STEPS = 12
CPU = Compute()


@pytest.fixture
def arch() -> ArchSpec:
    return parse_arch("resnet8-w2", in_channels=1, num_classes=2)


@pytest.fixture
def mask(arch: ArchSpec) -> Mask:
    random = np.random.default_rng(1)
    shapes = {entry.name: entry.tensor.shape for entry in arch.state()}
    return Mask({name: random.random(shapes[name]) < 0.6 for name in arch.prunable_names()})


def same(left: object, right: object) -> bool:
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_training_learns(arch: ArchSpec, stripes: ImageData):
    recipe = Recipe(name="tiny", epochs=12, batch=16, lr=0.05, nesterov=True)
    trained = train(arch, initialise(arch, 0), None, Batches(stripes, recipe), seed=0, compute=CPU)
    assert trained.accuracy > 0.9
    assert trained.loss < 0.4


def test_the_same_seed_gives_the_same_bits_and_another_does_not(arch: ArchSpec, stripes: ImageData, mask: Mask):
    batches = Batches(stripes, RECIPE)
    start = initialise(arch, 0)
    first, again, other = (train(arch, start, mask, batches, seed=seed, compute=CPU) for seed in (1, 1, 2))
    assert same(first.tensors, again.tensors)
    assert not same(first.tensors, other.tensors)


def test_pruned_weights_stay_zero_and_the_start_is_untouched(arch: ArchSpec, stripes: ImageData, mask: Mask):
    start = initialise(arch, 0)
    before = {name: array.copy() for name, array in start.items()}
    trained = train(arch, start, mask, Batches(stripes, RECIPE), seed=0, compute=CPU)
    assert same(start, before)
    for name, kept in mask.items():
        assert not trained.tensors[name][~kept].any()
        assert not np.array_equal(trained.tensors[name][kept], start[name][kept])


def test_captured_tensors_are_those_a_training_cut_there_would_have(arch: ArchSpec, stripes: ImageData):
    batches = Batches(stripes, RECIPE)
    start = initialise(arch, 0)
    whole = train(arch, start, None, batches, seed=0, compute=CPU, capture_step=0)
    assert whole.captured is not None
    assert same(whole.captured, start)
    captured = train(arch, start, None, batches, seed=0, compute=CPU, capture_step=5).captured
    assert captured is not None
    assert int(captured["bn.num_batches_tracked"]) == 5


@pytest.mark.parametrize("step", [0, 1, 4, 6, 11])
def test_a_training_to_a_step_ends_where_a_whole_one_passes(arch: ArchSpec, stripes: ImageData, mask: Mask, step: int):
    batches = Batches(stripes, RECIPE)
    start = initialise(arch, 0)
    whole = train(arch, start, mask, batches, seed=0, compute=CPU, capture_step=step)
    told: list[Progress] = []
    cut = train(arch, start, mask, batches, seed=0, compute=CPU, last_step=step, on_epoch=told.append)
    assert whole.captured is not None
    assert same(cut.tensors, mask.applied_to(whole.captured))
    assert int(cut.tensors["bn.num_batches_tracked"]) == step
    assert [progress.step for progress in told] == [*range(4, step, 4), step][: -(-step // 4)]


@pytest.mark.parametrize("last_step", [STEPS, STEPS + 5])
def test_a_training_to_its_last_step_or_beyond_is_whole(arch: ArchSpec, stripes: ImageData, last_step: int):
    batches = Batches(stripes, RECIPE)
    whole, cut = (
        train(arch, initialise(arch, 0), None, batches, seed=0, compute=CPU, last_step=last)
        for last in (None, last_step)
    )
    assert same(cut.tensors, whole.tensors)
    assert (cut.loss, cut.accuracy) == (whole.loss, whole.accuracy)


def test_progress_is_told_after_each_epoch(arch: ArchSpec, stripes: ImageData):
    told: list[Progress] = []
    train(
        arch,
        initialise(arch, 0),
        None,
        Batches(stripes, RECIPE),
        seed=0,
        compute=CPU,
        first_step=2,
        on_epoch=told.append,
    )
    assert [(progress.epoch, progress.step) for progress in told] == [(1, 4), (2, 8), (3, 12)]


class Killed(Exception):  # noqa: N818 - not an error of ours
    pass


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_bits(
    arch: ArchSpec, stripes: ImageData, mask: Mask, tmp_path: Path, killed_after: int
):
    batches = Batches(stripes, RECIPE)
    start = initialise(arch, 0)
    whole = train(arch, start, mask, batches, seed=0, compute=CPU, capture_step=3)

    def kill(progress: Progress) -> None:
        if progress.epoch == killed_after:
            raise Killed

    def checkpoint() -> Checkpoint:
        return Checkpoint(path=tmp_path / "state.safetensors", label="this", interval=0)

    with pytest.raises(Killed):
        train(arch, start, mask, batches, seed=0, compute=CPU, capture_step=3, checkpoint=checkpoint(), on_epoch=kill)
    told: list[Progress] = []
    resumed = train(
        arch, start, mask, batches, seed=0, compute=CPU, capture_step=3, checkpoint=checkpoint(), on_epoch=told.append
    )
    assert [progress.epoch for progress in told] == list(range(killed_after + 1, 4))
    assert same(resumed.tensors, whole.tensors)
    assert resumed.accuracy == whole.accuracy
    assert resumed.captured is not None
    assert whole.captured is not None
    assert same(resumed.captured, whole.captured)


def test_a_checkpoint_of_another_training_is_ignored(arch: ArchSpec, stripes: ImageData, tmp_path: Path):
    batches = Batches(stripes, RECIPE)
    start = initialise(arch, 0)
    path = tmp_path / "state.safetensors"
    train(arch, start, None, batches, seed=0, compute=CPU, checkpoint=Checkpoint(path=path, label="a", interval=0))
    told: list[Progress] = []
    other = Checkpoint(path=path, label="b", interval=0)
    train(arch, start, None, batches, seed=0, compute=CPU, checkpoint=other, on_epoch=told.append)
    assert len(told) == 3


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match=r"a checkpoint must be sound, or removed .*state\.safetensors"):
        Checkpoint(path=path, label="a").load()


def diverging(arch: ArchSpec, stripes: ImageData, **options: object) -> str:
    recipe = Recipe(name="wild", epochs=3, batch=16, lr=1e5)
    with pytest.raises(TrainingError) as caught:
        train(arch, initialise(arch, 0), None, Batches(stripes, recipe), seed=0, compute=CPU, **options)
    return str(caught.value)


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_layer(arch: ArchSpec, stripes: ImageData):
    found = re.fullmatch(
        r"loss and weights must stay finite in a training \(after epoch (\d) the loss is (?:nan|inf), first in "
        r"step (\d+), in the output of (\S+)\); try a lower lr or a longer warmup",
        diverging(arch, stripes),
    )
    assert found is not None
    epoch, step, layer = int(found[1]), int(found[2]), found[3]
    assert 4 * (epoch - 1) < step <= 4 * epoch
    assert layer in {spec.name for spec in arch.layers()}


def test_the_layer_is_named_whichever_state_the_training_is_repeated_from(
    arch: ArchSpec, stripes: ImageData, monkeypatch: pytest.MonkeyPatch
):
    from_its_start = diverging(arch, stripes)
    monkeypatch.setattr(divergence, "INTERVAL", 0.0)
    assert diverging(arch, stripes) == from_its_start


def test_where_it_cannot_be_repeated_no_layer_is_named(arch: ArchSpec, stripes: ImageData):
    rewiring = Rewiring(grow="random", seed=0)
    assert "first in" not in diverging(arch, stripes, rewiring=rewiring)


def test_a_training_that_ends_with_weights_that_are_not_finite_is_stopped(
    arch: ArchSpec, stripes: ImageData, monkeypatch: pytest.MonkeyPatch
):
    """The loss of the last step is of the weights before its update, so it does not tell."""

    def overflow(steps: EagerSteps) -> None:
        make(steps)
        if float(steps.optimiser.param_groups[0]["lr"]) == 0.05 / 8:
            with torch.no_grad():
                steps.flat.values[0] = torch.inf

    make = EagerSteps.step
    monkeypatch.setattr(EagerSteps, "step", overflow)
    monkeypatch.setattr(loop, "learning_rate", lambda recipe, step, per_epoch: 0.05 / 8 if step == 11 else 0.05)
    monkeypatch.setattr(divergence, "learning_rate", loop.learning_rate)
    with pytest.raises(TrainingError, match=r"first in step 12, in the update of conv.weight"):
        train(arch, initialise(arch, 0), None, Batches(stripes, RECIPE), seed=0, compute=CPU)


@pytest.mark.parametrize("spoilt", ["kept", "pruned"])
def test_a_start_from_other_weights_is_refused(
    arch: ArchSpec, stripes: ImageData, mask: Mask, monkeypatch: pytest.MonkeyPatch, spoilt: str
):
    """Spoil one weight in the buffer that is trained, by the least there is: rewinding must be exact."""

    class Spoilt(FlatParameters):
        def set_masks(self, masks: Mapping[str, BoolArray]) -> None:
            super().set_masks(masks)
            if masks:  # not while it is made
                place = int(torch.nonzero(self.mask == (spoilt == "kept"))[0])
                with torch.no_grad():
                    self.values[place] = torch.nextafter(self.values[place], torch.tensor(torch.inf))

    monkeypatch.setattr("ticketkit.train.steps.FlatParameters", Spoilt)
    with pytest.raises(RunError, match=r"must start from the given weights, bit for bit \(.*weight does not\)"):
        train(arch, initialise(arch, 0), mask, Batches(stripes, RECIPE), seed=0, compute=CPU)


class Rewired(FlatParameters):
    """Remembers the last one made, so that a test can look at the mask that a training ends with."""

    last: "Rewired"

    def set_masks(self, masks: Mapping[str, BoolArray]) -> None:
        super().set_masks(masks)
        self.first_mask = self.mask.clone()
        Rewired.last = self


@pytest.mark.parametrize("grow", ["gradient", "random"])
def test_rewiring_changes_the_mask_and_no_layers_count(
    arch: ArchSpec, stripes: ImageData, mask: Mask, monkeypatch: pytest.MonkeyPatch, grow: str
):
    monkeypatch.setattr("ticketkit.train.steps.FlatParameters", Rewired)
    rewiring = Rewiring(grow=grow, interval=2, seed=3)
    batches = Batches(stripes, RECIPE)
    trained = train(arch, initialise(arch, 0), mask, batches, seed=0, compute=CPU, rewiring=rewiring)
    flat = Rewired.last
    assert not torch.equal(flat.mask, flat.first_mask)
    for name, kept in mask.items():
        part, count = flat.masked[name]
        assert flat.mask[part].sum() == count == kept.sum()
        assert np.count_nonzero(trained.tensors[name]) <= count
    assert any(trained.tensors[name][~kept].any() for name, kept in mask.items()), "new connections are trained"
    pruned = flat.values.detach()[flat.mask == 0]
    assert not pruned.any()
    assert not torch.signbit(pruned).any()
    again = train(arch, initialise(arch, 0), mask, batches, seed=0, compute=CPU, rewiring=rewiring)
    assert same(again.tensors, trained.tensors)


def test_the_step_of_an_exchange_updates_no_weight(
    arch: ArchSpec, stripes: ImageData, mask: Mask, monkeypatch: pytest.MonkeyPatch
):
    """RigL, algorithm 1: either connections are exchanged or weights are updated."""
    monkeypatch.setattr("ticketkit.train.steps.FlatParameters", Rewired)
    start = initialise(arch, 0)
    trained = train(
        arch,
        start,
        mask,
        Batches(stripes, RECIPE),
        seed=0,
        compute=CPU,
        first_step=4,
        last_step=5,
        rewiring=Rewiring(grow="gradient", interval=4),
    )
    assert not torch.equal(Rewired.last.mask, Rewired.last.first_mask)
    for entry in arch.state():
        after, before = trained.tensors[entry.name], start[entry.name]
        if entry.name in mask:
            assert ((after == before) | (after == 0)).all(), entry.name
            assert not after[~mask[entry.name]].any(), "what came is zero still"
        elif entry.tensor.trainable:
            assert after.tobytes() == before.tobytes(), entry.name
    assert int(trained.tensors["bn.num_batches_tracked"]) == 1, "its images were seen all the same"


def test_rewiring_that_is_never_due_changes_nothing(arch: ArchSpec, stripes: ImageData, mask: Mask):
    batches = Batches(stripes, RECIPE)
    plain, rewired = (
        train(arch, initialise(arch, 0), mask, batches, seed=0, compute=CPU, rewiring=rewiring)
        for rewiring in (None, Rewiring(grow="gradient", interval=STEPS))
    )
    assert same(plain.tensors, rewired.tensors)


def test_a_training_that_rewires_cannot_be_resumed(arch: ArchSpec, stripes: ImageData, mask: Mask, tmp_path: Path):
    with pytest.raises(RunError, match=r"must rewire or keep a checkpoint, not both \(a checkpoint holds no mask\)"):
        train(
            arch,
            initialise(arch, 0),
            mask,
            Batches(stripes, RECIPE),
            seed=0,
            compute=CPU,
            rewiring=Rewiring(grow="random"),
            checkpoint=Checkpoint(path=tmp_path / "state.safetensors", label="this"),
        )
