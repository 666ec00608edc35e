"""``--log-dir``: what is logged is what happened, each point once."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.cli.app import application
from ticketkit.cli.training_log import ACCURACY, TrainingLog, run_name
from ticketkit.errors import TicketkitError
from ticketkit.provenance import Weights
from ticketkit.ticket import Ticket
from ticketkit.train import Progress

TINY = ["--dataset", "digits", "--limit", "64", "--recipe", "quick"]
TINY += [part for field in ("epochs=2", "batch=32", "warmup=0", "rewind=1it") for part in ("--set", field)]

Points = list[tuple[int, float]]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [*map(str, arguments)], catch_exceptions=False)


def scalars(folder: Path) -> dict[str, Points]:
    """A run's scalars by tag, as TensorBoard shows them."""
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def runs(folder: Path) -> list[str]:
    return sorted({str(path.parent.relative_to(folder)) for path in folder.rglob("events.*")})


def told(step: int, *, loss: float = 1.0, steps: int = 2) -> Progress:
    return Progress(
        epoch=step // steps, epochs=9, step=step, loss=loss, steps=steps, seconds=0.5, learning_rate=0.1 / step
    )


# --- find


def find(folder: Path, levels: int, *more: object) -> Result:
    where = ["--run-dir", folder / "run", "--log-dir", folder / "logs", "-o", folder / "a.st"]
    return run("find", "--arch", "resnet8-w2", *TINY, "--levels", levels, *where, *more)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("find")
    assert find(folder, 1).exit_code == 0
    shutil.copy(folder / "a.st", folder / "first.st")
    return folder


def test_a_search_logs_each_level_and_all_side_by_side(found: Path) -> None:
    logs = found / "logs"
    assert runs(logs)[:2] == ["level-00", "level-01"]
    results = load_ticket(found / "a.st").results
    assert results is not None
    for level in results.levels[:2]:
        own = scalars(logs / f"level-{level.level:02d}")
        assert [step for step, _ in own["train/loss"]] == [2, 4]
        assert own["train/learning_rate"][-1][1] < own["train/learning_rate"][0][1]
        assert all(rate > 0 for _, rate in own["train/steps_per_second"])
        assert own[ACCURACY] == [(4, pytest.approx(level.accuracy))]
    beside = scalars(logs / "levels")
    assert beside["level/sparsity"][:2] == [(0, 0), (1, pytest.approx(0.2))]
    assert [step for step, _ in beside["level/accuracy_by_sparsity"]][:2] == [0, 2000]
    assert beside["density/all"][1] == (1, pytest.approx(0.8))
    assert {"density/stem", "density/stage-0", "density/stage-2", "density/head"} < set(beside)


def test_a_resumed_search_logs_what_it_finds_and_no_point_twice(found: Path) -> None:
    before = scalars(found / "logs" / "level-01")
    assert find(found, 2, "--resume", "--force").exit_code == 0
    assert scalars(found / "logs" / "level-01") == before
    assert [step for step, _ in scalars(found / "logs" / "levels")["level/accuracy"]] == [0, 1, 2]
    # Somebody asks for a log only when the levels are done.
    assert find(found, 2, "--resume", "--force", "--log-dir", found / "late").exit_code == 0
    assert scalars(found / "late" / "level-02") == {ACCURACY: scalars(found / "logs" / "level-02")[ACCURACY]}
    assert scalars(found / "late" / "levels") == scalars(found / "logs" / "levels")


def test_a_log_changes_no_ticket(found: Path) -> None:
    bare = found / "bare.st"
    assert run("find", "--arch", "resnet8-w2", *TINY, "--levels", 1, "-o", bare).exit_code == 0
    assert bare.read_bytes() == (found / "first.st").read_bytes()


# --- verify, connect, sweep


@pytest.fixture
def ticket(make_ticket: Callable[..., Ticket], tmp_path: Path) -> Path:
    made = make_ticket("resnet8-w2", in_channels=1, weights=Weights(role="rewind", step=1))
    save_ticket(made, tmp_path / "a.st")
    return tmp_path / "a.st"


def test_a_verification_logs_a_run_for_each_arm_and_seed(ticket: Path, tmp_path: Path) -> None:
    where = ["--runs", tmp_path / "runs", "--log-dir", tmp_path / "logs", "--seeds", 2, "--against", "random,imp"]
    done = run("verify", ticket, *TINY, *where, "--json", "--parallel", 2)
    assert done.exit_code == 0
    arms = {arm["name"]: arm for arm in json.loads(done.stdout)["arms"]}
    for name in ("ticket", "random", "imp"):
        for each in arms[name]["runs"]:
            own = scalars(tmp_path / "logs" / name / f"seed-{each['seed']}")
            assert own[ACCURACY] == [(4, pytest.approx(each["accuracy"]))]
            assert own["train/loss"][-1] == (4, pytest.approx(each["loss"]))
    assert {"imp-level-0/seed-0", "imp-level-0/seed-1"} < set(runs(tmp_path / "logs"))
    before = {name: scalars(tmp_path / "logs" / name) for name in runs(tmp_path / "logs")}
    assert run("verify", ticket, *TINY, *where, "--resume").exit_code == 0
    assert {name: scalars(tmp_path / "logs" / name) for name in runs(tmp_path / "logs")} == before


def test_a_connection_logs_both_ends_and_the_line(ticket: Path, tmp_path: Path) -> None:
    done = run("connect", ticket, *TINY, "--points", 3, "--log-dir", tmp_path / "logs", "--json")
    (curve,) = json.loads(done.stdout)["connections"][0]["curves"]
    assert runs(tmp_path / "logs") == ["a/seed-0/end-1", "a/seed-0/end-2", "a/seed-0/line"]
    for end in (0, 1):
        own = scalars(tmp_path / "logs" / "a" / "seed-0" / f"end-{end + 1}")
        assert own[ACCURACY] == [(4, pytest.approx(curve["ends"][end]))]
    line = scalars(tmp_path / "logs" / "a" / "seed-0" / "line")["line/accuracy"]
    assert line == [(number, pytest.approx(point["accuracy"])) for number, point in enumerate(curve["points"])]


def test_a_study_logs_a_run_for_each_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.toml").write_text(
        'title = "t"\nsources = ["resnet14-w2"]\ntargets = ["resnet20-w2"]\nsparsities = [0.5]\n'
        'arms = ["ticket"]\nconnect = ["ticket"]\nseeds = 1\nrate = 0.6\npoints = 3\n'
        'data = { dataset = "digits", limit = 64 }\n'
        'recipe = { base = "quick", epochs = 2, batch = 32, warmup = 0, rewind = "1it" }\n',
        encoding="utf-8",
    )
    arguments = ("sweep", tmp_path / "tiny.toml", "-o", tmp_path / "out", "--log-dir", tmp_path / "logs")
    assert run(*arguments, "--dry-run").exit_code == 0
    assert not (tmp_path / "logs").exists()
    left_open: list[str] = []
    monkeypatch.setattr(TrainingLog, "__exit__", lambda log, *_: left_open.extend(log._runs))
    assert run(*arguments).exit_code == 0
    assert not left_open, "each has a file and a thread"
    names = {name.split("/")[0] + "/" + name.split("/")[-1] for name in runs(tmp_path / "logs")}
    assert {"find/levels", "find/imp-level-0", "train/ticket", "connect/ticket-end-1", "connect/line"} <= names
    for cell in (tmp_path / "out" / "train").glob("*.json"):
        own = scalars(tmp_path / "logs" / "train" / cell.stem / "ticket")
        accuracy = json.loads(cell.read_text(encoding="utf-8"))["run"]["accuracy"]
        assert own[ACCURACY] == [(4, pytest.approx(accuracy))]
    before = {name: scalars(tmp_path / "logs" / name) for name in runs(tmp_path / "logs")}
    assert run(*arguments).exit_code == 0
    assert {name: scalars(tmp_path / "logs" / name) for name in runs(tmp_path / "logs")} == before
    # Somebody asks for a log only when cells are done: their ends are there, their epochs are gone.
    assert run(*arguments[:-1], tmp_path / "late").exit_code == 0
    late = {name: scalars(tmp_path / "late" / name) for name in runs(tmp_path / "late")}
    assert late
    assert all(before[name][tag] == points for name, own in late.items() for tag, points in own.items())


# --- the log itself


def test_a_killed_training_that_goes_on_takes_the_place_of_what_it_repeats(tmp_path: Path) -> None:
    for steps, loss in (((2, 4, 6), 1.0), ((4, 6, 8), 2.0)):
        with TrainingLog(tmp_path) as log:
            for step in steps:
                log.epoch("a", told(step, loss=loss))
    assert scalars(tmp_path / "a")["train/loss"] == [(2, 1.0), (4, 2.0), (6, 2.0), (8, 2.0)]


def test_another_training_of_the_same_name_takes_its_place(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        for step, loss in ((2, 1.0), (4, 1.0), (2, 3.0)):
            log.epoch("a", told(step, loss=loss))
        log.end("a", 2, {ACCURACY: 0.5, "test/top5": None})
    assert scalars(tmp_path / "a")["train/loss"] == [(2, 3.0)]
    assert scalars(tmp_path / "a")[ACCURACY] == [(2, 0.5)]
    assert "test/top5" not in scalars(tmp_path / "a")


def test_without_a_folder_nothing_is_imported_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.chdir(tmp_path)
    with TrainingLog(None) as log:
        log.epoch("a", told(2))
        log.end("a", 2, {ACCURACY: 0.5})
        log.levels("levels", {0: (0.0, 0.5)})
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said_before_anything_is_trained(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TicketkitError, match=r"a folder of logs must be writable .*file"):
        TrainingLog(tmp_path / "file" / "logs")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr("ticketkit.cli.commands.verify.load_setting", lambda **_: pytest.fail("data were loaded"))
    with pytest.raises(TicketkitError, match=r"pip install 'ticketkit\[tensorboard\]'"):
        run("verify", ticket, "--log-dir", tmp_path / "logs")


def test_a_disk_that_fills_up_ends_the_log_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with TrainingLog(tmp_path) as log:
        log.epoch("a", told(2))
        monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", full)
        with pytest.warns(RuntimeWarning, match=r"logged no more \(No space left on device\)"):
            log.epoch("a", told(4))
        log.epoch("a", told(6))
        log.end("a", 6, {ACCURACY: 0.5})


def test_the_thread_that_finds_the_disk_full_says_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = threading.excepthook
    monkeypatch.setattr("tensorboard.compat.tensorflow_stub.io.gfile.LocalFileSystem.append", full)
    monkeypatch.setattr("tensorboard.compat.tensorflow_stub.io.gfile.LocalFileSystem.write", full)
    with (
        pytest.warns(RuntimeWarning, match=r"logged no more \(No space left on device\)"),
        TrainingLog(tmp_path) as log,
    ):
        log.epoch("a", told(2))
    assert threading.excepthook is before


def test_a_name_is_fit_for_folders() -> None:
    assert run_name("to the rewind step", "seed-0") == "to-the-rewind-step/seed-0"
    assert run_name("../../a b.st", "..") == "a-b.st/unnamed"
