"""Reading what a ticket elsewhere says of itself: its header alone, whatever the size of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from ticketkit.bundle.container import read_container
from ticketkit.bundle.header import BundleHeader, parse_header
from ticketkit.bundle.limits import Limits
from ticketkit.sharing.download import check_pin
from ticketkit.sharing.remote import (
    OK,
    PARTIAL,
    Answer,
    Deadline,
    InterruptedTransferError,
    Patience,
    ask,
    retried,
)

if TYPE_CHECKING:
    from typing import BinaryIO

_LENGTH_BYTES = 8


def fetch_header(
    url: str,
    *,
    name: str,
    headers: Mapping[str, str],
    pin: str | None,
    limits: Limits,
    patience: Patience,
) -> BundleHeader:
    """Ask for the 8 bytes that say how long the header is, then for the header.

    A server that knows no ranges sends the file from its start: then as much is read, and no more.

    Args:
        url: Where the ticket is.
        name: The name that the header's ``path`` is to have.
        headers: Fields of the request's head that say who asks.
        pin: The id that the ticket must have; None for any.
        limits: What the reader is willing to take.
        patience: How long to wait.

    Raises:
        RemoteError: If it cannot be had, or is another ticket's.
        BundleError: If it is no ticket's.
    """
    deadline = Deadline(patience.total)

    def attempt() -> BundleHeader:
        with _RemoteStart(url, headers, patience, deadline) as start:
            container = read_container(cast("BinaryIO", start), start.file_bytes, limits)
        return parse_header(Path(name), container, limits)

    header = retried(attempt, patience=patience, deadline=deadline)
    check_pin(header.id, pin)
    return header


class _RemoteStart:
    """The start of a file elsewhere, each ``read`` the next of its bytes."""

    def __init__(self, url: str, headers: Mapping[str, str], patience: Patience, deadline: Deadline) -> None:
        self._url = url
        self._headers = headers
        self._patience = patience
        self._deadline = deadline
        self._open = ExitStack()
        self._at = 0
        self._answer, self.file_bytes = self._ask(_LENGTH_BYTES, {})
        self._whole = self._answer.status == OK

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(self, size: int) -> bytes:
        if self._at and not self._whole:
            self._open.close()
            validator = self._answer.validator
            self._answer, file_bytes = self._ask(size, {} if validator is None else {"If-Range": validator})
            if self._answer.status == OK or file_bytes != self.file_bytes:
                raise InterruptedTransferError("a file must stay as it is while it is read (it is another one now)")
        content = b""
        while len(content) < size:
            more = self._answer.read(size - len(content))
            if not more:
                raise InterruptedTransferError(f"a server must send what it says ({len(content):,} of {size:,} bytes)")
            content += more
        self._at += size
        return content

    def _ask(self, size: int, condition: Mapping[str, str]) -> tuple[Answer, int | None]:
        """Ask for the next bytes; what comes may be the whole file. Gives the file's length, too, if it is told."""
        fields = {**self._headers, **condition, "Range": f"bytes={self._at}-{self._at + size - 1}"}
        with ExitStack() as until_it_is_sound:
            answer = until_it_is_sound.enter_context(
                ask(self._url, headers=fields, patience=self._patience, deadline=self._deadline)
            )
            if answer.status not in (OK, PARTIAL):
                raise answer.refused()
            file_bytes = answer.length if answer.status == OK else answer.content_range(self._at)
            self._open.push(until_it_is_sound.pop_all())
        return answer, file_bytes
