"""Trainings that are kept: what goes in comes out, and what is damaged is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ticketkit.errors import RunError
from ticketkit.report.runs import Cost, Run
from ticketkit.verify.kept import KeptTrainings
from ticketkit.verify.training import Outcome

COMMON = {"recipe": {"lr": 0.1, "milestones": (1, 2)}, "seed": 3}
OWN = {"arm": "dense", "architecture": "resnet8-w2", "seed": 0, "ticket": "sha256:0"}

COST = Cost(
    flops=1e15 / 3,
    dense_flops=1e300 ** (1 / 4),
    setup_flops=0.0,
    setup_dense_flops=1.0,
    images_per_second=1e3,
    peak_memory=2**40,
)
OUTCOME = Outcome(
    run=Run(seed=0, accuracy=1 / 3, untrained=1.0, loss=2.3e-17, seconds=0.1 + 0.2, top5=None, cost=COST),
    kept=7,
    architecture="cifar-resnet8-w2",
)


def test_a_training_comes_back_bit_for_bit(tmp_path: Path) -> None:
    kept = KeptTrainings(tmp_path, COMMON)
    assert kept.load(OWN) is None
    assert not list(tmp_path.iterdir()), "asking makes nothing"
    kept.keep(OWN, OUTCOME)
    assert KeptTrainings(tmp_path, COMMON).load(OWN) == OUTCOME
    (path,) = tmp_path.glob("verify/*")
    assert path.name.startswith("dense-resnet8-w2-seed-0-")


@pytest.mark.parametrize("changed", [{"arm": "imp"}, {"seed": 1}, {"ticket": "sha256:1"}, {"architecture": "x"}])
def test_what_it_depends_on_is_in_its_name(tmp_path: Path, changed: dict[str, Any]) -> None:
    kept = KeptTrainings(tmp_path, COMMON)
    kept.keep(OWN, OUTCOME)
    assert kept.load(OWN | changed) is None
    assert KeptTrainings(tmp_path, COMMON | {"recipe": {}}).load(OWN) is None


@pytest.mark.parametrize("arm", ["../../evil", "é" * 300, "a b/c", ".hidden", ""])
def test_any_name_of_an_arm_is_a_file_in_the_folder(tmp_path: Path, arm: str) -> None:
    kept = KeptTrainings(tmp_path, COMMON)
    kept.keep(OWN | {"arm": arm}, OUTCOME)
    assert kept.load(OWN | {"arm": arm}) == OUTCOME
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "verify"
    assert not path.name.startswith(".")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be sound, or removed to be done again"),
        (b"\xff\xfe", "must be sound"),
        (b"[" * 100_000, "must be sound"),
        (b'{"depends_on": {}}', "must be sound"),
        (None, "must be the one that its name says"),
    ],
)
def test_a_damaged_one_is_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    kept = KeptTrainings(tmp_path, COMMON)
    kept.keep(OWN, OUTCOME)
    (path,) = tmp_path.glob("verify/*")
    if content is None:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["depends_on"]["seed"] = 5
        content = json.dumps(document).encode()
    path.write_bytes(content)
    with pytest.raises(RunError, match=message) as raised:
        kept.load(OWN)
    assert str(raised.value).endswith(f": {path}")
    assert "\n" not in str(raised.value)


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    kept = KeptTrainings(tmp_path / "runs", COMMON)
    with pytest.raises(RunError, match=r"must be kept in a writable place \(.*\): "):
        kept.keep(OWN, OUTCOME)
    assert (tmp_path / "runs").read_bytes() == b""


def test_old_temporary_files_go_and_new_ones_may_be_another_s(tmp_path: Path) -> None:
    (tmp_path / "verify").mkdir()
    old, new = (tmp_path / "verify" / f".{name}.json.0123abcd.tmp" for name in "ab")
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    KeptTrainings(tmp_path, COMMON)
    assert (old.exists(), new.exists()) == (False, True)
