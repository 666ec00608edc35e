"""A study through the real command: killed without warning, gone on with, reported."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

STOPPED = "ticketkit: stopped; nothing half-written is left behind; go on with --resume"
STUDY = """
title = "Killed"
sources = ["resnet14-w2"]
targets = ["resnet20-w2"]
sparsities = [0.8]
arms = ["ticket", "dense", "imp", "rigl"]
connect = ["ticket"]
points = 3
seeds = 1
dst_multiplier = 2
data = { dataset = "digits", limit = 128 }
recipe = { base = "quick", epochs = 3, batch = 32, warmup = 0, rewind = "2it" }
"""
CLOCKS = {"seconds", "images_per_second", "peak_memory"}


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ticketkit", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object, cwd: Path, code: int = 0) -> tuple[str, str]:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    return out, err


def contents(folder: Path) -> dict[str, Any]:
    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: still(member) for name, member in value.items() if name not in CLOCKS}
        return [still(member) for member in value] if isinstance(value, list) else value

    paths = [path for kind in ("find", "train", "connect") for path in (folder / kind).glob("[!.]*.json")]
    return {str(path.relative_to(folder)): still(json.loads(path.read_text())) for path in paths}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "killed.toml").write_text(STUDY)
    run("sweep", "killed.toml", cwd=folder)
    return folder


def test_a_sweep_that_is_killed_again_and_again_gives_the_same(finished: Path, tmp_path: Path):
    (tmp_path / "killed.toml").write_text(STUDY)
    kills = 0
    for wait_for in ("find", "train", "connect"):
        process = start("sweep", "killed.toml", cwd=tmp_path)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if any((tmp_path / "killed" / wait_for).glob("[!.]*.json")):
                process.kill()
                kills += 1
                break
            time.sleep(0.01)
        process.communicate()
        assert process.returncode in {0, -signal.SIGKILL}
    assert kills, "one at least was hit while it ran"
    out, _ = run("sweep", "killed.toml", cwd=tmp_path)
    assert "5 of 5 done" in out
    assert contents(tmp_path / "killed") == contents(finished / "killed")


def test_one_that_is_asked_to_stop_stops_in_a_line(tmp_path: Path):
    (tmp_path / "killed.toml").write_text(STUDY)
    process = start("sweep", "killed.toml", cwd=tmp_path)
    while not list((tmp_path / "killed").glob("runs/*/level-00.st")):
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=60)
    # CPython ends by the signal itself where it hits code that is being made from a string; to a shell both are 130.
    assert process.returncode in {130, -signal.SIGINT}
    assert err.splitlines()[-1] == STOPPED
    assert not list((tmp_path / "killed").rglob("*.tmp"))


def test_two_shards_beside_each_other_make_it_whole(finished: Path, tmp_path: Path):
    (tmp_path / "killed.toml").write_text(STUDY)
    for _ in range(2):
        both = [start("sweep", "killed.toml", "--shard", f"{number}/2", cwd=tmp_path) for number in (1, 2)]
        for process in both:
            out, err = process.communicate(timeout=300)
            assert process.returncode == 0, out + err
    assert contents(tmp_path / "killed") == contents(finished / "killed")


def test_a_report_is_made_of_it(finished: Path):
    out, _ = run("sweep", "killed.toml", "--json", cwd=finished)
    document = json.loads(out)
    assert (document["missing"], len(document["reports"]), len(document["connections"])) == (0, 1, 1)
    run("report", "killed", "--markdown", "report.md", cwd=finished)
    text = (finished / "report.md").read_text()
    assert "resnet20-w2" in text
    assert "rigl" in text


def test_what_is_wrong_is_one_line(tmp_path: Path):
    (tmp_path / "killed.toml").write_text(STUDY.replace("seeds = 1", "seed = 1"))
    _, err = run("sweep", "killed.toml", cwd=tmp_path, code=1)
    assert err.startswith("ticketkit: fields of a study must be among ")
    assert err.count("\n") == 1
