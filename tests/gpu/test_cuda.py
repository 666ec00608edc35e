"""What needs a CUDA device. Run with ``pytest -m gpu``; everything else runs without one."""

import numpy as np
import pytest
import torch

from ticketkit.arch import parse_arch
from ticketkit.data import ImageData
from ticketkit.find import find_ticket
from ticketkit.models import initialise
from ticketkit.recipe import Recipe
from ticketkit.stretch import stretch_ticket
from ticketkit.train import Batches, Compute, choose_compute, train
from ticketkit.verify import verify_ticket

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
