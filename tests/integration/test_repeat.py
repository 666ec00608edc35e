"""The same command gives the same bytes in another process, whatever surrounds it, and ``reproduce`` finds that out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIND = ["find", "--arch", "resnet14-w4", "--device", "cpu", "--limit", "256", "--rate", "0.4", "--levels", "1"]
FIND += ["--rewind", "2it", "--set", "epochs=2", "--set", "warmup=1"]


def ticketkit(*arguments: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ticketkit", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeat")
    ticketkit(*FIND, "-o", "a.st", cwd=folder, PYTHONHASHSEED="0")
    return folder / "a.st"


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "12345", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "tr_TR.UTF-8"},
        {"PYTHONHASHSEED": "random", "PYTHONOPTIMIZE": "2", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "2"},
    ],
    ids=["locale", "interpreter"],
)
def test_another_process_in_other_surroundings_gives_the_same_bytes(
    found: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "é è"
    folder.mkdir()
    ticketkit(*FIND, "-o", "b.st", "--deterministic", cwd=folder, **environment)
    assert (folder / "b.st").read_bytes() == found.read_bytes()


def test_reproduce_says_so(found: Path, tmp_path: Path) -> None:
    stdout = ticketkit("reproduce", found, "-o", "again.st", cwd=tmp_path, PYTHONHASHSEED="7")
    assert "identical: the same id, so the same bytes" in stdout
    assert (tmp_path / "again.st").read_bytes() == found.read_bytes()
