import os
import signal
import subprocess
import sys
import time

import click
import pytest

from ticketkit.cli.ranks import Place, refuse_ranks
from ticketkit.train import Compute
from ticketkit.train.distributed import ALONE

# Computing the hash holds on for minutes inside OpenSSL, as waiting for a lost rank does inside NCCL.
STUCK = """
import hashlib
from ticketkit.cli.ranks import _ends_when_told
with _ends_when_told(lambda: print("told", flush=True), grace={grace}):
    print("ready", flush=True)
    {work}
"""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def as_rank(monkeypatch: pytest.MonkeyPatch, **values: object) -> Place:
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    return Place.from_environment()


def test_a_process_that_nobody_started_as_a_rank_is_alone():
    place = Place.from_environment()
    assert place == Place(rank=0, size=1, local_rank=0, local_size=1)
    assert place.device("cuda:3") == "cuda:3"
    assert place.shared(Compute(threads=64)).threads == 64
    with place.joined("cpu") as group:
        assert group is ALONE
        assert group.leads
        assert group.claim()


def test_each_rank_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch):
    place = as_rank(monkeypatch, RANK=11, WORLD_SIZE=16, LOCAL_RANK=3, LOCAL_WORLD_SIZE=8)
    assert place == Place(rank=11, size=16, local_rank=3, local_size=8)
    assert place.device("cuda") == "cuda:3"
    assert place.device("cpu") == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert place.device("auto") == "cuda:3"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert place.device("auto") == "cpu"
    with pytest.raises(click.UsageError, match=r"got cuda:1"):
        place.device("cuda:1")


def test_ranks_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ticketkit.train.compute.cores", lambda: 16)
    place = as_rank(monkeypatch, WORLD_SIZE=8, LOCAL_WORLD_SIZE=4)
    assert place.shared(Compute(threads=16)).threads == 4
    assert place.shared(Compute(threads=1)).threads == 1, "small images need no more"
    assert as_rank(monkeypatch, LOCAL_WORLD_SIZE=64).shared(Compute(threads=16)).threads == 1
    assert as_rank(monkeypatch, OMP_NUM_THREADS=3).shared(Compute(threads=16)).threads == 3


def test_an_environment_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(click.UsageError, match="WORLD_SIZE must be a number"):
        as_rank(monkeypatch, WORLD_SIZE="many")


def test_only_commands_that_can_run_in_ranks_do(monkeypatch: pytest.MonkeyPatch):
    refuse_ranks("verify")
    as_rank(monkeypatch, WORLD_SIZE=2, RANK=0)
    refuse_ranks("find")
    with pytest.raises(click.UsageError, match="verify must be started once"):
        refuse_ranks("verify")
    as_rank(monkeypatch, RANK=1)
    with pytest.raises(click.exceptions.Exit):
        refuse_ranks("verify")


@pytest.mark.parametrize(
    ("work", "grace", "said", "code"),
    [
        ("hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)", 0.1, "told\n", 1),
        ("import time; time.sleep(60)", 30, "", -signal.SIGINT),
    ],
)
def test_a_rank_ends_when_it_is_told_to_even_if_python_is_not_asked(work: str, grace: float, said: str, code: int):
    began = time.monotonic()
    command = [sys.executable, "-c", STUCK.format(grace=grace, work=work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=30)
    assert (stdout, process.returncode) == (said, code)
    assert time.monotonic() - began < 25
