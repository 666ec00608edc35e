"""Studies on a real Ray cluster on this machine: the results of one process, whatever happens to its workers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ticketkit.recipe import load_recipe
from ticketkit.report.cells import read_cell
from ticketkit.sweep import Study
from ticketkit.sweep.laboratory import Laboratory, data_of
from ticketkit.sweep.on_ray import LOCAL, RETRIES, OnRay, connected, has_room
from ticketkit.sweep.plan import Task, plan_study
from ticketkit.sweep.run import Done, InProcess, Outcome, run_study
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source

pytestmark = pytest.mark.ray

Contents = Callable[[Path], dict[str, Any]]
Killing = Callable[..., AbstractContextManager[list[int]]]

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
def test_results_are_those_of_one_process(in_process: Path, tmp_path: Path, contents: Contents) -> None:
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


@pytest.mark.usefixtures("cluster")
def test_a_sweep_outlives_workers_that_are_killed(
    in_process: Path, tmp_path: Path, contents: Contents, killing: Killing
) -> None:
    with killing(os.getpid(), most=3) as killed:
        outcome = run_on_ray(tmp_path)
    assert len(set(killed)) == 3, "each in the middle of a task"
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
