"""What the tests on Ray share: what a study's folder holds, and the killing of its workers."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

CLOCKS = {"seconds", "images_per_second", "peak_memory"}


@pytest.fixture(scope="session", autouse=True)
def _own_token() -> Iterator[None]:
    """Have the clusters of the tests guarded by a token of their own, instead of one that Ray keeps in the user's home.

    Ray uses a token at an address that is given to it only where it is told to, which ``RAY_AUTH_MODE`` does.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, Any]]:
    """What a study's folder holds, but for what the clock and the memory say."""

    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: still(member) for name, member in value.items() if name not in CLOCKS}
        return [still(member) for member in value] if isinstance(value, list) else value

    def read(folder: Path) -> dict[str, Any]:
        paths = [path for kind in ("find", "train", "connect") for path in (folder / kind).glob("[!.]*.json")]
        return {str(path.relative_to(folder)): still(json.loads(path.read_text())) for path in paths}

    return read


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended meanwhile
        return b""


def _descendants(root: int) -> dict[int, bytes]:
    """Processes below one, with their command lines."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if fields := _read(path).rpartition(b")")[2].split():
            parents[int(path.parent.name)] = int(fields[1])
    found: dict[int, bytes] = {}
    for pid in parents:
        above, steps = pid, 0
        while above in parents and above != root and steps < len(parents):
            above, steps = parents[above], steps + 1
        if above == root and pid != root:
            found[pid] = _read(Path(f"/proc/{pid}/cmdline"))
    return found


@pytest.fixture(scope="session")
def descendants() -> Callable[[int], dict[int, bytes]]:
    """Processes below one, with their command lines."""
    return _descendants


def _workers(root: int) -> list[int]:
    """Those that do a task of a study: Ray names a worker after what it does for as long as it does it."""
    return [pid for pid, command in _descendants(root).items() if command.startswith(b"ray::_do")]


class _Killer(threading.Thread):
    def __init__(self, root: int, most: int) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.most = most
        self.killed: list[int] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while len(self.killed) < self.most and not self.ended.wait(0.5):
            for pid in _workers(self.root)[:1]:
                os.kill(pid, signal.SIGSTOP)  # or its task might be done before it is killed
                if pid in _workers(self.root):
                    self.killed.append(pid)
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def killing() -> Callable[..., AbstractContextManager[list[int]]]:
    """Kill workers below a process in the middle of a task, one at a time, as a machine's loss would.

    ``with killing(pid, most=3) as killed:`` gives the list that those killed are added to.
    """

    @contextmanager
    def kill(root: int, most: int) -> Iterator[list[int]]:
        killer = _Killer(root, most)
        killer.start()
        yield killer.killed
        killer.ended.set()
        killer.join()

    return kill
