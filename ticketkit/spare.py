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

    It has no name, only a process that has it open, so the room is free again however that process ends.

    Args:
        folder: Where it lies; on the file system that is to be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def reserve(self, size: int) -> None:
        """Make the file, unless it is there. Where the system cannot reserve room, there is none.

        Args:
            size: Bytes.

        Raises:
            OSError: If there is not so much room.
        """
        if self._descriptor is not None or not hasattr(os, "posix_fallocate"):
            return
        path = self._folder / f".spare.{os.urandom(4).hex()}.tmp"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            path.unlink()
            os.posix_fallocate(descriptor, 0, size)
        except BaseException as error:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NOT_HERE:
                return
            raise
        self._descriptor = descriptor

    def release(self) -> bool:
        """Give the room back; says whether there was any."""
        if self._descriptor is None:
            return False
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):
            os.close(descriptor)
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
