"""Paths at which no readable file is, or one of absurd length."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from bundles.sound import BASE

Put = Callable[[Path], object]
"""Puts something at a path."""


def places() -> dict[str, Put]:
    """Paths at which no readable file is, or one of absurd length."""

    def sparse(length: int, start: bytes = b"") -> Put:
        def put(path: Path) -> None:
            path.write_bytes(start)
            os.truncate(path, length)

        return put

    def listen(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has at most 107 bytes
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)

    return {
        "missing": lambda path: None,
        "folder": lambda path: path.mkdir(),
        "pipe": os.mkfifo,
        "socket": listen,
        "link-to-itself": lambda path: path.symlink_to(path.name),
        "link-to-nothing": lambda path: path.symlink_to("nothing-is-here"),
        "link-to-a-pipe": link_to_pipe,
        "link-to-the-null-device": lambda path: path.symlink_to("/dev/null"),
        "link-to-endless-zeros": lambda path: path.symlink_to("/dev/zero"),
        "sparse-file-of-70-gibibytes": sparse(70 * 2**30, BASE),
        "sparse-header-of-60-gibibytes": sparse(60 * 2**30, struct.pack("<Q", 60 * 2**30 - 8)),
        "sparse-data-of-60-gibibytes": sparse(60 * 2**30, BASE),
    }


def link_to_pipe(path: Path) -> None:
    """A link to a pipe, which to open would wait for ever."""
    pipe = path.with_suffix(".fifo")
    os.mkfifo(pipe)
    path.symlink_to(pipe.name)
