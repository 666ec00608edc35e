"""Ranks with a GPU each: two of them, or on a machine that has a single GPU one, which still goes through NCCL."""

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from ticketkit.bundle import load_ticket
from ticketkit.train import Compute
from ticketkit.train.distributed import ALONE

pytestmark = pytest.mark.gpu

JOB = Path(__file__).parents[1] / "ranks_job.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
ARCHS = ("resnet8-w4", "mlp-64-20-10", "vit2-w16-p2-i8")


@pytest.fixture(scope="module")
def job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ranks_job", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def count() -> int:
    return min(torch.cuda.device_count(), 2)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, count: int) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    done = subprocess.run(
        [*TORCHRUN, str(count), JOB, folder, "cuda"], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [pickle.loads((folder / f"rank-{rank}.pickle").read_bytes()) for rank in range(count)]


def test_ranks_average_gather_and_are_told(ranks: list[dict[str, Any]], count: int):
    for done in ranks:
        assert done["mean"] == [(count - 1) / 2] * 2
        assert done["gathered"] == [[rank, 7] for rank in range(count)]
        assert done["of first"] == {"made by": 0}
        assert done["alike"] == ""
        assert bool(done["not alike"]) is bool(done["apart"]) is (count > 1)


def test_batch_normalisation_sees_the_whole_batch(ranks: list[dict[str, Any]], job: ModuleType):
    whole = job.normalise(ALONE)  # on the CPU, in float64
    parts = [done["normalised"] for done in ranks]
    for name, expected in whole.items():
        if name in ("given", "gradient"):
            found = torch.cat([part[name] for part in parts])
        elif name.endswith(" gradient"):
            found = sum(part[name] for part in parts)
        else:
            found = parts[0][name]
        torch.testing.assert_close(found.to(expected.dtype), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHS)
def test_a_step_of_the_ranks_is_that_of_one_but_for_rounding(ranks: list[dict[str, Any]], job: ModuleType, name: str):
    alone = job.take_steps(ALONE, name, Compute(device="cuda:0"))
    for done in ranks:
        found = done["steps"][name]
        assert found["names"] == alone["names"]
        assert found["values"].tobytes() == ranks[0]["steps"][name]["values"].tobytes()
        for what in ("gradients", "values"):
            assert np.linalg.norm(found[what] - alone[what]) <= 1e-4 * np.linalg.norm(alone[what])


def test_find_under_torchrun_writes_one_ticket(tmp_path: Path, count: int):
    options = ["--arch", "resnet8-w4", "--limit", "256", "--set", "epochs=3", "--set", "warmup=1", "--levels", "1"]
    command = [*TORCHRUN, str(count), "-m", "ticketkit", "find", *options, "--rewind", "2it", "-o", "t.st"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ticket = load_ticket(tmp_path / "t.st")
    assert ticket.provenance.environment.get("ranks", 1) == count
    assert ticket.provenance.environment["precision"] == "bf16"
