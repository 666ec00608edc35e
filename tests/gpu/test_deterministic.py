"""With deterministic algorithms a GPU gives the same bits again. Run with ``pytest -m gpu``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ticketkit.arch import parse_arch
from ticketkit.bundle import load_ticket
from ticketkit.data import ImageData
from ticketkit.find import find_ticket
from ticketkit.models import initialise
from ticketkit.recipe import Recipe
from ticketkit.reproduce import reproduce_ticket
from ticketkit.stretch import stretch_ticket
from ticketkit.train import Batches, Compute, train
from ticketkit.train.compute import Precision
from ticketkit.verify import ARMS, verify_ticket

pytestmark = pytest.mark.gpu

RECIPE = Recipe(
    name="tiny", epochs=4, batch=16, lr=0.05, nesterov=True, weight_decay=1e-3, crop=1, flip=True, rewind="4it"
)


def compute(**changes: object) -> Compute:
    return Compute(**{"device": "cuda:0", "precision": "bf16", "deterministic": True} | changes)


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_two_runs_give_one_id(stripes: ImageData, precision: Precision, graphs: bool):
    arch = parse_arch("resnet14-w8", in_channels=1, num_classes=2)
    how = compute(precision=precision, graphs=graphs)
    first, second = (find_ticket(arch, stripes, RECIPE, levels=2, rate=0.4, device=how) for _ in range(2))
    assert first.id == second.id
    assert first.provenance.environment["deterministic"] is True
    assert reproduce_ticket(first, stripes).agreement.state == "identical"


@pytest.mark.parametrize(
    "name", ["resnet14-w8", "vgg11-w8", "mobilenetv1-w8", "imagenet-resnet26-w8", "vit2-w64-p2-i8", "mlp-64-32-2"]
)
def test_every_family_has_deterministic_operators(stripes: ImageData, name: str):
    arch = parse_arch(name, in_channels=1, num_classes=2)
    batches = Batches(stripes, RECIPE, "cuda:0")
    ends = [train(arch, initialise(arch, 0), None, batches, seed=0, compute=compute()) for _ in range(2)]
    assert all(ends[0].tensors[key].tobytes() == ends[1].tensors[key].tobytes() for key in ends[0].tensors)
    assert ends[0].accuracy == ends[1].accuracy


def test_every_arm_gives_the_same_again(stripes: ImageData):
    arch = parse_arch("resnet14-w4", in_channels=1, num_classes=2)
    ticket = stretch_ticket(find_ticket(arch, stripes, RECIPE, levels=2, rate=0.4, device=compute()), "20")
    arms = [name for name in ARMS if name != "ticket"]
    options = {"arms": arms, "seeds": (0,), "rate": 0.4, "dst_multiplier": 40, "device": compute()}
    first, second = (verify_ticket(ticket, stripes, RECIPE, **options) for _ in range(2))
    for one, other in zip(first.arms, second.arms, strict=True):
        assert (one.runs[0].accuracy, one.runs[0].loss) == (other.runs[0].accuracy, other.runs[0].loss), one.name


def test_fresh_processes_give_the_same_bytes(tmp_path: Path):
    find = ["find", "--arch", "resnet14-w4", "--device", "cuda", "--deterministic", "--limit", "256", "--levels", "1"]
    for name in ("a.st", "b.st"):
        command = [sys.executable, "-m", "ticketkit", *find, "--set", "epochs=2", "--rewind", "2it", "-o", name]
        subprocess.run(command, cwd=tmp_path, env=os.environ.copy(), check=True, capture_output=True)
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()
    environment = load_ticket(tmp_path / "a.st").provenance.environment
    assert environment["device"] == torch.cuda.get_device_name(0)
