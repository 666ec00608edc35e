"""Tickets as arguments: a path, or a reference to a ticket elsewhere, which is fetched when the command asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.completions import complete_tickets

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ticketkit.bundle import BundleHeader
    from ticketkit.sharing.download import OnProgress
    from ticketkit.sharing.references import Reference

    _ParamType = click.ParamType[Any, Any]
else:
    _ParamType = click.ParamType  # generic since click 8.5 alone

_SIGNS = ("://", "#sha256=")
"""What a reference has that is no mere path; the room that knows all about them is imported only for these."""


def names_ticket(text: str) -> bool:
    """Whether a word that may mean something else, such as an arm, names a ticket."""
    return text.endswith(".st") or any(sign in text for sign in _SIGNS)


class TicketArgument:
    """A ticket as the user named it. Nothing is fetched before :meth:`file` or :meth:`header` asks for it.

    Args:
        text: The reference.

    Raises:
        RemoteError: If it is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._reference: Reference | None = None
        if any(sign in text for sign in _SIGNS):
            from ticketkit.sharing.references import parse_reference

            self._reference = parse_reference(text)
        self._file: Path | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the ticket is on another machine."""
        return self._reference is not None and self._reference.is_remote

    @property
    def name(self) -> str:
        """The ticket's file name, safe to use as one."""
        return Path(self.text).name if self._reference is None else self._reference.name

    @property
    def path(self) -> Path:
        """What stands for the ticket where a path is shown or its name is taken: its path, or its bare file name."""
        if self._reference is None:
            return Path(self.text)
        return Path(self.name) if self._reference.is_remote else Path(str(self._reference))

    def file(self) -> Path:
        """The ticket's file, fetched into the cache the first time if it is elsewhere.

        Raises:
            BundleError: If it cannot be had.
        """
        if self._reference is None:
            return Path(self.text)
        if self._file is None:
            from ticketkit.sharing import resolve

            with download_bar(self.name, shown=self.is_remote) as on_progress:
                self._file = resolve(self._reference, on_progress=on_progress)
        return self._file

    def header(self) -> BundleHeader:
        """What the ticket says of itself; of one that is elsewhere, its header alone is fetched.

        Raises:
            BundleError: If it cannot be had.
        """
        from ticketkit.sharing import read_remote_header

        return read_remote_header(Path(self.text) if self._reference is None else self._reference)

    def __str__(self) -> str:
        """The reference as output shows it."""
        return str(self._reference) if self.is_remote else click.format_filename(self.path)


class TicketType(_ParamType):
    """The type of an argument or option that names a ticket to read; gives a :class:`TicketArgument`."""

    name = "ticket"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TicketArgument:
        """Read a reference; a malformed one is wrong usage."""
        if isinstance(value, TicketArgument):
            return value
        from ticketkit.errors import TicketkitError

        try:
            return TicketArgument(value)
        except TicketkitError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete a path."""
        return complete_tickets(ctx, param, incomplete)


TICKET = TicketType()
TICKET_FILES = click.argument(
    "tickets",
    metavar="TICKET...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=complete_tickets,
)
"""Tickets that must be files of one's own: something is written beside them, or said of where they lie."""


@contextmanager
def download_bar(name: str, *, shown: bool) -> Iterator[OnProgress | None]:
    """A bar with the time left, where there is something to show to somebody; it appears with the first bytes."""
    from ticketkit.cli.progress import bytes_bar, shows_bars

    if not (shown and shows_bars()):
        yield None
        return
    with bytes_bar(name) as advance:
        yield advance
