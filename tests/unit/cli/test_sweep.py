"""``ticketkit sweep``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from click.testing import CliRunner, Result

from ticketkit.cli.app import application
from ticketkit.errors import StudyError
from ticketkit.report.comparison import Report
from ticketkit.report.connection import Connection

STUDY = """
title = "A tiny study"
sources = ["resnet14-w2"]
targets = ["resnet20-w2"]
sparsities = [0.5, 0.8]
arms = ["ticket", "imp", "small-dense"]
connect = ["ticket"]
seeds = 2
rate = 0.6
points = 3
data = { dataset = "digits", limit = 64 }
recipe = { base = "quick", epochs = 2, batch = 32, warmup = 0, rewind = "1it" }
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A study that has run, and how."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "tiny.toml").write_text(STUDY, encoding="utf-8")
    return folder, sweep(folder / "tiny.toml", "-o", folder / "out", "--parallel", 2)


def sweep(*arguments: object) -> Result:
    runner = CliRunner()
    return runner.invoke(application, ["sweep", *map(str, arguments)], catch_exceptions=False)


def lines_of(text: str) -> list[str]:
    return unstyle(text).splitlines()


# --- running


def test_it_says_what_there_is_to_do_what_is_done_and_what_came_of_it(done: tuple[Path, Result]) -> None:
    result = done[1]
    assert result.exit_code == 0
    lines = lines_of(result.stdout)
    assert max(map(len, lines)) <= 80
    assert lines[:4] == [
        "study    A tiny study",
        "data     digits, 64 training images",
        "recipe   tiny: 2 epochs, batch 32, rewinding to 1it",
        "grid     4 IMP runs, 16 cells; 4 IMP runs and 16 cells to do",
    ]
    assert "device   cpu, 1 thread, fp32, 2 trainings at once" in lines
    table = next(line for line in lines if line.startswith("arm "))
    assert table.split() == ["arm", "50", "%", "80", "%"]
    assert [line.split("  ")[0] for line in lines if " ± " in line and not line.startswith("resnet20")] == [
        "ETT ← resnet14-w2",
        "imp",
        "small-dense",
    ]
    assert "elastic hypothesis: no more than 0.5 points below imp, 95 %" in lines
    assert any(line.startswith("linear connectivity") for line in lines)
    assert "cells    16 of 16 done, 20 tasks now" in lines


def test_each_task_is_a_line_where_there_is_no_terminal(done: tuple[Path, Result]) -> None:
    lines = lines_of(done[1].stderr)
    assert len(lines) == 20
    assert max(map(len, lines)) <= 80
    assert sum("levels" in line for line in lines) == 4
    assert sum("barrier" in line for line in lines) == 4
    assert all(line.endswith(" s") for line in lines)
    assert not any("\x1b" in line or "\r" in line for line in lines)


def tables_of(result: Result) -> list[str]:
    """What is printed between the opening and the line that counts cells."""
    lines = lines_of(result.stdout)
    return lines[lines.index("") : next(place for place, line in enumerate(lines) if line.startswith("cells "))]


def test_a_second_run_does_nothing_and_says_the_same(done: tuple[Path, Result]) -> None:
    folder, first = done
    again = sweep(folder / "tiny.toml", "-o", folder / "out")
    assert again.exit_code == 0
    assert again.stderr == ""
    assert "0 IMP runs and 0 cells to do" in " ".join(lines_of(again.stdout)[3:5])
    told, before = (tables_of(result) for result in (again, first))
    assert told
    assert told == before
    assert "16 of 16 done, 0 tasks now" in again.stdout


def test_json_is_one_document(done: tuple[Path, Result]) -> None:
    folder, _ = done
    result = sweep(folder / "tiny.toml", "-o", folder / "out", "--json")
    document = json.loads(result.stdout)
    assert document["format"] == {"name": "ticketkit-sweep", "version": "1.0"}
    assert {
        name: document[name] for name in ("title", "folder", "cells", "missing", "waiting", "failed", "left_out")
    } == {
        "title": "A tiny study",
        "folder": str(folder / "out"),
        "cells": 16,
        "missing": 0,
        "waiting": 0,
        "failed": [],
        "left_out": [],
    }
    reports = [Report.from_json(report) for report in document["reports"]]
    assert [[arm.name for arm in report.arms] for report in reports] == [["ticket", "imp", "small-dense"]] * 2
    connections = [Connection.from_json(one) for one in document["connections"]]
    assert [one.name for one in connections] == ["ETT ← resnet14-w2"] * 2
    assert result.stderr.startswith("study    A tiny study"), "what is for people is not in the way"


def test_the_folder_s_name_is_the_study_s(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.parent)
    result = sweep("tiny.toml", "--dry-run")
    assert "folder   tiny" in lines_of(result.stdout)


# --- not running


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(study: Path) -> None:
    result = sweep(study, "--dry-run", "-o", study.parent / "out")
    assert result.exit_code == 0
    assert "4 IMP runs and 16 cells to do" in " ".join(result.stdout.split())
    assert [path.name for path in study.parent.iterdir()] == ["tiny.toml"]
    document = json.loads(sweep(study, "--dry-run", "--json", "-o", study.parent / "out").stdout)
    assert (document["cells"], document["missing"], document["reports"]) == (16, 16, [])
    assert [path.name for path in study.parent.iterdir()] == ["tiny.toml"]


def test_a_dry_run_of_what_is_done_says_so(done: tuple[Path, Result]) -> None:
    folder, _ = done
    document = json.loads(sweep(folder / "tiny.toml", "--dry-run", "--json", "-o", folder / "out").stdout)
    assert (document["cells"], document["missing"]) == (16, 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seeds", 1], "2 IMP runs, 8 cells"),
        (["--seeds", 3], "6 IMP runs, 24 cells"),
        (["--limit", 96], "digits, 96 training images"),
        (["--shard", "1/3"], "shard 1 of 3"),
        (["--shard", "3/3"], "1 IMP run and 5 cells to do"),
        (["--threads", 2], "cpu, 2 threads, fp32"),
        (["--ray", "auto"], "Ray at auto, 1 CPU for each cell"),
        (["--ray", "auto", "--ray-cpus", 0.5, "--ray-gpus", 0.25], "Ray at auto, 0.5 CPU and 0.25 GPU for each cell"),
        (["--ray", "auto", "--device", "cuda"], "Ray at auto, 1 CPU and 1 GPU for each cell"),
        (["--ray", "auto", "--device", "cuda", "--ray-gpus", 0], "Ray at auto, 1 CPU for each cell"),
    ],
)
def test_options_change_what_differs_from_machine_to_machine(study: Path, options: list[Any], told: str) -> None:
    result = sweep(study, "--dry-run", "-o", study.parent / "out", "--device", "cpu", *options)
    assert told in " ".join(result.stdout.split())


def test_what_is_left_out_is_told(study: Path) -> None:
    text = STUDY.replace('"resnet14-w2"', '"resnet32-w2"').replace('"small-dense"', '"extra-snip"')
    study.write_text(text, encoding="utf-8")
    lines = lines_of(sweep(study, "--dry-run").stdout)
    assert lines[-2:] == [
        "left out extra-snip for resnet20-w2 from resnet32-w2: there must be replicated",
        "         units in the ticket (it has none)",
    ]


# --- what is refused


@pytest.mark.parametrize(
    "options",
    [
        ["--shard", "0/3"],
        ["--shard", "4/3"],
        ["--shard", "1/0"],
        ["--shard", "half"],
        ["--shard", "-1/3"],
        ["--seeds", "0"],
        ["--limit", "0"],
        ["--ray", "auto", "--ray-cpus", "0"],
        ["--ray", "auto", "--ray-cpus", "1.5"],
        ["--ray", "auto", "--ray-gpus", "-1"],
        ["--ray", "auto", "--ray-gpus", "2.5"],
        ["--precision", "fp8"],
    ],
)
def test_wrong_usage_is_refused(study: Path, options: list[str]) -> None:
    result = sweep(study, "--dry-run", *options)
    assert result.exit_code == 2
    assert "Error: Invalid value" in result.stderr


def test_a_study_that_is_wrong_is_named(study: Path) -> None:
    study.write_text(STUDY + "colour = 1\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"\(got 'colour'\): .*tiny\.toml"):
        sweep(study)
    with pytest.raises(StudyError, match=r"readable file .*gone\.toml"):
        sweep(study.parent / "gone.toml")


def test_what_fails_is_told_and_the_exit_code_says_so(study: Path) -> None:
    recipe = '{ base = "quick", name = "wild", epochs = 2, batch = 32, lr = 9e5, warmup = 0, rewind = "1it" }'
    wild = f'[{{ arch = "resnet14-w2", recipe = {recipe} }}]'
    study.write_text(STUDY.replace('["resnet14-w2"]', wild).replace("seeds = 2", "seeds = 1"), encoding="utf-8")
    out = study.parent / "out"
    result = sweep(study, "-o", out)
    assert result.exit_code == 1
    lines = lines_of(result.stdout)
    told = " ".join(" ".join(lines).split())
    assert "failed find/imp_cifar-resnet14-w2_s0_" in told
    assert "finite" in told
    assert "waiting 4 cells for IMP runs that failed: run this again" in told
    assert "cells 4 of 8 done, 5 tasks now" in told
    assert max(map(len, lines)) <= 80
    again = sweep(study, "-o", out, "--json")
    assert again.exit_code == 1
    document = json.loads(again.stdout)
    (failed,) = document["failed"]
    assert failed["file"].startswith("find/imp_cifar-resnet14-w2_s0_")
    assert "finite" in failed["error"]
    assert (document["missing"], document["waiting"]) == (4, 4)


def test_a_shard_says_what_waits_for_others(study: Path) -> None:
    out = study.parent / "out"
    first = sweep(study, "-o", out, "--shard", "1/2", "--seeds", 1)
    assert first.exit_code == 0
    assert "for IMP runs of other shards: run this again" in " ".join(first.stdout.split())
    for shard in ("2/2", "1/2"):
        last = sweep(study, "-o", out, "--shard", shard, "--seeds", 1)
    assert "8 of 8 done" in last.stdout
    assert "waiting" not in last.stdout


def test_a_study_whose_cells_were_computed_otherwise_says_in_what(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = study.parent / "out"
    alike = sweep(study, "-o", out, "--seeds", 1)
    assert "note" not in {line.split(" ")[0] for line in lines_of(alike.stdout)}
    monkeypatch.setenv("TICKETKIT_COMMIT", "abcdef1")
    other = sweep(study, "-o", out, "--seeds", 2)
    told = " ".join(other.stdout.split())
    assert "note cells were not all computed alike, which accuracies can depend on: commit none or abcdef1 next" in told
