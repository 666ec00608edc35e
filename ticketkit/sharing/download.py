"""Fetching a ticket into the cache: resumed where it broke off, and in the cache only when all of it is checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ticketkit.bundle.container import read_container
from ticketkit.bundle.header import parse_header
from ticketkit.bundle.limits import Limits
from ticketkit.bundle.reader import load_ticket
from ticketkit.errors import BundleError
from ticketkit.sharing.cache import Source, TicketCache, read_source, write_source
from ticketkit.sharing.errors import RemoteError
from ticketkit.sharing.remote import (
    CHUNK,
    NOT_MODIFIED,
    NOT_SATISFIABLE,
    OK,
    PARTIAL,
    Answer,
    Deadline,
    InterruptedTransferError,
    Patience,
    TransferError,
    ask,
    retried,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

OnProgress = Callable[[int, int], None]
"""Told the bytes that are there, and those of the whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One URL's ticket on its way into the cache. Nobody else may be at the same URL: the caller holds its lock.

    Attributes:
        url: Where it is.
        headers: Fields of the request's head that say who asks.
        pin: The id it must have; None for any.
        cache: Where it goes.
        limits: What the reader is willing to take.
        patience: How long to wait.
        on_progress: Told how far it is.
    """

    url: str
    headers: Mapping[str, str]
    pin: str | None
    cache: TicketCache
    limits: Limits
    patience: Patience
    on_progress: OnProgress | None

    def run(self, deadline: Deadline) -> Path:
        """Fetch the ticket, or find that the one in the cache is still what the URL gives.

        Returns:
            The ticket's file in the cache.

        Raises:
            RemoteError: If it cannot be had, or is not the one it must be. What came so far is kept where the next
                attempt can go on from it.
            BundleError: If it is no sound ticket.
            OSError: If the cache cannot be written.
        """
        return retried(lambda: self._attempt(deadline), patience=self.patience, deadline=deadline)

    @property
    def _part(self) -> Path:
        return self.cache.sources / f"{self.cache.key(self.url)}.part"

    @property
    def _part_source(self) -> Path:
        return self.cache.sources / f"{self.cache.key(self.url)}.part.json"

    @property
    def _source(self) -> Path:
        return self.cache.sources / f"{self.cache.key(self.url)}.json"

    def _attempt(self, deadline: Deadline) -> Path:
        begun = read_source(self._part_source)
        there = self._part.stat().st_size if begun is not None and self._part.exists() else 0
        done = read_source(self._source)
        known = None if done is None or done.id is None else self.cache.find(done.id)
        asked: dict[str, str] = {}
        if begun is not None and there:
            asked = {"Range": f"bytes={there}-", "If-Range": begun.validator}
        elif done is not None and known is not None and self.pin in (None, done.id):
            field = "If-None-Match" if done.validator.startswith('"') else "If-Modified-Since"
            asked = {field: done.validator}
        with ask(self.url, headers={**self.headers, **asked}, patience=self.patience, deadline=deadline) as answer:
            if answer.status == NOT_MODIFIED and known is not None and not there:
                return known
            if answer.status == NOT_SATISFIABLE and there:
                self._part.unlink()
                raise InterruptedTransferError("a file must stay as it is while it is fetched (it is shorter now)")
            if answer.status == PARTIAL and there:
                total = answer.content_range(there)
            elif answer.status == OK:
                there, total = 0, answer.length
                self._begin(answer.validator)
            else:
                raise answer.refused()
            ticket_id = self._receive(answer, there, total)
        return self._finish(ticket_id, answer.validator)

    def _begin(self, validator: str | None) -> None:
        """Forget what came before, and say what comes now before any of it does."""
        self._part.unlink(missing_ok=True)
        self._part_source.unlink(missing_ok=True)
        if validator is not None:
            write_source(self._part_source, Source(validator=validator))

    def _receive(self, answer: Answer, there: int, total: int | None) -> str:
        """Read the header, and if that is sound and the right ticket's, all the rest; say the ticket's id."""
        with self._discarding(), self._part.open("r+b" if there else "w+b") as file:
            incoming = _Incoming(file, answer, there)
            container = read_container(cast("BinaryIO", incoming), total, self.limits)
            header = parse_header(self._part, container, self.limits)
            check_pin(header.id, self.pin)
            if there > container.file_bytes:
                raise RemoteError(f"a file must stay as it is while it is fetched (it is of {there:,} bytes already)")
            while incoming.there < container.file_bytes:
                incoming.more(container.file_bytes - incoming.there)
                if self.on_progress is not None:
                    self.on_progress(incoming.there, container.file_bytes)
            file.flush()
            os.fsync(file.fileno())
        return header.id

    def _finish(self, ticket_id: str, validator: str | None) -> Path:
        """Check the whole file, and take it into the cache."""
        with self._discarding():
            load_ticket(self._part, mapped=True, limits=self.limits)
        place = self.cache.take_in(self._part, ticket_id)
        self._part_source.unlink(missing_ok=True)
        self._source.unlink(missing_ok=True)
        if validator is not None:
            write_source(self._source, Source(validator=validator, id=ticket_id))
        return place

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Throw away what cannot become a sound ticket by going on, and do not name a file that nobody has heard of."""
        try:
            yield
        except TransferError:
            raise
        except BundleError as error:
            self._part.unlink(missing_ok=True)
            self._part_source.unlink(missing_ok=True)
            raise type(error)(str(error).removesuffix(f": {self._part}")) from None


class _Incoming:
    """A file that grows at its end by what a server sends, read from its start."""

    def __init__(self, file: BufferedRandom, answer: Answer, there: int) -> None:
        self._file = file
        self._answer = answer
        self._at = 0
        self.there = there
        file.seek(0, os.SEEK_END)

    def more(self, most: int) -> None:
        """Take the next bytes, at most so many."""
        content = self._answer.read(min(most, CHUNK))
        if not content:
            raise InterruptedTransferError(f"a server must send the whole file (it stopped after {self.there:,} bytes)")
        self._file.write(content)
        self.there += len(content)

    def read(self, size: int) -> bytes:
        """The next bytes from the start, waited for where they are not there yet."""
        while self.there < self._at + size:
            self.more(self._at + size - self.there)
        self._file.seek(self._at)
        content = self._file.read(size)
        self._at += size
        self._file.seek(0, os.SEEK_END)
        return content


def check_pin(found: str, pin: str | None) -> None:
    """Refuse a ticket that is not the one that was asked for.

    Raises:
        RemoteError: If it is not.
    """
    if pin not in (None, found):
        raise RemoteError(f"the ticket must have the id that its reference names, {pin} (it has {found})")
