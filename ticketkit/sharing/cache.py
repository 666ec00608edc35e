"""Where fetched tickets are kept: by their ids, so that one that is there need not be asked for again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ticketkit.atomic import remove_leftovers, replacing, write_text
from ticketkit.bundle import read_header
from ticketkit.cache_folder import VARIABLE, cache_folder
from ticketkit.errors import BundleError
from ticketkit.provenance import Sha256
from ticketkit.reading import read_bytes
from ticketkit.sharing.errors import RemoteError

ABANDONED = 7 * 24 * 3600.0
"""Seconds after which a download that nobody goes on with is removed."""

_DAY = 24 * 3600.0
_SMALL = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is known of a URL.

    Attributes:
        validator: What tells the version of its file that was fetched, or is being fetched, from others.
        id: Id of the ticket that it gave; None for one that is on its way.
    """

    validator: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[\x20-\x7e]+$(?!\n)")]
    id: Sha256 | None = None


class TicketCache:
    """A folder of fetched tickets. Anything in it may be removed at any time, as long as no command is running.

    Args:
        folder: The folder; None for the one that the environment's ``TICKETKIT_CACHE`` names, else ``ticketkit`` in the
            user's cache folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder: Path = Path(folder) if folder is not None else default_folder()
        self._tickets = self.folder / "tickets"
        self.sources: Path = self.folder / "sources"

    def path_of(self, ticket_id: str) -> Path:
        """Where a ticket is, or would be."""
        return self._tickets / f"{ticket_id.removeprefix('sha256:')}.st"

    def find(self, ticket_id: str) -> Path | None:
        """A ticket that is there; its tensors are checked by whoever reads them."""
        path = self.path_of(ticket_id)
        with contextlib.suppress(BundleError):
            if read_header(path).id == ticket_id:
                return path
        return None

    def open(self) -> None:
        """Make the folders, and remove what was given up in them long ago.

        Raises:
            OSError: If they cannot be made.
        """
        for folder in (self._tickets, self.sources):
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder, older_than=_DAY)
        with contextlib.suppress(OSError):
            for path in self.sources.glob("*.part"):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()

    def key(self, url: str) -> str:
        """What a URL's files are called: its hash, since a URL may hold a secret."""
        return hashlib.sha256(url.encode()).hexdigest()[:32]

    def take_in(self, path: Path, ticket_id: str) -> Path:
        """Move a checked file to its place, in one step.

        Raises:
            OSError: If it cannot be moved.
        """
        place = self.path_of(ticket_id)
        if self.find(ticket_id) is None:
            with replacing(place, overwrite=True) as temporary:
                path.replace(temporary)
        path.unlink(missing_ok=True)
        return place


def read_source(path: Path) -> Source | None:
    """What a file of :class:`Source` says; None if it is not there or damaged, which costs a download."""
    try:
        return msgspec.json.decode(read_bytes(path, most=_SMALL), type=Source)
    except (OSError, msgspec.MsgspecError):
        return None


def write_source(path: Path, source: Source) -> None:
    """Keep what is known of a URL."""
    write_text(path, msgspec.json.encode(source).decode(), overwrite=True)


def default_folder() -> Path:
    """The user's cache folder; see :func:`ticketkit.cache_folder.cache_folder`.

    Raises:
        RemoteError: If the user has no home.
    """
    if (folder := cache_folder()) is None:
        raise RemoteError(f"a cache folder must be known (there is no home): {VARIABLE} names one")
    return folder
