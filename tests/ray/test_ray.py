"""Studies on a real Ray cluster on this machine: the same results as in one process, whatever happens to its workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ticketkit.errors import TicketkitError
from ticketkit.recipe import load_recipe
from ticketkit.report.cells import read_cell
from ticketkit.sweep import Study
from ticketkit.sweep.laboratory import Laboratory, data_of
from ticketkit.sweep.on_ray import LOCAL, RETRIES, OnRay, connected, has_room
from ticketkit.sweep.plan import Task, plan_study
from ticketkit.sweep.run import Done, InProcess, Outcome, run_study
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source

pytestmark = pytest.mark.ray

CLOCKS = {"seconds", "images_per_second", "peak_memory"}

STUDY = Study(
    title="On Ray",
    sources=(Source(arch="resnet14-w2"), Source(arch="resnet32-w2")),
    targets=("resnet20-w2",),
    sparsities=(0.8,),
    recipe=load_recipe("quick", ["epochs=4", "batch=32", "warmup=0", "rewind=3it"]),
    policies=(PolicyChoice(name="append"), PolicyChoice(name="permuted", random_copies=True)),
    arms=("ticket", "dense", "imp", "lrr", "random", "synflow", "rigl"),
    connect=("ticket",),
    points=4,
    seeds=(0,),
    rate=0.5,
    dst_multiplier=2,
    data=DataChoice(dataset="digits", limit=256),
)


def contents(folder: Path) -> dict[str, Any]:
    """What a study's folder holds, but for what the clock and the memory say."""

    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: still(member) for name, member in value.items() if name not in CLOCKS}
        return [still(member) for member in value] if isinstance(value, list) else value

    paths = [path for kind in ("find", "train", "connect") for path in (folder / kind).glob("[!.]*.json")]
    return {str(path.relative_to(folder)): still(json.loads(path.read_text())) for path in paths}


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, done in this process."""
    folder = tmp_path_factory.mktemp("in-process")
    doing = InProcess(laboratory=Laboratory(STUDY, folder, device="cpu"))
    outcome = run_study(STUDY, plan_study(STUDY, data_of), folder, doing)
    assert not outcome.failed
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster on this machine, for the tests of this module."""
    with connected(LOCAL):
        yield


def on_ray(folder: Path, **changes: Any) -> OnRay:
    return OnRay(**({"study": STUDY, "folder": folder, "settings": {"device": "cpu"}} | changes))


def run_on_ray(folder: Path, **changes: Any) -> Outcome:
    return run_study(STUDY, plan_study(STUDY, data_of), folder, on_ray(folder, **changes))


# --- the same results


@pytest.mark.usefixtures("cluster")
def test_results_are_those_of_one_process(in_process: Path, tmp_path: Path) -> None:
    told: list[Done] = []
    outcome = run_on_ray(tmp_path, on_done=told.append)
    assert (outcome.failed, outcome.waiting) == ((), ())
    assert {done.task.file for done in outcome.done} == {*contents(tmp_path)}
    assert contents(tmp_path) == contents(in_process)
    assert [done.task.file for done in told] == [done.task.file for done in outcome.done]
    for done in outcome.done:
        assert done.result is not None
        assert read_cell(tmp_path / done.task.file).to_json() == done.result.to_json()
    assert run_on_ray(tmp_path).done == (), "nothing is done twice"


# --- lost workers


def workers_of_ours() -> list[int]:
    """Processes that do a task of a study: Ray names a worker after what it does while it does it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::_do"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


class Killer(threading.Thread):
    """Kills workers that are in the middle of a task, one at a time, as a machine's loss would."""

    def __init__(self, most: int) -> None:
        super().__init__(daemon=True)
        self.most = most
        self.killed: list[int] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while len(self.killed) < self.most and not self.ended.wait(0.7):
            for pid in workers_of_ours()[:1]:
                os.kill(pid, signal.SIGSTOP)  # or it might be done before it is killed
                if pid in workers_of_ours():
                    self.killed.append(pid)
                os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("cluster")
def test_a_sweep_outlives_workers_that_are_killed(in_process: Path, tmp_path: Path) -> None:
    killer = Killer(most=3)
    killer.start()
    outcome = run_on_ray(tmp_path)
    killer.ended.set()
    killer.join()
    assert len(killer.killed) == 3, "each in the middle of a task"
    assert len(set(killer.killed)) == 3
    assert (outcome.failed, outcome.waiting) == ((), ())
    assert contents(tmp_path) == contents(in_process)


class Deadly:
    """Stands for a task's file; a worker that looks for it is killed, and leaves a file that says so."""

    def __init__(self, log: Path, lives: int) -> None:
        self.log = log
        self.lives = lives

    def __rtruediv__(self, folder: Path) -> Path:
        died = len(list(self.log.parent.glob(f"{self.log.name}*")))
        if died < self.lives:
            self.log.with_name(f"{self.log.name}{died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return folder / "train" / "survived.json"


class Broken:
    """Stands for a task's file; a worker that looks for it finds a mistake of ours."""

    def __rtruediv__(self, folder: Path) -> Path:
        raise AttributeError("no such\nthing")


@pytest.fixture
def by_value() -> Iterator[None]:
    """Let workers have this module's classes, which they cannot import."""
    from ray import cloudpickle

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def with_file(task: Task, file: Any) -> Task:
    return replace(task, file=file)


@pytest.mark.usefixtures("cluster", "by_value")
def test_a_task_that_kills_too_many_workers_fails_in_a_line_and_alone(tmp_path: Path) -> None:
    first, *others = [task for task in plan_study(STUDY, data_of).cells if not task.needs]
    deadly = with_file(first, Deadly(tmp_path / "died", lives=RETRIES + 1))
    done = list(on_ray(tmp_path)([deadly, *others]))
    assert len(list(tmp_path.glob("died*"))) == RETRIES + 1
    (failed,) = [one for one in done if one.error]
    assert failed.task is deadly
    assert failed.result is None
    assert failed.error == (
        "a worker must live until its task is done (it was lost 4 times, the last time with WorkerCrashedError)"
    )
    assert sorted(one.task.file for one in done if one is not failed) == sorted(task.file for task in others)


@pytest.mark.usefixtures("cluster", "by_value")
def test_a_task_is_started_again_so_often(tmp_path: Path) -> None:
    first = next(task for task in plan_study(STUDY, data_of).cells if not task.needs)
    (done,) = on_ray(tmp_path)([with_file(first, Deadly(tmp_path / "died", lives=RETRIES))])
    assert not done.error
    assert (tmp_path / "train" / "survived.json").exists()


@pytest.mark.usefixtures("cluster", "by_value")
def test_a_mistake_in_a_worker_is_told(tmp_path: Path) -> None:
    first, second, *_ = [task for task in plan_study(STUDY, data_of).cells if not task.needs]
    done = {bool(one.error): one for one in on_ray(tmp_path)([with_file(first, Broken()), second])}
    assert done[True].error == "a worker must be able to do its task (AttributeError: no such thing)"
    assert done[False].task.file == second.file


@pytest.mark.usefixtures("cluster")
def test_what_fails_in_a_worker_is_told_as_in_one_process(tmp_path: Path) -> None:
    wild = replace(STUDY, recipe=replace(STUDY.recipe, lr=9e5), arms=("ticket", "dense"), connect=())
    plan = plan_study(wild, data_of)
    doing = OnRay(study=wild, folder=tmp_path, settings={"device": "cpu"})
    outcome = run_study(wild, plan, tmp_path, doing)
    assert {done.task.file for done in outcome.failed} == {
        task.file for task in (*plan.finds, *plan.cells) if task.place.kind == "find" or task.place.arm == "dense"
    }
    assert all("finite" in done.error and "\n" not in done.error for done in outcome.failed)


@pytest.mark.usefixtures("cluster")
def test_whether_a_machine_has_room() -> None:
    assert has_room(1, 0)
    assert has_room(0.5, 0)
    assert not has_room(100_000, 0)
    assert not has_room(1, 1_000)


# --- through the real command

TOML = """
title = "On Ray"
sources = ["resnet14-w2"]
targets = ["resnet20-w2"]
sparsities = [0.8]
arms = ["ticket", "dense", "imp"]
seeds = 1
rate = 0.5
recipe = { base = "quick", epochs = 3, batch = 16, warmup = 0, rewind = "2it", crop = 1 }
"""


def ticketkit(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ticketkit", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def ray_processes() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes()
        except OSError:
            continue
        if b"raylet" in text or b"gcs_server" in text or text.startswith(b"ray::"):
            found.add(int(path.parent.name))
    return found


def test_the_command_starts_a_cluster_and_ends_it(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(TOML + 'data = { dataset = "digits", limit = 128 }\n')
    ticketkit("sweep", "study.toml", "--device", "cpu", "-o", "one", cwd=tmp_path)
    before = ray_processes()
    done = ticketkit("sweep", "study.toml", "--device", "cpu", "--ray", "local", "-o", "two", cwd=tmp_path)
    assert "Ray at local, 1 CPU for each cell" in done.stdout
    assert "cells    3 of 3 done, 5 tasks now" in done.stdout
    assert len(done.stderr.splitlines()) == 5, "a line each, and nothing of Ray's own"
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert ray_processes() <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_it_and_the_cluster(tmp_path: Path, number: int) -> None:
    text = TOML.replace("epochs = 3", "epochs = 3000") + 'data = { dataset = "digits", limit = 128 }\n'
    (tmp_path / "study.toml").write_text(text)
    before = ray_processes()
    command = [sys.executable, "-m", "ticketkit", "sweep", "study.toml", "--device", "cpu", "--ray", "local"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("study/runs/*/run.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT}
    assert err.splitlines()[-1] == "ticketkit: stopped; nothing half-written is left behind"
    deadline = time.monotonic() + 30
    while not ray_processes() <= before:
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_cluster_that_was_started_elsewhere_finds_what_is_here(elsewhere: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 4)):
        for kind in ("a", "b"):
            folder = here / "pictures" / part / kind
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 100 if kind == "a" else 256, (16, 16), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (here / "study.toml").write_text(TOML + 'data = { dataset = "folder", data_dir = "pictures" }\n')
    address = elsewhere
    deadline = time.monotonic() + 60
    while True:
        try:
            with connected(address):
                break
        except TicketkitError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    done = ticketkit("sweep", "study.toml", "--device", "cpu", "--ray", address, cwd=here)
    assert "3 of 3 done" in done.stdout
    cells = contents(here / "study")
    assert len(cells) == 5
    assert {cell["setting"]["environment"]["threads"] for cell in cells.values()} == {1}, "as many as its processors"
    ticketkit("sweep", "study.toml", "--device", "cpu", "--threads", 1, "-o", "one", cwd=here)
    assert contents(here / "one") == cells


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
