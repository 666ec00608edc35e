"""``torchrun -m ticketkit find``: two processes find one ticket, lose each other, and go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ticketkit.bundle import load_ticket

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ticketkit"]
TRAINING = ["--limit", "256", "--set", "epochs=5", "--set", "warmup=1"]
SMALL = ["--arch", "resnet8-w4", *TRAINING, "--rewind", "2it", "--rate", "0.4", "--levels", "2"]
FIND = ["find", *SMALL, "--run-dir", "run", "-o", "t.st"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*TORCHRUN, *arguments], cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def lines_of_ours(stderr: str) -> list[str]:
    """What ticketkit says of an error; torchrun says more."""
    return [line for line in stderr.splitlines() if line.startswith(("ticketkit: ", "Error: "))]


def pid_of_rank(rank: int, parent: int) -> int:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                environment = (entry / "environ").read_bytes().split(b"\0")
                if f"RANK={rank}".encode() in environment:
                    return int(entry.name)
        except OSError:
            continue  # it has ended meanwhile
    raise AssertionError(f"no rank {rank}")


def lose(rank: int, once: str, *arguments: str, cwd: Path) -> str:
    """Kill a rank of a run as soon as a file is there; gives what the run says on standard error."""
    with started(*FIND, *arguments, cwd=cwd) as process:
        deadline = time.monotonic() + 60
        while not (cwd / "run" / once).exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(pid_of_rank(rank, process.pid), signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (cwd / "t.st").exists()
    return stderr


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder of a run of two ranks, and what it printed."""
    folder = tmp_path_factory.mktemp("ranks")
    with started(*FIND, "--json", cwd=folder) as process:
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return folder, stdout, stderr


def test_one_rank_prints_and_writes(found: tuple[Path, str, str]):
    folder, stdout, stderr = found
    document = json.loads(stdout)
    assert document["id"] == load_ticket(folder / "t.st").id
    assert document["provenance"]["environment"]["ranks"] == 2
    assert sum(line.startswith("level  ") for line in stderr.splitlines()) == 3
    assert "2 ranks" in stderr


def test_the_ticket_is_that_of_one_process(found: tuple[Path, str, str], tmp_path: Path):
    command = [sys.executable, "-m", "ticketkit", "find", *SMALL, "-o", "t.st"]
    subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True)
    alone, together = load_ticket(tmp_path / "t.st"), load_ticket(found[0] / "t.st")
    assert (alone.kept, alone.weights) == (together.kept, together.weights)
    both = sum(int((mask & together.mask[name]).sum()) for name, mask in alone.mask.items())
    assert both >= 0.98 * alone.kept
    accuracies = [[level.accuracy for level in ticket.results.levels] for ticket in (alone, together)]
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.02)
    for name, values in alone.tensors.items():
        shared = alone.mask[name] & together.mask[name] if name in alone.mask else np.ones(values.shape, dtype=bool)
        np.testing.assert_allclose(together.tensors[name][shared], values[shared], rtol=1e-3, atol=1e-4)


def test_a_lost_rank_ends_the_run_in_a_line_and_it_goes_on_to_the_same_bytes(
    found: tuple[Path, str, str], tmp_path: Path
):
    for rank, once, arguments in ((1, "level-00.st", ()), (0, "level-01.st", ("--resume",))):
        (line,) = lines_of_ours(lose(rank, once, *arguments, cwd=tmp_path))
        assert line.startswith("ticketkit: ")
        assert line.endswith("a run that keeps a run folder goes on from there with --resume")
    with started(*FIND, "--resume", cwd=tmp_path) as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert (tmp_path / "t.st").read_bytes() == (found[0] / "t.st").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*FIND, "--set", "batch=63"], "a batch must be shared evenly by 2 ranks (recipe quick has batch 63)"),
        (["inspect", "t.st"], "inspect must be started once, not by torchrun in 2 ranks"),
    ],
)
def test_what_is_wrong_is_told_once(tmp_path: Path, arguments: list[str], message: str):
    with started(*arguments, cwd=tmp_path) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    (line,) = lines_of_ours(stderr)
    assert message in line
    assert not list(tmp_path.iterdir()), "nothing is left behind"
