"""A run's folder: whose it is, what is found there, what is left there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ticketkit.errors import RunError
from ticketkit.lock import BusyError, FolderLock
from ticketkit.run_folder import RunFolder, tidy
from ticketkit.ticket import Ticket
from ticketkit.train.checkpoint import TrainingState

RUN = {"seed": 0, "recipe": {"lr": 0.1}}


def test_one_that_is_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    with RunFolder(tmp_path, RUN, resume=False):
        (tmp_path / ".x.st.0123abcd.tmp").touch()
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        for resume in (False, True):
            with pytest.raises(BusyError, match="a run folder must be used by one run at a time"):
                RunFolder(tmp_path, {"seed": 1}, resume=resume)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    RunFolder(tmp_path, RUN, resume=True).close()


def test_one_that_cannot_be_used_is_free_for_others(tmp_path: Path) -> None:
    RunFolder(tmp_path, RUN, resume=False).close()
    with pytest.raises(RunError, match="must be new"):
        RunFolder(tmp_path, RUN, resume=False)
    with pytest.raises(RunError, match="seed was 0"):
        RunFolder(tmp_path, RUN | {"seed": 1}, resume=True)
    FolderLock(tmp_path).release()


def test_what_a_killed_run_left_half_written_goes_and_nothing_else(tmp_path: Path) -> None:
    RunFolder(tmp_path, RUN, resume=False).close()
    left = [".level-00.st.0123abcd.tmp", ".training.safetensors.fedcba98.tmp", ".spare.00000000.tmp"]
    others = ["level-00.tmp", ".mine.tmp", ".x.0123.tmp", "a.0123abcd.tmp", "run.json", ".lock"]
    for name in (*left, *others[:4]):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / left[0]).touch()
    RunFolder(tmp_path, RUN, resume=True).close()
    assert {path.name for path in tmp_path.iterdir()} == {*others, "inner"}
    assert (tmp_path / "inner" / left[0]).exists(), "another folder's"


def test_it_keeps_room_while_it_is_open(reserved: Callable[[Path], list[int]], tmp_path: Path) -> None:
    with RunFolder(tmp_path, RUN, resume=False) as folder:
        folder.reserve(10_000)
        folder.reserve(10_000)
        (room,) = reserved(tmp_path)
        assert room >= 10_000, "room, and not a hole"
        assert not list(tmp_path.glob(".spare.*")), "nothing is left of it if the process is killed"
    assert not reserved(tmp_path)


def test_room_that_there_is_not_is_refused(tmp_path: Path) -> None:
    size = 2 * shutil.disk_usage(tmp_path).total
    with (
        RunFolder(tmp_path, RUN, resume=False) as folder,
        pytest.raises(RunError, match=rf"must have room for the end of a level, {size:,} bytes \(.*\): {tmp_path}"),
    ):
        folder.reserve(size)
    assert not list(tmp_path.glob(".spare.*"))


def test_where_room_cannot_be_reserved_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    with RunFolder(tmp_path, RUN, resume=False) as folder:
        folder.reserve(10_000)
        assert not list(tmp_path.glob(".spare.*"))


def test_a_folder_that_vanishes_is_one_line(tmp_path: Path, make_ticket: Callable[..., Ticket]) -> None:
    path = tmp_path / "run"
    with RunFolder(path, RUN, resume=False) as folder:
        folder.reserve(10_000)
        shutil.rmtree(path)
        for write in (
            lambda: folder.keep("level-00", make_ticket()),
            lambda: folder.keep_notes("level-00", {}),
            lambda: folder.reserve(10_000),
        ):
            with pytest.raises((RunError, ValueError), match=rf"\(No such file or directory\): {path}"):
                write()
    assert not path.exists()


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=rf"a run folder must be writable \(.*\): {path}"):
            RunFolder(path, RUN, resume=False)


def left_behind(path: Path, label: str) -> Path:
    """A checkpoint as a killed run leaves it."""
    state = TrainingState(step=3, tensors={"a": np.zeros(2)}, momentum=np.zeros(2), captured=None)
    with RunFolder(path, RUN, resume=(path / "run.json").exists()) as folder:
        folder.checkpoint(label, 0).save(state)
    return path / "training.safetensors"


def test_a_checkpoint_of_a_level_that_is_done_goes_and_any_other_stays(
    tmp_path: Path, make_ticket: Callable[..., Ticket]
):
    checkpoint = left_behind(tmp_path, "level-01")
    with RunFolder(tmp_path, RUN, resume=True) as folder:
        assert checkpoint.exists()
        folder.keep("level-01", make_ticket())
    tidy(tmp_path)
    assert not checkpoint.exists()
    assert left_behind(tmp_path, "level-01").exists()
    RunFolder(tmp_path, RUN, resume=True).close()
    assert not checkpoint.exists()
    assert left_behind(tmp_path, "level-02").exists()
    tidy(tmp_path)
    assert checkpoint.exists()


def test_nothing_is_tidied_while_somebody_is_at_work(tmp_path: Path, make_ticket: Callable[..., Ticket]):
    checkpoint = left_behind(tmp_path, "level-01")
    with RunFolder(tmp_path, RUN, resume=True) as folder:
        folder.keep("level-01", make_ticket())
        tidy(tmp_path)
        assert checkpoint.exists()
    tidy(tmp_path / "none")
