from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import campaign
import pytest
import run
from campaign import HangError, Session, at_most
from contracts import BrokenContractError, Outcome
from tally import Failure, Tally


@pytest.mark.parametrize(("target", "jobs"), [("bundle", 2), ("mapping", 1)])
def test_a_run_that_finds_nothing_says_what_it_tried(
    target: str, jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--inputs", "1200", "--seed", "1", "--target", target, "--jobs", str(jobs), "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["inputs"] == sum(summary["stages"].values()) == 1200
    assert (summary["target"], summary["seed"], summary["jobs"]) == (target, 1, jobs)
    assert summary["failures"] == []
    assert summary["stages"]["accepted"] > 50
    assert 0 < summary["slowest_s"] < 1
    assert summary["memory_bytes"] > 2**20
    table = capsys.readouterr().out
    assert "inputs               1,200 in" in table
    assert "failures             0" in table


def test_what_comes_of_a_run_does_not_depend_on_the_number_of_jobs(tmp_path: Path) -> None:
    found = []
    for jobs in ("1", "2"):
        arguments = ["--inputs", "2500", "--target", "mapping", "--jobs", jobs, "--out", str(tmp_path / jobs)]
        assert run.main(arguments) == 0
        found.append(json.loads((tmp_path / jobs / "summary.json").read_text())["stages"])
    assert found[0] == found[1]


def test_a_failure_is_counted_saved_and_makes_the_run_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_on_b(data: bytes, folder: Path, *, thorough: bool) -> Outcome:
        if data == b"b":
            raise BrokenContractError("it must not be b")
        return Outcome("length", 0.25, "a line")

    monkeypatch.setattr(campaign, "check_bundle", break_on_b)
    session = Session(target="bundle", folder=tmp_path / "in", out=tmp_path / "out")
    assert session.feed(b"a", "first", thorough=False) is not None
    assert session.feed(b"b", "second", thorough=False) is None
    (failure,) = session.tally.failures
    assert (failure.line, failure.origin) == ("it must not be b", "second")
    assert (tmp_path / "out" / failure.file).read_bytes() == b"b"
    assert (session.tally.inputs, session.tally.slowest, session.tally.slowest_s) == (2, "first", 0.25)
    monkeypatch.setattr(run, "_mutations", lambda options, folder: session.tally)
    assert run.main(["--out", str(tmp_path / "out")]) == 1
    assert f"FAILURE {failure.file} (second): it must not be b" in capsys.readouterr().out


def test_an_input_that_takes_much_memory_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([2**20, 2**21, 2**30])
    monkeypatch.setattr(campaign, "peak_memory", lambda: next(peaks))
    monkeypatch.setattr(campaign, "check_bundle", lambda data, folder, *, thorough: Outcome("length", 0.0, "a line"))
    session = Session(target="bundle", folder=tmp_path, out=tmp_path)
    session.feed(b"small", "first", thorough=False)
    session.feed(b"large", "second", thorough=False)
    assert [failure.origin for failure in session.tally.failures] == ["second"]
    assert session.tally.failures[0].line == "it took 1,022 MiB, with a file of 5 bytes"
    assert (session.tally.growth_bytes, session.tally.hungriest) == (2**30 - 2**21, "second")
    assert session.tally.inputs == 2


def test_what_hangs_is_stopped() -> None:
    with pytest.raises(HangError, match="took more than"), at_most(0.05):
        time.sleep(5)
    with at_most(0.05):
        pass
    time.sleep(0.1)


def test_an_input_that_ended_its_process_is_saved(tmp_path: Path) -> None:
    (tmp_path / "in" / "7").mkdir(parents=True)
    (tmp_path / "in" / "7" / "input.st").write_bytes(b"deadly")
    (failure,) = run.saved_inputs(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / failure.file).read_bytes() == b"deadly"


@pytest.mark.parametrize(("status", "failures"), [(0, 0), (77, 1)])
def test_guided_processes_follow_each_other_and_their_tallies_add_up(
    status: int, failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def start(options: object, folder: Path, kept: Path, number: int, inputs: int) -> subprocess.Popen[bytes]:
        asked.append((number, inputs))
        folder.mkdir()
        Tally(Counter(length=inputs)).write(folder / "tally.json")
        return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status if number == 1 else 0})"])

    monkeypatch.setattr(run, "_start", start)
    monkeypatch.setattr(run, "_A_PROCESS", 50)
    assert run.main(["--engine", "atheris", "--inputs", "120", "--out", str(tmp_path)]) == bool(failures)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert asked == [(0, 50), (1, 50), (2, 20)]
    assert summary["stages"] == {"length": 120}
    assert len(summary["failures"]) == failures


def test_what_libfuzzer_left_behind_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(options: object, folder: Path, kept: Path, number: int, inputs: int) -> subprocess.Popen[bytes]:
        (tmp_path / "timeout-1234").write_bytes(b"slow")
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(70)"])

    (tmp_path / "crash-0000.st").write_bytes(b"of an earlier run")
    monkeypatch.setattr(run, "_start", start)
    assert run.main(["--engine", "atheris", "--inputs", "9", "--out", str(tmp_path)]) == 1
    (failure,) = json.loads((tmp_path / "summary.json").read_text())["failures"]
    assert (failure["line"], failure["file"]) == ("libFuzzer: timeout", "timeout-1234")


def test_tallies_add_up_and_come_back_from_their_file(tmp_path: Path) -> None:
    one = Tally(Counter(length=2, accepted=1), [], 0.5, "one", 10, 5, "one")
    two = Tally(Counter(schema=1), [Failure("a line", "there", "crash")], 0.25, "two", 20, 9, "two")
    one.add(two)
    assert (one.inputs, one.reached("length"), one.reached("schema"), one.reached("accepted")) == (5, 4, 2, 1)
    assert (one.slowest_s, one.slowest, one.memory_bytes) == (0.5, "one", 20)
    assert (one.growth_bytes, one.hungriest) == (9, "two")
    one.write(tmp_path / "a.json", target="bundle")
    assert Tally.read(tmp_path / "a.json") == one
