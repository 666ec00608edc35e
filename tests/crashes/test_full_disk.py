"""Disks that fill up or fail at any call, and limits that the system sets: nothing half-written, nothing old lost."""

from __future__ import annotations

import errno
import io
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ticketkit.arch import parse_arch
from ticketkit.atomic import write_text
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.data import ImageData
from ticketkit.errors import TicketkitError
from ticketkit.find import find_ticket
from ticketkit.recipe import Recipe
from ticketkit.report.runs import Run
from ticketkit.run_folder import RunFolder
from ticketkit.ticket import Ticket
from ticketkit.train import Compute
from ticketkit.train.checkpoint import Checkpoint, TrainingState
from ticketkit.verify.kept import KeptTrainings
from ticketkit.verify.training import Outcome

Act = Callable[[Path], object]

RECIPE = Recipe(name="tiny", epochs=2, batch=16, lr=0.05, nesterov=True, crop=1, rewind="2it")
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES]


class Disk:
    """Counts the calls that change a disk, and fails from one of them on, or at that one alone."""

    def __init__(self, code: int = errno.ENOSPC) -> None:
        self.calls = 0
        self.fails_at: int | None = None
        self.for_good = True
        self.code = code

    def fault(self) -> bool:
        number, self.calls = self.calls, self.calls + 1
        return self.fails_at is not None and (number >= self.fails_at if self.for_good else number == self.fails_at)

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if self.fault():
                raise self.error()
            return function(*arguments, **options)

        return counted

    def error(self) -> OSError:
        return OSError(self.code, os.strerror(self.code))

    @contextmanager
    def failing(self, number: int | None, *, for_good: bool = True) -> Iterator[None]:
        self.calls, self.fails_at, self.for_good = 0, number, for_good
        yield
        self.fails_at = None


class FaultyFile(io.FileIO):
    """A file whose failing write has written half of what it was given."""

    disk: Disk

    def write(self, content: Any) -> int:
        if self.disk.fault():
            super().write(bytes(content)[: len(content) // 2])
            raise self.disk.error()
        return super().write(content)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk under everything here that writes."""
    found = Disk()
    opened = io.open

    def open_faulty(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *rest: Any) -> Any:
        if not {"w", "x"} & {*mode}:
            return opened(file, mode, buffering, encoding, *rest)
        raw = FaultyFile(file, mode.replace("b", ""))
        raw.disk = found
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding)

    monkeypatch.setattr(io, "open", open_faulty)
    for name in ("fsync", "link", "replace", "posix_fallocate"):
        monkeypatch.setattr(os, name, found.call(getattr(os, name)))
    return found


def state(step: int = 3) -> TrainingState:
    weights = np.full((64, 64), step, dtype=np.float32)
    return TrainingState(step=step, tensors={"w": weights}, momentum=weights.reshape(-1), captured=None)


def outcome(accuracy: float) -> Outcome:
    run = Run(seed=0, accuracy=accuracy, untrained=0.1, loss=0.5, seconds=1.0)
    return Outcome(run=run, kept=10, architecture="cifar-resnet8-w2")


@pytest.fixture
def acts(make_ticket: Callable[..., Ticket]) -> dict[str, tuple[Act, Act]]:
    """What is written, by what writes it: the old content and the new."""

    def saving(path: Path, seed: int, *, overwrite: bool = True) -> object:
        return save_ticket(make_ticket(seed=seed), path, overwrite=overwrite)

    def in_folder(folder: Path, write: Callable[[RunFolder], object]) -> None:
        with RunFolder(folder / "run", {"what": 1}, resume=True) as run:
            write(run)

    own = {"arm": "dense", "architecture": "resnet8-w2", "seed": 0}
    return {
        "a text": (
            lambda at: write_text(at / "a", "old", overwrite=True),
            lambda at: write_text(at / "a", "new" * 9999, overwrite=True),
        ),
        "a new text": (lambda _: None, lambda at: write_text(at / "b", "new" * 9999)),
        "a ticket": (lambda at: saving(at / "t.st", 0), lambda at: saving(at / "t.st", 1)),
        "a new ticket": (lambda _: None, lambda at: saving(at / "u.st", 1, overwrite=False)),
        "a run folder": (lambda _: None, lambda at: in_folder(at, lambda _: None)),
        "a level": (
            lambda at: in_folder(at, lambda run: run.keep("level-00", make_ticket(seed=0))),
            lambda at: in_folder(at, lambda run: run.keep("level-00", make_ticket(seed=1))),
        ),
        "a level's notes": (
            lambda at: in_folder(at, lambda run: run.keep_notes("level-00", {"old": 1})),
            lambda at: in_folder(at, lambda run: run.keep_notes("level-00", {"new": 2})),
        ),
        "a checkpoint": (
            lambda at: Checkpoint(path=at / "c.safetensors", label="l").save(state(1)),
            lambda at: Checkpoint(path=at / "c.safetensors", label="l").save(state(2)),
        ),
        "a training": (
            lambda at: KeptTrainings(at, {"common": 1}).keep(own, outcome(0.1)),
            lambda at: KeptTrainings(at, {"common": 1}).keep(own, outcome(0.2)),
        ),
    }


ACTS = (
    *("a text", "a new text", "a ticket", "a new ticket", "a run folder", "a level", "a level's notes"),
    *("a checkpoint", "a training"),
)


def held(folder: Path) -> dict[str, bytes]:
    """What has a final name."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def told(act: Callable[[], object]) -> str | None:
    """What an act says that fails; None for one that does not."""
    try:
        act()
    except (TicketkitError, OSError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("for_good", [True, False])
@pytest.mark.parametrize("name", ACTS)
def test_whichever_call_fails_there_is_the_old_file_or_the_new(
    disk: Disk, acts: dict[str, tuple[Act, Act]], tmp_path: Path, name: str, for_good: bool
) -> None:
    before, act = acts[name]
    (tmp_path / "whole").mkdir()
    before(tmp_path / "whole")
    old = held(tmp_path / "whole")
    with disk.failing(None):
        act(tmp_path / "whole")
    count, new = disk.calls, held(tmp_path / "whole")
    assert count >= 3, "it writes, flushes and takes the name"
    assert new != old
    failures: list[str] = []
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        before(folder)
        disk.code = ERRORS[number % len(ERRORS)]
        with disk.failing(number, for_good=for_good):
            said = told(partial(act, folder))
        assert not list(folder.rglob("*.tmp"))
        if said is not None:
            failures.append(said)
            assert "\n" not in said
            assert os.strerror(disk.code) in said, "it says what"
            assert str(folder) in said, "and where"
            assert ".tmp" not in said
            found = held(folder)
            assert all(found[path] in (content, new[path]) for path, content in old.items())
            assert all(found[path] == new[path] for path in found if path not in old)
            act(folder)
        assert held(folder) == new, "with room again, if not before, all is well"
    assert len(failures) >= 2


@pytest.mark.parametrize("name", ACTS)
def test_a_limit_of_the_system_is_one_line(acts: dict[str, tuple[Act, Act]], tmp_path: Path, name: str) -> None:
    before, act = acts[name]
    before(tmp_path)
    old = held(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))  # the kernel itself refuses to write more than this to a file
    try:
        with pytest.raises((TicketkitError, OSError)) as raised:
            act(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(raised.value)
    assert "File too large" in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert held(tmp_path) == old
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def find(stripes: ImageData) -> Callable[..., Ticket]:
    def run(folder: Path | None = None, levels: int = 1, **options: Any) -> Ticket:
        arch = parse_arch("resnet8-w2", in_channels=1, num_classes=2)
        options = {"device": Compute(), "rate": 0.3, "levels": levels, "checkpoint_seconds": 0} | options
        return find_ticket(arch, stripes, RECIPE, run_dir=folder, **options)

    return run


def test_a_run_that_a_full_disk_ends_goes_on_to_the_same_ticket(
    disk: Disk, find: Callable[..., Ticket], tmp_path: Path
) -> None:
    expected = find()
    with disk.failing(None):
        assert find(tmp_path / "whole") == expected
    count = disk.calls
    for number in range(0, count, 9):
        with disk.failing(number), suppress(TicketkitError):
            find(tmp_path / str(number))
        assert not list((tmp_path / str(number)).glob("*.tmp"))
        for path in (tmp_path / str(number)).glob("*.st"):
            load_ticket(path)
        assert find(tmp_path / str(number), resume=True) == expected


@pytest.mark.parametrize("at", ["the end of the level", "a checkpoint"])
def test_a_disk_that_is_full_does_not_lose_what_was_trained(
    find: Callable[..., Ticket],
    reserved: Callable[[Path], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    """The room that was reserved is all there is left: nothing can be written unless it has been given back."""
    folder = tmp_path / "run"
    trained: list[tuple[int, int]] = []
    full = False
    flush, fallocate = os.fsync, os.posix_fallocate

    def refuse_unless_given_back(descriptor: int) -> None:
        if full and reserved(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    def reserve(*arguments: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fallocate(*arguments)

    def fill(level: int, progress: Any) -> None:
        nonlocal full
        trained.append((level, progress.epoch))
        full = full or progress.epoch == 1

    monkeypatch.setattr(os, "fsync", refuse_unless_given_back)
    monkeypatch.setattr(os, "posix_fallocate", reserve)
    often = {"checkpoint_seconds": 0 if at == "a checkpoint" else 1000}
    message = "must have room for the end of a level" if at != "a checkpoint" else "the last state is kept"
    with pytest.raises(TicketkitError, match=message):
        find(folder, on_epoch=fill, **often)
    assert (folder / "level-00.st").exists() == (at != "a checkpoint")
    assert not list(folder.glob("*.tmp"))
    monkeypatch.undo()
    again: list[tuple[int, int]] = []
    ticket = find(folder, resume=True, on_epoch=lambda level, progress: again.append((level, progress.epoch)), **often)
    assert ticket == find()
    assert not {*trained} & {*again}, "no epoch is trained twice"
