"""The right to work in a folder alone, which ends with the process that has it, however that ends.

It is the system's own lock on a file of the folder, ``.lock``. The file stays when the lock is gone, and means nothing
then; while it is held, it says who holds it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec
from filelock import FileLock, Timeout

from ticketkit.errors import RunError

LOCK_FILE = ".lock"
ONE_AT_A_TIME = "a run folder must be used by one run at a time"


class BusyError(RunError):
    """A folder in which another run is at work.

    Args:
        rule: What must hold, as the message begins.
        folder: The folder.
        holder: Who has it and since when, in words; empty if that is not known.
    """

    def __init__(self, rule: str, folder: Path, holder: str) -> None:
        super().__init__(f"{rule} ({holder or 'another process has it'}): {folder}")
        self.folder = folder
        self.holder = holder


class FolderLock:
    """A lock on a folder, held from here on until :meth:`release`, or the end of the process.

    A file system without locks gives none: a warning says so, and nothing keeps a second run out.

    Args:
        folder: The folder; it must exist.
        rule: What the lock is there for, as messages begin.
        name: Name of the file that is locked.
        patience: How long to try, in seconds; for a lock that others hold for a moment only.

    Raises:
        BusyError: If another holds it, of this process or any other on any machine that shares the file system.
        OSError: If the file cannot be made.
    """

    def __init__(
        self, folder: Path, *, rule: str = ONE_AT_A_TIME, name: str = LOCK_FILE, patience: float = 0.0
    ) -> None:
        path = folder / name
        # A lock of the open file (flock), so that threads of one process exclude each other too. Where there is none,
        # no stand-in of filelock's: that is a mere file, and would outlive a killed process.
        self._lock = FileLock(path, thread_local=False, fallback_to_soft=False)
        try:
            self._lock.acquire(timeout=patience)
        except Timeout:
            raise BusyError(rule, folder, _holder(path)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(f"nothing keeps a second run out of {folder} ({error.strerror})", RuntimeWarning, 2)
            return
        with contextlib.suppress(OSError):  # a full disk: who holds it is good to know, no more
            path.write_text(_ourselves(), encoding="utf-8")

    def release(self) -> None:
        """Let others work in the folder. Once is enough, twice does no harm."""
        self._lock.release()

    def __enter__(self) -> Self:
        """The lock itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.release()


def holder_of(folder: Path, name: str) -> str | None:
    """Who holds a lock of a folder now, in words, empty if that is not known; None if nobody does.

    To ask is to hold it for a moment, so whoever asks at the same time is given another second.

    Args:
        folder: The folder.
        name: Name of the file that is locked, which must exist.

    Raises:
        OSError: If the file cannot be opened.
    """
    try:
        FolderLock(folder, name=name, patience=_A_MOMENT).release()
    except BusyError as error:
        return error.holder
    return None


_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
_A_MOMENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    process: int
    host: str
    since: str


def _ourselves() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now}) + "\n"


def _holder(path: Path) -> str:
    """Who says in the file that he holds it, in words; empty if nobody does."""
    for _ in range(_LOOKS):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Holder)
        except (OSError, msgspec.MsgspecError):
            time.sleep(_A_MOMENT / _LOOKS)  # it is about to be written
        else:
            return f"process {found.process} on {found.host} has it since {found.since}"
    return ""


_LOOKS = 5
