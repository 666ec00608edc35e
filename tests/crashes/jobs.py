"""The commands that are killed: what they start from, how they go on, and how far they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ticketkit.bundle import load_ticket

SMALL = ["--limit", "128", "--device", "cpu", "--threads", "1", "--checkpoint-seconds", "0"]
RECIPE = ["--set", "epochs=4", "--set", "warmup=0", "--set", "batch=32"]
FIND = ["find", "--arch", "resnet8-w4", *SMALL, *RECIPE, "--rewind", "2it", "--rate", "0.3", "--levels", "5"]
FIND += ["--run-dir", "run", "--keep-levels", "-o", "ticket.st"]
VERIFY = ["verify", "source.st", *SMALL, *RECIPE, "--rate", "0.5", "--seeds", "2", "--parallel", "2"]
VERIFY += ["--against", "dense,imp,rigl", "--dst-multiplier", "2", "-o", "report.json"]
STUDY = """
title = "Killed"
sources = ["resnet14-w2"]
targets = ["resnet20-w2"]
sparsities = [0.7]
arms = ["ticket", "dense", "imp"]
connect = ["ticket"]
points = 3
seeds = 1
rate = 0.5
data = { dataset = "digits", limit = 128 }
recipe = { base = "quick", epochs = 3, batch = 32, warmup = 0, rewind = "2it" }
"""
SWEEP = ["sweep", "study.toml", "-o", "study", "--device", "cpu", "--threads", "1", "--parallel", "1"]
SWEEP += ["--checkpoint-seconds", "0"]

CLOCKS = {"seconds", "images_per_second", "peak_memory", "command"}
"""What two runs that are the same may tell differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command to kill.

    Attributes:
        name: Its name.
        arguments: Its arguments; ``--resume`` is added to go on.
        prepare: Puts into a folder what it starts from.
        place: How far it is, in words, by what the folder holds.
        result: The file that it writes in the end, and replaces with ``--force``; none for a study.
        old: What such a file may hold before.
    """

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    place: Callable[[Path], str]
    result: str | None = None
    old: bytes = b""


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file under its final name: tickets as bytes, JSON without what clocks say; checkpoints are only opened.

    Raises:
        Exception: If one is not whole.
    """
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    file.get_tensor(key)
        else:
            found[str(path.relative_to(folder))] = content(path)
    return found


def content(path: Path) -> bytes | str:
    """What one file holds, whole; JSON without what clocks say."""
    if path.suffix == ".json":
        return json.dumps(_still(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
    if path.suffix == ".st":
        load_ticket(path)
    return path.read_bytes()


def temporary(folder: Path) -> list[str]:
    """Temporary files that were left: whatever is hidden and is no lock."""
    hidden = (path for path in folder.rglob(".*") if not path.name.startswith(".lock"))
    return sorted(str(path.relative_to(folder)) for path in hidden)


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _still(member) for name, member in value.items() if name not in CLOCKS}
    return [_still(member) for member in value] if isinstance(value, list) else value


def _count(folder: Path, pattern: str) -> int:
    return sum(not path.name.startswith(".") for path in folder.glob(pattern))


def _place_of_find(folder: Path) -> str:
    if not (folder / "run" / "run.json").exists():
        return "before the run"
    levels = _count(folder, "run/level-*.st")
    inside = " with a checkpoint" if (folder / "run" / "training.safetensors").exists() else ""
    return f"level {levels}{inside}" if levels < 6 else "after the levels"


def _place_of_verify(folder: Path) -> str:
    done = _count(folder, "runs/verify/*.json")
    if not done and not (folder / "runs").exists():
        return "before the runs"
    return f"{done} of 8 trainings"


def _place_of_sweep(folder: Path) -> str:
    if not (folder / "study" / "study.json").exists():
        return "before the study"
    finds, cells = (_count(folder, f"study/{kind}/*.json") for kind in ("find", "[tc]*"))
    return f"{finds} of 2 IMP runs, {cells} of 4 cells"


def _study(folder: Path) -> None:
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")


def jobs(ticket: Path) -> dict[str, Job]:
    """The jobs by name; ``ticket`` is one that they find in their folder, and that ``verify`` is about."""

    def lay(folder: Path) -> None:
        shutil.copy(ticket, folder / "source.st")

    def lay_study(folder: Path) -> None:
        lay(folder)
        _study(folder)

    found = (
        Job(
            name="find",
            arguments=tuple(FIND),
            prepare=lay,
            place=_place_of_find,
            result="ticket.st",
            old=ticket.read_bytes(),
        ),
        Job(
            name="verify",
            arguments=tuple(VERIFY),
            prepare=lay,
            place=_place_of_verify,
            result="report.json",
            old=b'{"old": true}',
        ),
        Job(name="sweep", arguments=tuple(SWEEP), prepare=lay_study, place=_place_of_sweep),
    )
    return {job.name: job for job in found}
