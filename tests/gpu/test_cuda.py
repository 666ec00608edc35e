"""What needs a CUDA device. Run with ``pytest -m gpu``; everything else runs without one."""

from functools import partial
from typing import Literal

import numpy as np
import pytest
import torch

from ticketkit.arch import parse_arch
from ticketkit.connect import connect_ticket
from ticketkit.data import ImageData
from ticketkit.find import find_ticket, full_mask
from ticketkit.mask import Mask
from ticketkit.models import initialise, instantiate
from ticketkit.prune import CRITERIA, Subject
from ticketkit.recipe import Recipe
from ticketkit.stretch import stretch_ticket
from ticketkit.train import Batches, Compute, choose_compute, train
from ticketkit.train.compute import Precision
from ticketkit.train.flat import FlatParameters
from ticketkit.train.parallel import Stop, how_many, together
from ticketkit.train.rewiring import Rewiring, rewire
from ticketkit.train.steps import as_cuda_graph, sgd
from ticketkit.verify import ARMS, verify_ticket

pytestmark = pytest.mark.gpu

RECIPE = Recipe(
    name="tiny", epochs=6, batch=16, lr=0.05, nesterov=True, weight_decay=1e-3, crop=1, flip=True, rewind="4it"
)


def test_batches_on_the_gpu_are_those_of_the_cpu(stripes: ImageData):
    cpu, cuda = (Batches(stripes, RECIPE, device) for device in ("cpu", "cuda:0"))
    for (left, left_labels), (right, right_labels) in zip(cpu.epoch(0, 1), cuda.epoch(0, 1), strict=True):
        torch.testing.assert_close(left, right.cpu())
        assert torch.equal(left_labels, right_labels.cpu())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_learns_and_keeps_pruned_weights_zero(stripes: ImageData, precision: str):
    arch = parse_arch("resnet8-w8", in_channels=1, num_classes=2)
    compute = Compute(device="cuda:0", precision=precision)
    trained = train(arch, initialise(arch, 0), None, Batches(stripes, RECIPE, "cuda:0"), seed=0, compute=compute)
    assert trained.accuracy > 0.9


def test_find_stretch_and_verify_run_on_the_gpu(stripes: ImageData):
    arch = parse_arch("resnet14-w4", in_channels=1, num_classes=2)
    compute = choose_compute("auto", image_size=8)
    assert compute.is_cuda
    ticket = find_ticket(arch, stripes, RECIPE, levels=2, rate=0.4, device=compute)
    assert ticket.kept == round(0.6 * round(0.6 * ticket.total))
    report = verify_ticket(stretch_ticket(ticket, "20"), stripes, RECIPE, seeds=(0, 1), device=compute)
    assert [arm.name for arm in report.arms] == ["ticket", "dense", "random", "reinit"]
    assert all(np.isfinite(arm.mean) for arm in report.arms)


def test_every_arm_runs_on_the_gpu_and_says_what_it_cost(stripes: ImageData):
    arch = parse_arch("resnet14-w4", in_channels=1, num_classes=2)
    compute = choose_compute("auto", image_size=8)
    ticket = stretch_ticket(find_ticket(arch, stripes, RECIPE, levels=2, rate=0.4, device=compute), "20")
    arms = [name for name in ARMS if name != "ticket"]
    report = verify_ticket(ticket, stripes, RECIPE, arms=arms, seeds=(0,), rate=0.4, dst_multiplier=40, device=compute)
    for arm in report.arms:
        assert arm.kept == ticket.kept or arm.name in ("dense", "small-dense")
        cost = arm.runs[0].cost
        assert cost is not None
        assert cost.peak_memory is not None
        assert 0 < cost.flops <= cost.dense_flops


@pytest.mark.parametrize("grow", ["gradient", "random"])
def test_rewiring_on_the_gpu_keeps_every_layers_count(grow: Literal["gradient", "random"]):
    arch = parse_arch("resnet8-w4", in_channels=1, num_classes=2)
    random = np.random.default_rng(0)
    shapes = {entry.name: entry.tensor.shape for entry in arch.state()}
    mask = Mask({name: random.random(shapes[name]) < 0.5 for name in arch.prunable_names()})
    flat = FlatParameters(instantiate(arch, initialise(arch, 0), "cuda:0"), mask)
    flat.gradients.normal_()
    optimiser = sgd(flat, RECIPE)
    optimiser.step()
    before = flat.mask.clone()
    rewire(flat, optimiser, Rewiring(grow=grow, interval=10), 10, 100)
    assert not torch.equal(before, flat.mask)
    assert all(int(flat.mask[part].sum()) == kept for part, kept in flat.masked.values())


@pytest.mark.parametrize("criterion", ["grasp", "snip", "synflow"])
def test_criteria_on_the_gpu_choose_nearly_what_the_cpu_does(stripes: ImageData, criterion: str):
    arch = parse_arch("resnet8-w4", in_channels=1, num_classes=2)
    chosen = []
    for device in ("cpu", "cuda:0"):
        batches = Batches(stripes, RECIPE, device)
        subject = Subject(
            arch=arch,
            tensors=initialise(arch, 0),
            mask=full_mask(arch, arch.prunable_names()),
            batches=lambda batches=batches: batches.epoch(0, 0),
            device=device,
        )
        chosen.append(CRITERIA[criterion](subject, 200))
    left, right = chosen
    assert left.kept == right.kept == 200
    assert sum(int((left[name] & right[name]).sum()) for name in left) >= 190


def test_the_line_between_two_trainings_on_the_gpu(stripes: ImageData):
    arch = parse_arch("resnet8-w4", in_channels=1, num_classes=2)
    compute = choose_compute("auto", image_size=8)
    ticket = find_ticket(arch, stripes, RECIPE, levels=1, device=compute)
    connection = connect_ticket(ticket, stripes, RECIPE, points=5, device=compute)
    assert len(connection.curves[0].points) == 5
    assert 0 <= connection.barrier <= 1


# --- captured steps, and several trainings at once


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_captured_steps_train_as_eager_ones_do(stripes: ImageData, precision: Precision):
    arch = parse_arch("resnet8-w8", in_channels=1, num_classes=2)
    batches = Batches(stripes, RECIPE, "cuda:0")
    ends = []
    for graphs in (True, False):
        compute = Compute(device="cuda:0", precision=precision, graphs=graphs)
        ends.append(train(arch, initialise(arch, 0), None, batches, seed=0, compute=compute, last_step=6))
    captured, eager = ends
    assert captured.loss == pytest.approx(eager.loss, rel=1e-3 if precision == "fp32" else 0.05)
    assert captured.tensors["bn.num_batches_tracked"] == eager.tensors["bn.num_batches_tracked"]


def test_one_capture_serves_levels_and_arms_of_a_network(stripes: ImageData, monkeypatch: pytest.MonkeyPatch):
    captured = []

    def counting(device: str) -> object:
        capture = as_cuda_graph(device)
        return lambda function: captured.append(device) or capture(function)

    monkeypatch.setattr("ticketkit.train.steps.as_cuda_graph", counting)
    arch = parse_arch("resnet8-w4", in_channels=1, num_classes=2)
    ticket = find_ticket(arch, stripes, RECIPE, levels=3, device=choose_compute("auto", image_size=8))
    assert len(captured) == 1
    verify_ticket(ticket, stripes, RECIPE, arms=("dense", "random"), seeds=(0, 1), parallel=1)
    assert len(captured) == 2, "another data set on the device, so another capture, and no more"


def test_trainings_at_once_are_as_good_as_alone(stripes: ImageData):
    arch = parse_arch("resnet8-w8", in_channels=1, num_classes=2)
    compute = Compute(device="cuda:0", precision="fp32")
    batches = Batches(stripes, RECIPE, "cuda:0")

    def job(seed: int) -> float:
        return train(arch, initialise(arch, seed), None, batches, seed=seed, compute=compute).loss

    jobs = [partial(job, seed) for seed in range(6)]
    alone = dict(together(jobs, 1, compute, Stop()))
    beside = dict(together(jobs, 3, compute, Stop()))
    for seed, loss in alone.items():
        assert beside[seed] == pytest.approx(loss, rel=0.05, abs=1e-3)


def test_settings_of_cuda_are_put_back():
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    for precision in ("fp32", "tf32"):
        with Compute(device="cuda:0", precision=precision).applied():
            assert torch.backends.cudnn.conv.fp32_precision == ("tf32" if precision == "tf32" else "ieee")
    assert before == (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)


def test_as_many_trainings_run_at_once_as_have_room():
    arch = parse_arch("resnet20")
    compute = choose_compute("auto", image_size=32)
    assert how_many("auto", 100, compute, arch, (3, 32, 32), 128) >= 1
    assert how_many("auto", 100, compute, arch, (3, 32, 32), 2**24) == 1
