"""The lock on a folder: one at a time, across processes and threads, gone with its holder."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticketkit import lock as module
from ticketkit.lock import BusyError, FolderLock, holder_of

HOLD = """
import sys, time
from pathlib import Path
from ticketkit.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder's lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_second_process_is_told_who_is_the_first(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BusyError) as raised:
        FolderLock(tmp_path)
    said = json.loads((tmp_path / ".lock").read_text())
    who = f"process {holder.pid} on {said['host']} has it since {said['since']}"
    assert str(raised.value) == f"a run folder must be used by one run at a time ({who}): {tmp_path}"
    assert holder_of(tmp_path, ".lock") == who
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_goes_with_its_process(holder: subprocess.Popen[str], tmp_path: Path, how: signal.Signals | None) -> None:
    if how is None:
        holder.communicate()
    else:
        holder.send_signal(how)
        holder.wait()
    assert holder_of(tmp_path, ".lock") is None
    with FolderLock(tmp_path), pytest.raises(BusyError, match=f"process {os.getpid()} on "):
        FolderLock(tmp_path)


def test_a_child_that_was_forked_does_not_hold_it(tmp_path: Path) -> None:
    """A decoder of images outlives a killed run by seconds."""
    code = "import os, sys, time\nfrom pathlib import Path\nfrom ticketkit.lock import FolderLock\n"
    code += "held = FolderLock(Path(sys.argv[1]))\npid = os.fork()\n"
    code += "if pid:\n    print(pid, flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert holder_of(tmp_path, ".lock") is not None
        process.kill()
        process.wait()
        try:
            assert holder_of(tmp_path, ".lock") is None
        finally:
            os.kill(child, signal.SIGKILL)


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    said: list[str | None] = []
    with FolderLock(tmp_path):
        thread = threading.Thread(target=lambda: said.append(holder_of(tmp_path, ".lock")))
        thread.start()
        thread.join()
    assert said[0] is not None
    assert holder_of(tmp_path, ".lock") is None


def test_it_may_be_released_twice_and_by_another_thread(tmp_path: Path) -> None:
    held = FolderLock(tmp_path)
    thread = threading.Thread(target=held.release)
    thread.start()
    thread.join()
    held.release()
    FolderLock(tmp_path).release()


def test_locks_of_other_names_and_folders_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with FolderLock(tmp_path), FolderLock(tmp_path, name=".other"), FolderLock(tmp_path / "inner"):
        pass


def test_who_holds_it_need_not_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_A_MOMENT", 0.01)
    with FolderLock(tmp_path):
        (tmp_path / ".lock").write_text("{")
        with pytest.raises(BusyError, match=r"\(another process has it\)"):
            FolderLock(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(RuntimeWarning, match=rf"nothing keeps a second run out of {tmp_path} \({os.strerror(code)}\)"):
        FolderLock(tmp_path).release()


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        FolderLock(tmp_path / "file")
