"""Writing files so that a reader sees the old content or the new, whole, and never anything between."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path to write to; on a clean exit it becomes ``path``, on any other it is removed.

    The temporary file lies in the same folder, is flushed to the disk before it takes the name, and takes it in
    one step. Without ``overwrite`` the step itself fails if somebody else has taken the name meanwhile.

    Args:
        path: The file's final name.
        overwrite: Whether an existing file may be replaced.

    Yields:
        The temporary path; the file does not exist yet.

    Raises:
        FileExistsError: If ``path`` exists and ``overwrite`` is false.
        OSError: If the folder cannot be written, or the disk is full; its ``filename`` is ``path``.
    """
    if not overwrite and path.exists():
        raise FileExistsError(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        _flush(temporary)
        if overwrite:
            temporary.replace(path)
        else:
            _take_free_name(temporary, path)
        with contextlib.suppress(OSError):  # not every file system lets a folder be flushed; the step is atomic anyway
            _flush(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary), temporary):  # a name that nobody has heard of
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):  # what went wrong before is what there is to say
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, *, older_than: float = 0.0) -> None:
    """Remove the temporary files that killed processes left in a folder.

    One that cannot be removed stays: it is in nobody's way.

    Args:
        folder: The folder; what lies in folders inside it is left alone.
        older_than: Least age in seconds of what is removed; 0 only where nobody else can be writing in the folder.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp", re.DOTALL)


@contextmanager
def flushing(file: BinaryIO) -> Iterator[Callable[[bytes | memoryview], None]]:
    """Give a function that writes to ``file``, and send what it has written to the disk while it goes on writing.

    The disk then works beside the processor, and the flush at the end waits for the rest alone. A file of less than
    ``FLUSH_BYTES`` is left to that flush.

    Args:
        file: A buffered file, open for writing.

    Raises:
        OSError: If writing or flushing fails, the latter on leaving: the system says so only once.
    """
    due, failed = threading.Event(), list[OSError]()
    ended = False

    def flush() -> None:
        while not failed:
            due.wait()
            due.clear()
            if ended:  # asked after clearing: whoever ends it says so first, and is never missed
                return
            try:
                os.fsync(file.fileno())
            except OSError as error:
                failed.append(error)

    thread: threading.Thread | None = None
    waiting = 0

    def write(content: bytes | memoryview) -> None:
        nonlocal thread, waiting
        waiting += file.write(content)
        if waiting >= FLUSH_BYTES:
            waiting = 0
            if thread is None:
                thread = threading.Thread(target=flush)
                thread.start()
            due.set()

    try:
        yield write
    finally:
        ended = True
        if thread is not None:
            due.set()
            thread.join()
    if failed:
        raise failed[0]


FLUSH_BYTES = 4 * 2**20


def write_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write ``text`` as UTF-8 to ``path`` in one step; see :func:`replacing`."""
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _take_free_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the check and the step are two, which is all it offers
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
