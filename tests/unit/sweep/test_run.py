"""Running a study: done stays done, killed goes on, failed stops nothing else, shards make it whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ticketkit.atomic import write_text
from ticketkit.bundle import load_ticket
from ticketkit.errors import RunError, StudyError
from ticketkit.lock import BusyError
from ticketkit.report.cells import CellResult, read_cell, read_study
from ticketkit.seeds import derive_seed
from ticketkit.sweep import Study
from ticketkit.sweep.elastic import elastic_ticket
from ticketkit.sweep.laboratory import Laboratory, data_of
from ticketkit.sweep.plan import Plan, Task, plan_study
from ticketkit.sweep.run import Done, InProcess, Outcome, Shard, do, in_one_line, pending, run_study
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source
from ticketkit.train import Batches, Progress, train
from ticketkit.verify import verify_ticket

MakeStudy = Callable[..., Study]


def sweep(study: Study, folder: Path, shard: Shard | None = None, **watch: Any) -> Outcome:
    plan = plan_study(study, data_of)
    doing = InProcess(laboratory=Laboratory(study, folder, device="cpu"), **watch)
    return run_study(study, plan, folder, doing, shard=shard, command="the command")


def contents(folder: Path) -> dict[str, Any]:
    """What a study's folder holds, but for what the clock and the memory say, which no two runs share."""
    clocks = {"seconds", "images_per_second", "peak_memory"}

    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: still(member) for name, member in value.items() if name not in clocks}
        return [still(member) for member in value] if isinstance(value, list) else value

    paths = [path for kind in ("find", "train", "connect") for path in (folder / kind).glob("*.json")]
    return {str(path.relative_to(folder)): still(json.loads(path.read_text())) for path in paths}


def tickets(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("runs/*/*.st")}


@pytest.fixture(scope="module")
def study(make_study: MakeStudy, on_stripes: DataChoice) -> Study:
    """Two sources, one target, one sparsity, one seed: three IMP runs and six cells."""
    return make_study(
        data=on_stripes, sparsities=(0.8,), seeds=(0,), arms=("ticket", "dense", "imp"), connect=("ticket",)
    )


@pytest.fixture
def small(study: Study) -> Study:
    """A part of it: two IMP runs and three cells."""
    return replace(study, sources=(Source(arch="resnet14-w2"),), connect=())


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A study that ran in one go, for others to be compared with."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, sweep(study, folder)


# --- in one go


def test_several_tasks_at_once_give_the_same_files(
    study: Study, finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    outcome = sweep(study, tmp_path, parallel=3)
    assert {done.task for done in outcome.done} == {done.task for done in finished[1].done}
    assert contents(tmp_path) == contents(finished[0])
    assert tickets(tmp_path) == tickets(finished[0])


def test_every_cell_is_a_file_and_every_file_a_cell(study: Study, finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    plan = plan_study(study, data_of)
    assert {*contents(folder)} == {task.file for task in (*plan.finds, *plan.cells)}
    assert [done.task for done in outcome.done] == [*plan.finds, *plan.cells]
    assert (outcome.failed, outcome.waiting) == ((), ())
    assert {path.name for path in folder.rglob(".*")} == {".lock-1-of-1", ".lock"}
    for done in outcome.done:
        kept = read_cell(folder / done.task.file)
        assert done.result is not None
        assert kept.to_json() == done.result.to_json()
        assert kept.place == done.task.place
        assert kept.seconds > 0
    assert read_study(folder).missing == 0


def test_cells_hold_what_their_kind_gives(study: Study, finished: tuple[Path, Outcome]) -> None:
    for done in finished[1].done:
        result, target = done.result, done.task.target
        assert result is not None
        assert (result.run is None) == (result.place.kind != "train")
        assert (result.curve is None) == (result.place.kind != "connect")
        assert (not result.levels) == (result.place.kind != "find")
        assert result.total == target.total
        if result.place.kind == "find":
            assert [level.level for level in result.levels] == [*range(len(result.levels))]
            continue
        assert result.kept == (target.total if result.place.arm == "dense" else target.kept)
        assert result.start_step == 1
        assert (result.ticket is None) == (result.place.source is None)
        if result.ticket is not None:
            assert result.ticket.origin.order == result.place.policy == "append"
            assert sum(layer.kept for layer in result.ticket.layers) == target.kept
            assert sum(layer.kept for layer in result.ticket.origin.layers) > 0
            assert result.ticket.find_flops is not None
        if result.curve is not None:
            assert len(result.curve.points) == study.points
            assert result.curve.seed == result.place.seed


def test_all_arms_of_a_ticket_have_that_ticket(finished: tuple[Path, Outcome]) -> None:
    ids: dict[tuple[object, ...], set[str]] = {}
    for done in finished[1].done:
        if done.result is not None and done.result.ticket is not None:
            place = done.result.place
            ids.setdefault((place.source, place.sparsity, place.seed), set()).add(done.result.ticket.id)
    assert len(ids) == 2
    assert all(len(found) == 1 for found in ids.values())
    assert len(set.union(*ids.values())) == len(ids)


def test_nothing_is_done_twice(study: Study, finished: tuple[Path, Outcome]) -> None:
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*") if path.is_file()}
    assert sweep(study, folder).done == ()
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*") if path.is_file()}
    assert after.keys() == before.keys()
    assert [path.name for path in after if after[path] != before[path]] == ["study.json"]


# --- the numbers are verify's


def test_a_cell_is_what_verify_gives_with_the_same_seed(
    study: Study, finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    folder, _ = finished
    plan = plan_study(study, data_of)
    for task in plan.cells:
        if task.place.kind != "train" or task.place.arm != "ticket" or task.place.sparsity != 0.8:
            continue
        seed = task.place.seed
        laboratory = Laboratory(study, folder, device="cpu")
        assert task.source is not None
        assert task.policy is not None
        bench = laboratory._source_bench(task.source, seed, None)
        ticket = elastic_ticket(bench, task.target.arch, task.policy, task.target.kept, seed=seed).ticket
        report = verify_ticket(
            ticket,
            data_of(study.data),
            study.recipe,
            arms=("dense", "imp"),
            seeds=(seed,),
            rate=study.rate,
            device=laboratory.compute,
        )
        cells = {
            other.place.arm: read_cell(folder / other.file)
            for other in plan.cells
            if other.place.kind == "train"
            and other.place.seed == seed
            and other.place.sparsity in (None, 0.8)
            and other.place.source in (None, task.place.source)
        }
        assert cells["ticket"].ticket is not None
        assert cells["ticket"].ticket.id == ticket.id == report.ticket_id
        assert cells["ticket"].ticket.layers == report.layers
        assert cells["ticket"].start_step == report.start_step
        assert cells["ticket"].setting == json.loads(json.dumps(report.setting))
        for arm in report.arms:
            cell, run = cells[arm.name], arm.runs[0]
            assert cell.run is not None
            assert (cell.run.accuracy, cell.run.untrained, cell.run.loss) == (run.accuracy, run.untrained, run.loss)
            assert (cell.kept, cell.total, cell.summary) == (arm.kept, arm.total, arm.summary)
            assert cell.run.cost is not None
            assert run.cost is not None
            assert cell.run.cost.flops == run.cost.flops
            assert cell.run.cost.setup_flops == run.cost.setup_flops


def test_a_start_at_0_gives_every_arm_the_whole_schedule(small: Study, tmp_path: Path) -> None:
    study = replace(small, start="0", arms=("ticket",))
    outcome = sweep(study, tmp_path)
    (result,) = [done.result for done in outcome.done if done.task.place.kind == "train"]
    (task,) = plan_study(study, data_of).cells
    assert result is not None
    assert result.run is not None
    assert result.start_step == 0
    laboratory = Laboratory(study, tmp_path, device="cpu")
    bench = laboratory._source_bench(study.sources[0], 0, None)
    ticket = elastic_ticket(bench, task.target.arch, study.policies[0], task.target.kept, seed=0).ticket
    assert ticket.weights.step == 1
    trained = train(
        ticket.arch,
        ticket.tensors,
        ticket.mask,
        Batches(data_of(study.data), study.recipe),
        seed=derive_seed(0, "verify"),
        compute=laboratory.compute,
    )
    assert (result.run.accuracy, result.run.loss) == (trained.accuracy, trained.loss)


def test_a_ticket_found_on_other_data_and_with_another_recipe(small: Study, tmp_path: Path) -> None:
    other = replace(small.data, limit=48)
    slow = replace(small.recipe, name="slow", lr=0.01, epochs=3, batch=16)
    study = replace(small, sources=(Source(arch="resnet20-w2", data=other, recipe=slow),), arms=("ticket",))
    outcome = sweep(study, tmp_path)
    assert not outcome.failed
    (found,) = tmp_path.glob("runs/imp-*/rewind.st")
    provenance = load_ticket(found).provenance
    assert provenance.dataset is not None
    assert provenance.dataset.train == 48
    assert provenance.recipe == json.loads(json.dumps(slow.to_dict()))
    (cell,) = [done.result for done in outcome.done if done.task.place.kind == "train"]
    assert cell is not None
    assert cell.setting["dataset"]["train"] == 64
    assert cell.setting["recipe"] == study.recipe.to_dict()
    (report,) = read_study(tmp_path).reports
    assert report.origin is not None
    assert report.origin.architecture == "resnet20-w2 on stripes[:48] with slow"


# --- killed


class Killed(Exception):  # noqa: N818 - not an error of ours
    pass


@pytest.mark.parametrize("epoch", [1, 12, 27])
def test_a_killed_sweep_goes_on_to_the_same_files(
    study: Study, finished: tuple[Path, Outcome], tmp_path: Path, epoch: int
) -> None:
    seen = 0

    def kill(_task: Task, _label: str, _progress: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == epoch:
            raise Killed

    with pytest.raises(Killed):
        sweep(study, tmp_path, on_epoch=kill)
    half = contents(tmp_path)
    assert len(half) < len(contents(finished[0]))
    assert not list(tmp_path.rglob("*.tmp")), "nothing half-written is left"
    assert read_study(tmp_path).missing > 0, "and what is there can be read"
    stamps = {name: (tmp_path / name).stat().st_mtime_ns for name in half}
    outcome = sweep(study, tmp_path)
    assert contents(tmp_path) == contents(finished[0])
    assert tickets(tmp_path) == tickets(finished[0])
    assert len(outcome.done) == len(contents(tmp_path)) - len(half)
    assert all((tmp_path / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (Shard(), Shard(), "a study must be run once at a time"),
        (Shard(number=1, count=2), Shard(number=1, count=2), "shard 1/2 of a study must be run once at a time"),
        (Shard(number=2, count=2), Shard(), "a study must not be run beside its shard 2/2"),
        (Shard(), Shard(number=2, count=2), "shard 2/2 of a study must not be run beside the whole of it"),
        (
            Shard(number=1, count=2),
            Shard(number=3, count=4),
            "shard 3/4 of a study must not be run beside its shard 1/2",
        ),
    ],
)
def test_of_two_that_overlap_the_second_leaves_before_it_has_changed_anything(
    small: Study, tmp_path: Path, first: Shard, second: Shard, message: str
) -> None:
    with first.alone(tmp_path):
        before = {path.name for path in tmp_path.iterdir()}
        with pytest.raises(BusyError, match=rf"^{message} \(process \d+ on .* has it since .*\): {tmp_path}$"):
            sweep(small, tmp_path, second)
        assert {path.name for path in tmp_path.iterdir()} - before <= {f".lock-{second.number}-of-{second.count}"}
    assert not sweep(small, tmp_path, second).failed, "and when the first is done, nothing is in the way"


def test_shards_of_one_count_are_done_beside_each_other(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for number in range(1, 5):
            stack.enter_context(Shard(number=number, count=4).alone(tmp_path))
    with Shard().alone(tmp_path):  # locks that were left mean nothing
        pass


@pytest.mark.parametrize(("shard", "left"), [(None, 1), (Shard(number=1, count=2), 2)])
def test_what_killed_processes_left_half_written_goes(
    small: Study, tmp_path: Path, shard: Shard | None, left: int
) -> None:
    (tmp_path / "train").mkdir()
    names = (".a.json.0123abcd.tmp", ".b.json.0123abcd.tmp", ".mine.tmp")
    for name in names:
        (tmp_path / "train" / name).touch()
    os.utime(tmp_path / "train" / names[1], (0, 0))

    def nothing(_tasks: object) -> tuple[Done, ...]:
        return ()

    run_study(small, plan_study(small, data_of), tmp_path, nothing, shard=shard)
    assert len([*(tmp_path / "train").iterdir()]) == left, "beside another shard, old ones alone"
    assert (tmp_path / "train" / ".mine.tmp").exists()


def test_a_study_that_grew_trains_what_is_new_alone(
    study: Study, finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    small = replace(study, sparsities=(0.5,), sources=study.sources[:1], arms=("ticket", "imp"), connect=())
    sweep(small, tmp_path)
    before = contents(tmp_path)
    trained: list[str] = []
    outcome = sweep(study, tmp_path, on_epoch=lambda _task, label, told: trained.append(f"{label} {told.epoch}"))
    after = contents(tmp_path)
    assert before.items() <= after.items(), "what was done is as it was"
    cells = {name: value for name, value in contents(finished[0]).items() if not name.startswith("find")}
    assert cells.items() <= after.items()
    assert tickets(tmp_path) == tickets(finished[0])
    assert {done.task.file for done in outcome.done} == after.keys() - before.keys()
    assert trained.count("imp level 0 1") == 1, "of the source that came; the levels of the others were there"


# --- failing


@pytest.fixture
def breaking(study: Study) -> Study:
    """A study one of whose sources diverges."""
    wild = replace(study.recipe, name="wild", lr=9e5)
    return replace(study, sources=(Source(arch="resnet14-w2", recipe=wild), study.sources[1]), connect=())


def test_what_fails_stops_nothing_else(breaking: Study, tmp_path: Path) -> None:
    told: list[Done] = []
    outcome = sweep(breaking, tmp_path, on_done=told.append)
    (failed,) = outcome.failed
    assert failed.task.place.kind == "find"
    assert failed.result is None
    assert "must be finite" in failed.error or "must stay finite" in failed.error
    assert "\n" not in failed.error
    assert {task.place.source for task in outcome.waiting} == {"resnet14-w2 with wild"}
    assert {done.task.place.source for done in outcome.done} == {None, "resnet32-w2"}
    assert told == [done for done in told if done in (*outcome.done, *outcome.failed)]
    assert len(told) == len(outcome.done) + 1
    assert not (tmp_path / failed.task.file).exists()
    results = read_study(tmp_path)
    assert results.missing == len(outcome.waiting) == 1
    assert [report.origin.architecture for report in results.reports if report.origin] == ["resnet32-w2"]


def test_what_failed_is_tried_again(breaking: Study, tmp_path: Path) -> None:
    first = sweep(breaking, tmp_path)
    again = sweep(breaking, tmp_path)
    assert [done.task.file for done in again.failed] == [done.task.file for done in first.failed]
    assert again.done == ()
    assert again.waiting == first.waiting


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RunError("one\nline"), "one line"),
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "RuntimeError: CUDA out of memory. Tried to allocate"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_memory_and_disks_that_are_full_are_told_and_not_raised(
    small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    task = plan_study(small, data_of).cells[0]

    def fail(*_: object) -> CellResult:
        raise error

    monkeypatch.setattr(Laboratory, "_train", fail)
    done = do(Laboratory(small, tmp_path), task)
    assert done.result is None
    assert told in done.error
    assert "\n" not in done.error


def test_a_mistake_of_ours_is_raised(small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> CellResult:
        raise AttributeError

    monkeypatch.setattr(Laboratory, "_train", fail)
    with pytest.raises(AttributeError):
        do(Laboratory(small, tmp_path), plan_study(small, data_of).cells[0])


def test_an_error_is_one_line_of_bounded_length() -> None:
    assert in_one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert in_one_line(MemoryError()) == "MemoryError"
    assert len(in_one_line(ValueError("x" * 1000))) == 200


def test_a_ticket_that_cannot_be_made_holds_up_no_other(small: Study, tmp_path: Path) -> None:
    """The new output layer of ten classes keeps 80 weights: too many for one sparsity, few enough for the other."""
    study = replace(
        small,
        data=DataChoice(dataset="digits", limit=64),
        sources=(Source(arch="resnet14-w2", data=small.data),),
        sparsities=(0.5, 0.99),
        arms=("ticket",),
    )
    outcome = sweep(study, tmp_path)
    assert [done.task.place.sparsity for done in outcome.done] == [None, 0.5]
    (failed,) = outcome.failed
    assert failed.task.place.sparsity == 0.99
    assert "(the layers that are made anew have 80 of them)" in failed.error


def test_a_network_of_its_own_is_connected_as_any_other(small: Study, tmp_path: Path) -> None:
    study = replace(small, arms=(), connect=("small-dense",))
    outcome = sweep(study, tmp_path)
    (result,) = [done.result for done in outcome.done]
    assert result is not None
    assert result.curve is not None
    assert not outcome.failed


# --- damaged and in the way


def test_a_damaged_cell_is_named(study: Study, finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    path = sorted((folder / "train").glob("*.json"))[0]
    whole = path.read_text()
    for text in (whole[:100], "", "[]", whole.replace("ticketkit-cell", "other"), whole.replace('"1.0"', '"2.0"')):
        path.write_text(text)
        with pytest.raises(StudyError) as caught:
            read_study(folder)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.unlink()
    assert [done.task.file for done in sweep(study, folder).done] == [str(path.relative_to(folder))]
    assert contents(folder) == contents(finished[0])


@pytest.mark.parametrize("place", ["", "train", "runs"])
def test_a_folder_that_cannot_be_written_is_named(small: Study, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "study"
    blocked = folder / place
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file, where a folder should be")
    if not place:
        with pytest.raises(StudyError, match=r"a study's folder must be writable \(File exists\): .*study"):
            sweep(small, folder)
        return
    outcome = sweep(small, folder)
    assert outcome.failed
    for done in outcome.failed:
        assert str(blocked) in done.error
        assert "\n" not in done.error


def test_a_file_appears_whole_or_not_at_all(small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = plan_study(small, data_of).cells[0]

    def full(path: Path, text: str, *, overwrite: bool = False) -> None:
        write_text(path.with_name("half"), text[:10], overwrite=overwrite)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ticketkit.sweep.laboratory.write_text", full)
    done = do(Laboratory(small, tmp_path, device="cpu"), task)
    assert "a study's folder must be writable (No space left on device)" in done.error
    assert pending([task], tmp_path) == (task,)


# --- shards


def test_shards_in_turn_make_it_whole(study: Study, finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    shards = [Shard(number=number, count=2) for number in (1, 2)]
    first = [sweep(study, tmp_path, shard) for shard in shards]
    assert not any(outcome.failed for outcome in first)
    assert any(outcome.waiting for outcome in first), "its runs were another's, which came later"
    second = [sweep(study, tmp_path, shard) for shard in shards]
    assert not any(outcome.failed or outcome.waiting for outcome in second)
    assert contents(tmp_path) == contents(finished[0])
    done = [done.task.file for outcome in (*first, *second) for done in outcome.done]
    assert len(done) == len(set(done)), "no cell was done by two"
    waited = {task.file for outcome in first for task in outcome.waiting}
    assert waited == {done.task.file for outcome in second for done in outcome.done}


def test_cells_start_once_their_runs_are_done(study: Study, tmp_path: Path) -> None:
    """An engine may do tasks in any order; what is given to it at once must be independent."""
    plan = plan_study(study, data_of)
    given: list[list[str]] = []

    def doing(tasks: Any) -> Iterator[Done]:
        given.append([task.file for task in tasks])
        for task in reversed(tasks):
            if task.place.seed == 0:
                write_text(tmp_path / "find" / "made", "", overwrite=True) if (tmp_path / "find").exists() else None
                (tmp_path / task.file).parent.mkdir(parents=True, exist_ok=True)
                write_text(tmp_path / task.file, "{}")
                yield Done(task=task)
            else:
                yield Done(task=task, error="no")

    outcome = run_study(study, plan, tmp_path, doing)
    assert given[0] == [task.file for task in plan.finds]
    ready = {task.file for task in plan.cells if task.place.seed == 0 or not task.needs}
    assert {*given[1]} == ready
    assert {task.file for task in outcome.waiting} == {task.file for task in plan.cells} - ready


# --- threads and settings


@pytest.mark.parametrize(
    ("settings", "size", "threads"),
    [
        ({"most_threads": 1}, 32, 1),
        ({"most_threads": 10_000}, 8, 1),
        ({"most_threads": 1, "threads": 3}, 32, 3),
        ({"threads": 2}, 8, 2),
    ],
)
def test_a_part_of_a_machine_takes_a_part_of_its_threads(
    small: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, int],
    size: int,
    threads: int,
) -> None:
    class Sized:
        shape = (3, size, size)

    monkeypatch.setattr("ticketkit.sweep.laboratory.data_of", lambda _: Sized())
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    assert Laboratory(small, tmp_path, device="cpu", **settings).compute.threads == threads


def test_the_study_s_list_says_what_it_is(study: Study, finished: tuple[Path, Outcome]) -> None:
    index = json.loads((finished[0] / "study.json").read_text())
    assert index["format"] == {"name": "ticketkit-study", "version": "1.0"}
    plan: Plan = plan_study(study, data_of)
    assert [entry["file"] for entry in index["cells"]] == [task.file for task in plan.cells]
    assert (index["title"], index["command"], index["reference"]) == ("Tiny", "the command", "imp")


def test_policies_give_cells_of_their_own(small: Study, tmp_path: Path) -> None:
    append = PolicyChoice(name="append")
    policies = (
        append,
        replace(append, name="permuted", random_copies=True),
        replace(append, name="scaled", rescale=True),
    )
    study = replace(small, policies=policies, arms=("ticket",))
    outcome = sweep(study, tmp_path)
    assert not outcome.failed
    assert len([done for done in outcome.done if done.task.place.kind == "find"]) == 1
    ids = {}
    for report in read_study(tmp_path).reports:
        assert report.origin is not None
        assert sum(layer.kept for layer in report.layers) == plan_study(study, data_of).cells[0].target.kept
        ids[report.origin.order] = report.ticket_id
    assert list(ids) == ["append", "permuted", "scaled"]
    assert len({*ids.values()}) == 3
