"""Captured steps are tested here with a capture that captures nothing: what is left is where everything lies."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.data import ImageData
from ticketkit.mask import Mask
from ticketkit.models import export_tensors, initialise
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute
from ticketkit.train.steps import CapturedSteps, EagerSteps, Steps, steps_for

RECIPE = Recipe(name="tiny", epochs=3, batch=16, lr=0.05, nesterov=True, weight_decay=1e-3, crop=1, flip=True)
RATES = [0.05, 0.04, 0.03, 0.02]
CPU = Compute()


@pytest.fixture
def arch() -> ArchSpec:
    return parse_arch("resnet8-w2", in_channels=1, num_classes=2)


@pytest.fixture
def mask(arch: ArchSpec) -> Mask:
    random = np.random.default_rng(1)
    shapes = {entry.name: entry.tensor.shape for entry in arch.state()}
    return Mask({name: random.random(shapes[name]) < 0.5 for name in arch.prunable_names()})


class Counting:
    """Captures a function as it is, and counts."""

    def __init__(self) -> None:
        self.captured = 0
        self.replayed = 0

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        for _ in range(3):  # a real capture warms up, which leaves its marks everywhere
            function()

        def replay() -> None:
            self.replayed += 1
            function()

        return replay


def trained(steps: Steps, arch: ArchSpec, mask: Mask | None, *, seed: int = 0) -> tuple[dict[str, np.ndarray], float]:
    steps.start(initialise(arch, seed), mask)
    for epoch in (0, 1):
        steps.begin_epoch(3, epoch, 0, RATES)
        for _ in RATES:
            steps.step()
    return export_tensors(steps.model), float(steps.losses)


def assert_same(left: tuple[dict[str, np.ndarray], float], right: tuple[dict[str, np.ndarray], float]) -> None:
    # The captured step reads its learning rate as a float32, the other as a float64.
    assert left[1] == pytest.approx(right[1], rel=1e-6)
    for name, array in left[0].items():
        np.testing.assert_allclose(array, right[0][name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_captured_steps_are_the_eager_ones(arch: ArchSpec, stripes: ImageData, mask: Mask):
    batches = Batches(stripes, RECIPE)
    capture = Counting()
    captured = trained(CapturedSteps(arch, batches, CPU, capture), arch, mask)
    assert_same(captured, trained(EagerSteps(arch, batches, CPU), arch, mask))
    assert (capture.captured, capture.replayed) == (1, 8)


def test_one_capture_serves_trainings_of_other_weights_and_masks(arch: ArchSpec, stripes: ImageData, mask: Mask):
    batches = Batches(stripes, RECIPE)
    capture = Counting()
    steps = CapturedSteps(arch, batches, CPU, capture)
    first = trained(steps, arch, mask)
    assert_same(trained(steps, arch, None, seed=1), trained(EagerSteps(arch, batches, CPU), arch, None, seed=1))
    again = trained(steps, arch, mask)
    assert capture.captured == 1
    for name, array in first[0].items():
        assert np.array_equal(array, again[0][name]), "nothing is left over from the training between"


def test_an_epoch_may_be_shorter_than_what_is_made_to_warm_up(arch: ArchSpec, stripes: ImageData):
    batches = Batches(stripes, Recipe(**RECIPE.to_dict() | {"batch": 40, "milestones": ()}))
    assert batches.steps_per_epoch == 1
    ends = []
    for steps in (CapturedSteps(arch, batches, CPU, Counting()), EagerSteps(arch, batches, CPU)):
        steps.start(initialise(arch, 0), None)
        for epoch in (0, 1):
            steps.begin_epoch(0, epoch, 0, [0.05])
            steps.step()
        ends.append((export_tensors(steps.model), float(steps.losses)))
    assert_same(*ends)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_captured_steps_go_on_in_the_middle_of_an_epoch(arch: ArchSpec, stripes: ImageData, momentum: float):
    recipe = Recipe(name="tiny", epochs=3, batch=16, lr=0.05, momentum=momentum, crop=1, flip=True)
    batches = Batches(stripes, recipe)
    ends = []
    for steps in (CapturedSteps(arch, batches, CPU, Counting()), EagerSteps(arch, batches, CPU)):
        steps.start(initialise(arch, 0), None)
        steps.begin_epoch(0, 1, 0, RATES)
        steps.step()
        state, velocity = export_tensors(steps.model), steps.flat.momentum(steps.optimiser)
        steps.start(initialise(arch, 5), None)  # somebody else's training
        steps.begin_epoch(9, 0, 0, RATES)
        steps.step()
        steps.start(state, None, velocity)
        steps.begin_epoch(0, 1, 1, RATES[1:])
        for _ in RATES[1:]:
            steps.step()
        ends.append((export_tensors(steps.model), float(steps.losses)))
    whole = EagerSteps(arch, batches, CPU)
    whole.start(initialise(arch, 0), None)
    whole.begin_epoch(0, 1, 0, RATES)
    for _ in RATES:
        whole.step()
    for end, _ in ends:
        for name, array in export_tensors(whole.model).items():
            np.testing.assert_allclose(end[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_gradients_alone_advance_the_epoch_but_no_weight(arch: ArchSpec, stripes: ImageData, mask: Mask):
    batches = Batches(stripes, RECIPE)
    flats = []
    for steps in (CapturedSteps(arch, batches, CPU, Counting()), EagerSteps(arch, batches, CPU)):
        steps.start(initialise(arch, 0), mask)
        steps.begin_epoch(0, 0, 0, RATES)
        before = steps.flat.values.detach().clone()
        steps.gradients()
        assert torch.equal(before, steps.flat.values.detach())
        assert steps.flat.gradients[steps.flat.mask == 0].any(), "pruned weights have gradients too"
        steps.step()
        assert not torch.equal(before, steps.flat.values.detach())
        flats.append(steps.flat.values.detach().clone())
    torch.testing.assert_close(*flats)


def test_steps_on_the_cpu_are_eager_and_of_one_training_alone(arch: ArchSpec, stripes: ImageData):
    batches = Batches(stripes, RECIPE)
    with steps_for(arch, batches, CPU) as first:
        assert isinstance(first, EagerSteps)
    with steps_for(arch, batches, CPU) as second:
        assert second is not first


def test_compiled_steps_are_used_again_for_what_differs_in_its_schedule_alone(
    arch: ArchSpec, stripes: ImageData, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.compile", lambda model: model)
    batches, compiled = Batches(stripes, RECIPE), Compute(compiled=True)
    with steps_for(arch, batches, compiled) as first:
        pass
    longer = batches.with_recipe(Recipe(**RECIPE.to_dict() | {"epochs": 9, "milestones": ()}))
    with steps_for(arch, longer, compiled) as second:
        assert second is first
        with steps_for(arch, longer, compiled) as beside:
            assert beside is not first, "one training at a time"
    smoothed = batches.with_recipe(Recipe(**RECIPE.to_dict() | {"label_smoothing": 0.1, "milestones": ()}))
    with steps_for(arch, smoothed, compiled) as third:
        assert third not in (first, beside)
