from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ticketkit import atomic
from ticketkit.atomic import flushing, replacing, write_text


class Crash(BaseException):
    """What a killed program looks like from inside."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def crash(error: type[BaseException]) -> NoReturn:
    raise error


def write_then(path: Path, meanwhile: Callable[[], object], *, overwrite: bool = False) -> None:
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text("mine")
        meanwhile()


def write_flushing(path: Path, meanwhile: Callable[[], object]) -> None:
    with path.open("wb") as file, flushing(file) as write:
        write(b"x" * 10)
        meanwhile()


def refuse(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("overwrite", [False, True])
def test_writes_a_new_file_and_leaves_nothing_else(tmp_path: Path, overwrite: bool) -> None:
    write_text(tmp_path / "a.txt", "é\n", overwrite=overwrite)
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_replaces_a_file_when_asked(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "new", overwrite=True)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_does_not_replace_a_file_unasked(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [Crash, ValueError, KeyboardInterrupt])
def test_a_crash_in_the_middle_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException], overwrite: bool
) -> None:
    (tmp_path / "old.txt").write_text("old")
    path = tmp_path / ("old.txt" if overwrite else "new.txt")
    with pytest.raises(error):
        write_then(path, lambda: crash(error), overwrite=overwrite)
    assert (tmp_path / "old.txt").read_text() == "old"
    assert names(tmp_path) == ["old.txt"]


def test_the_old_file_is_whole_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent, "a rename is one step only inside one file system"
    assert path.read_text() == "new"


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(FileExistsError):
        write_then(path, lambda: path.write_text("theirs"))
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", lambda *_, **__: refuse(errno.EPERM))
    path = tmp_path / "a.txt"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]
    with pytest.raises(FileExistsError):
        write_then(tmp_path / "b.txt", lambda: (tmp_path / "b.txt").write_text("theirs"))
    assert (tmp_path / "b.txt").read_text() == "theirs"
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_content_is_flushed_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    flush, link, rename = os.fsync, os.link, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("flush"), flush(descriptor)))
    monkeypatch.setattr(os, "link", lambda *paths: (steps.append("name"), link(*paths)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (steps.append("name"), rename(*paths))[1])
    write_text(tmp_path / "a.txt", "one")
    assert steps == ["flush", "name", "flush"], "the file, its name, then the folder that holds the name"
    steps.clear()
    write_text(tmp_path / "a.txt", "two", overwrite=True)
    assert steps == ["flush", "name", "flush"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_disk_that_cannot_flush_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    (tmp_path / "old.txt").write_text("old")
    path = tmp_path / ("old.txt" if overwrite else "new.txt")
    monkeypatch.setattr(os, "fsync", lambda _: refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_text(path, "new", overwrite=overwrite)
    assert (tmp_path / "old.txt").read_text() == "old"
    assert names(tmp_path) == ["old.txt"]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = atomic._flush
    monkeypatch.setattr(atomic, "_flush", lambda path: refuse(errno.EINVAL) if path.is_dir() else flush(path))
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]


def test_a_rename_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", lambda *_: refuse(errno.EROFS))
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        write_text(path, "new", overwrite=True)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "none" / "a.txt", "new")
    assert names(tmp_path) == []


def test_two_writers_have_two_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path, overwrite=True) as one, replacing(path, overwrite=True) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one", "the last to finish has the name"
    assert names(tmp_path) == ["a.txt"]


def test_what_is_written_while_it_is_flushed_is_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "FLUSH_BYTES", 10)
    flushed = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(descriptor), flush(descriptor)))
    parts = [bytes([number]) * number for number in range(100)]
    before = threading.active_count()
    with (tmp_path / "a").open("wb") as file, flushing(file) as write:
        for part in parts:
            write(memoryview(part))
        while not flushed:
            time.sleep(0.001)
    assert (tmp_path / "a").read_bytes() == b"".join(parts)
    assert threading.active_count() == before


def test_a_small_file_is_left_to_the_last_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: refuse(errno.EIO))
    with (tmp_path / "a").open("wb") as file, flushing(file) as write:
        write(b"x" * 100)
    assert (tmp_path / "a").read_bytes() == b"x" * 100


def test_an_error_of_a_flush_beside_the_writing_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "FLUSH_BYTES", 10)
    tried = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: (tried.set(), refuse(errno.EIO)))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_flushing(tmp_path / "a", tried.wait)


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt, ValueError])
def test_a_crash_while_writing_ends_the_flushing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(atomic, "FLUSH_BYTES", 10)
    before = threading.active_count()
    with pytest.raises(error):
        write_flushing(tmp_path / "a", lambda: crash(error))
    assert threading.active_count() == before
