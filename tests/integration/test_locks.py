"""Two runs in one folder, as two processes: the second leaves, unless it may wait or has another part to do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ticketkit.bundle import load_ticket

FIND = ["find", "--arch", "resnet8-w2", "--limit", "128", "--set", "epochs=60", "--set", "warmup=0", "--rewind", "2it"]
FIND += ["--levels", "1", "--checkpoint-seconds", "0", "--run-dir", "run"]
STUDY = """
title = "Twice"
sources = ["resnet14-w2"]
targets = ["resnet20-w2"]
sparsities = [0.8]
arms = ["ticket"]
seeds = 1
data = { dataset = "digits", limit = 64 }
recipe = { base = "quick", epochs = 300, batch = 32, warmup = 0, rewind = "2it" }
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ticketkit", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@contextmanager
def at_work(*arguments: str, cwd: Path, until: Callable[[], bool]) -> Iterator[int]:
    """A process in the middle of its work, stopped there, and killed at the end of the block."""
    command = [sys.executable, "-m", "ticketkit", *arguments]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not until():
            assert process.poll() is None, "it ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        try:
            yield process.pid
        finally:
            os.kill(process.pid, signal.SIGKILL)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_second_find_in_a_folder_leaves_and_the_first_s_death_frees_it(tmp_path: Path):
    with at_work(*FIND, cwd=tmp_path, until=(tmp_path / "run" / "training.safetensors").exists) as pid:
        before = files(tmp_path)
        for resume in ([], ["--resume"]):
            done = run(*FIND, *resume, cwd=tmp_path)
            assert done.returncode == 1
            assert done.stderr.startswith("ticketkit: a run folder must be used by one run at a time ")
            assert f"(process {pid} on " in done.stderr
            assert done.stderr.endswith(": run\n")
            assert done.stderr.count("\n") == 1
        assert files(tmp_path) == before, "before it has changed anything"
    done = run(*FIND, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_ticket(tmp_path / "resnet8-w2.st").provenance.level == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_second_sweep_of_a_study_leaves(tmp_path: Path):
    (tmp_path / "twice.toml").write_text(STUDY, encoding="utf-8")
    runs = tmp_path / "twice" / "runs"
    with at_work("sweep", "twice.toml", cwd=tmp_path, until=lambda: bool(list(runs.glob("*/run.json")))):
        before = files(tmp_path)
        done = run("sweep", "twice.toml", "--json", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.splitlines()[-1].startswith("ticketkit: a study must be run once at a time (process ")
        assert files(tmp_path) == before
