"""Room on the disk that is kept for what must not be lost: hours of training, when the disk has filled up meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from ticketkit.errors import TicketkitError


class Spare:
    """A file that holds nothing but its size, and makes room for another when there is none left.

    Its name is that of a temporary file, so what a killed process leaves is removed with those.

    Args:
        folder: Where it lies; on the file system that is to be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def reserve(self, size: int) -> None:
        """Make the file, unless it is there. Where the system cannot reserve room, there is none.

        Args:
            size: Bytes.

        Raises:
            OSError: If there is not so much room.
        """
        if self._path is not None or not hasattr(os, "posix_fallocate"):
            return
        path = self._folder / f".spare.{os.urandom(4).hex()}.tmp"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except BaseException as error:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NOT_HERE:
                return
            raise
        self._path = path

    def release(self) -> bool:
        """Give the room back; says whether there was any."""
        if self._path is None:
            return False
        with contextlib.suppress(OSError):  # the folder is gone, or may not be written: so is the room
            self._path.unlink(missing_ok=True)
        self._path = None
        return True

    def used_by(self, write: Callable[[], object]) -> bool:
        """Write something, if need be a second time, to the room that is given back for it.

        Args:
            write: Writes it; raises what is raised here if it cannot, and has then changed nothing.

        Returns:
            Whether the room had to be given back.
        """
        try:
            write()
        except (OSError, TicketkitError):
            if not self.release():
                raise
        else:
            return False
        write()
        return True


_NOT_HERE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
