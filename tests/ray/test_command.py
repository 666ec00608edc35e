"""``ticketkit sweep --ray``: on a cluster of its own and on one that was there, and where there is none."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ticketkit.errors import TicketkitError
from ticketkit.sweep.on_ray import connected

pytestmark = pytest.mark.ray

Contents = Callable[[Path], dict[str, Any]]
Descendants = Callable[[int], dict[int, bytes]]
Killing = Callable[..., AbstractContextManager[list[int]]]

STOPPED = "ticketkit: stopped; nothing half-written is left behind; go on with --resume"
STUDY = """
title = "On Ray"
sources = ["resnet14-w2"]
targets = ["resnet20-w2"]
sparsities = [0.8]
arms = ["ticket", "dense", "imp"]
seeds = 1
rate = 0.5
recipe = { base = "quick", epochs = 3, batch = 16, warmup = 0, rewind = "2it", crop = 1 }
"""
DIGITS = 'data = { dataset = "digits", limit = 128 }\n'


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ticketkit", "sweep", "study.toml", "--device", "cpu", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object, cwd: Path) -> tuple[str, str]:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return out, err


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_it_starts_a_cluster_and_ends_it(tmp_path: Path, contents: Contents) -> None:
    (tmp_path / "study.toml").write_text(STUDY + DIGITS)
    run("-o", "one", cwd=tmp_path)
    out, err = run("--ray", "local", "-o", "two", cwd=tmp_path)
    assert "Ray at local, 1 CPU for each cell" in out
    assert "cells    3 of 3 done, 5 tasks now" in out
    assert len(err.splitlines()) == 5, "a line each, and nothing of Ray's own"
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_json_is_one_document_though_ray_tells_of_a_lost_worker(tmp_path: Path, killing: Killing) -> None:
    text = STUDY.replace("epochs = 3", "epochs = 12") + DIGITS
    (tmp_path / "study.toml").write_text(text)
    process = start("--ray", "local", "--json", cwd=tmp_path)
    with killing(process.pid, most=1) as killed:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert len(killed) == 1
    document = json.loads(out)
    assert (document["missing"], document["failed"]) == (0, [])
    assert "retries remaining" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_it_and_its_cluster(tmp_path: Path, descendants: Descendants, number: int) -> None:
    (tmp_path / "study.toml").write_text(STUDY.replace("epochs = 3", "epochs = 3000") + DIGITS)
    process = start("--ray", "local", cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("study/runs/*/run.json")), process)
    below = descendants(process.pid)
    assert any(b"raylet" in command for command in below.values())
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    # CPython ends by the signal itself where it hits code that is being made from a string; to a shell both are 130.
    assert process.returncode in {130, -signal.SIGINT}
    assert err.splitlines()[-1] == STOPPED
    wait_for(lambda: not any(alive(pid) for pid in below))
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """A cluster that was started in another folder, as those on several machines are; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            with connected(f"127.0.0.1:{port}"):
                return True
        except TicketkitError:
            return False

    try:
        wait_for(answers)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_cluster_that_was_started_elsewhere_finds_what_is_here(
    elsewhere: str, tmp_path: Path, contents: Contents
) -> None:
    here = tmp_path / "here"
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 4)):
        for kind in ("a", "b"):
            folder = here / "pictures" / part / kind
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 100 if kind == "a" else 256, (16, 16), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (here / "study.toml").write_text(STUDY + 'data = { dataset = "folder", data_dir = "pictures" }\n')
    out, _ = run("--ray", elsewhere, cwd=here)
    assert "3 of 3 done" in out
    cells = contents(here / "study")
    assert len(cells) == 5
    assert {cell["setting"]["environment"]["threads"] for cell in cells.values()} == {1}, "as many as its processors"
    run("--threads", 1, "-o", "one", cwd=here)
    assert contents(here / "one") == cells


def test_too_large_a_share_is_told_while_it_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY + DIGITS)
    process = start("--ray", "local", "--ray-cpus", 10_000, cwd=tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline() == ("no machine of the cluster has 10000 CPU now: cells wait for one that does\n")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT}


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:1", r"reachable at '127\.0\.0\.1:1' \(ConnectionRefusedError"),
        ("no.such.machine.invalid:6379", "reachable at 'no.such.machine.invalid:6379'"),
        ("nonsense", r"\(ValueError: Invalid address format: nonsense\)"),
        ("ray://127.0.0.1:1", "reachable at 'ray://127.0.0.1:1'"),
        ("foo://bar", "reachable at 'foo://bar'"),
    ],
)
def test_an_address_where_there_is_no_cluster_is_told_at_once(address: str, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(TicketkitError, match=told) as caught, connected(address):
        pass
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 15
