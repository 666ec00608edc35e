"""From a reference to a ticket: its file, fetched if it is elsewhere, or its header alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ticketkit.bundle import DEFAULT_LIMITS, BundleHeader, Limits, read_header
from ticketkit.errors import BundleError
from ticketkit.lock import BusyError, FolderLock
from ticketkit.sharing.cache import TicketCache, read_source
from ticketkit.sharing.download import Download, OnProgress, check_pin
from ticketkit.sharing.errors import RemoteError
from ticketkit.sharing.header import fetch_header
from ticketkit.sharing.hub import advice, credentials, file_url
from ticketkit.sharing.references import HubFile, Reference, parse_reference
from ticketkit.sharing.remote import BRIEF, DEFAULT_PATIENCE, Deadline, Patience, RefusedError

ONE_AT_A_TIME = "a ticket must be fetched by one process at a time"


def resolve(
    reference: str | os.PathLike[str] | Reference,
    *,
    cache: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
    patience: Patience = DEFAULT_PATIENCE,
    limits: Limits = DEFAULT_LIMITS,
) -> Path:
    """Give the file of a ticket, fetched into the cache if it is elsewhere.

    What comes is checked as a ticket, and against the reference's id, before it is in the cache. With an id, a ticket
    that is in the cache already is not asked for again; without one, the server is asked whether it still gives the
    same. A download that broke off is gone on with, if the server can do so.

    Args:
        reference: A path, ``https://…`` or ``hf://user/repo/file.st[@revision]``, with or without ``#sha256=…``.
        cache: The cache folder; None for ``TICKETKIT_CACHE``, else ``ticketkit`` in the user's cache folder.
        on_progress: Told the bytes that are there, and those of the whole file, while a file is fetched.
        patience: How long to wait, and how often to ask.
        limits: What the reader is willing to take.

    Returns:
        The path itself, or that of the file in the cache.

    Raises:
        RemoteError: If the reference is none, the ticket cannot be had, or it does not have the id.
        BundleError: If it is no sound ticket. A path without an id is given back unread.
    """
    found = as_reference(reference)
    with naming(found):
        if isinstance(found.place, Path):
            if found.pin is not None:
                check_pin(read_header(found.place, limits=limits).id, found.pin)
            return found.place
        kept = TicketCache(cache)
        if found.pin is not None and (path := kept.find(found.pin)) is not None:
            return path
        url, headers = request_of(found)
        deadline = Deadline(patience.total)
        with _alone(kept, url, patience):
            if found.pin is not None and (path := kept.find(found.pin)) is not None:  # somebody else was quicker
                return path
            download = Download(
                url=url,
                headers=headers,
                pin=found.pin,
                cache=kept,
                limits=limits,
                patience=patience,
                on_progress=on_progress,
            )
            try:
                return download.run(deadline)
            except RemoteError as error:
                raise _with_copy(error, found, kept, url) from None


def read_remote_header(
    reference: str | os.PathLike[str] | Reference,
    *,
    cache: str | os.PathLike[str] | None = None,
    patience: Patience = BRIEF,
    limits: Limits = DEFAULT_LIMITS,
) -> BundleHeader:
    """Read and check what a ticket says of itself; of one that is elsewhere, its header alone is fetched.

    Nothing is fetched where the reference names the id of a ticket that the cache holds.

    Args:
        reference: A path, ``https://…`` or ``hf://user/repo/file.st[@revision]``, with or without ``#sha256=…``.
        cache: The cache folder; None for ``TICKETKIT_CACHE``, else ``ticketkit`` in the user's cache folder.
        patience: How long to wait, and how often to ask.
        limits: What the reader is willing to take.

    Returns:
        The header. The ``path`` of one that was fetched is the file's bare name; there need not be such a file.

    Raises:
        RemoteError: If the reference is none, the ticket cannot be had, or it does not have the id.
        BundleError: If it is no ticket.
    """
    found = as_reference(reference)
    with naming(found):
        if isinstance(found.place, Path):
            header = read_header(found.place, limits=limits)
            check_pin(header.id, found.pin)
            return header
        if found.pin is not None and (path := TicketCache(cache).find(found.pin)) is not None:
            return read_header(path, limits=limits)
        url, headers = request_of(found)
        return fetch_header(url, name=found.name, headers=headers, pin=found.pin, limits=limits, patience=patience)


def as_reference(reference: str | os.PathLike[str] | Reference) -> Reference:
    """A reference, read if it is a text or a path."""
    return reference if isinstance(reference, Reference) else parse_reference(reference)


def request_of(reference: Reference) -> tuple[str, Mapping[str, str]]:
    """The URL of a ticket elsewhere, and the fields of a request's head that say who asks."""
    if isinstance(reference.place, HubFile):
        return file_url(reference.place), credentials()
    return str(reference.place), {}


@contextmanager
def naming(reference: Reference) -> Iterator[None]:
    """Turn every error about something elsewhere into one line that ends with its reference."""
    try:
        yield
    except BundleError as error:
        text = str(error)
        if isinstance(error, RefusedError) and isinstance(reference.place, HubFile) and error.is_hidden:
            text = f"{text}; {advice()}"
        if reference.is_remote or isinstance(error, RemoteError):
            raise type(error)(f"{text}: {reference}") from None
        raise


@contextmanager
def _alone(cache: TicketCache, url: str, patience: Patience) -> Iterator[None]:
    """Hold the lock of a URL, waiting for whoever fetches from it now."""
    try:
        cache.open()
        with FolderLock(cache.sources, rule=ONE_AT_A_TIME, name=f"{cache.key(url)}.lock", patience=patience.total):
            yield
    except BusyError as error:
        raise RemoteError(str(error)) from None
    except OSError as error:
        raise RemoteError(f"the cache folder must be writable ({error.strerror or error}; {cache.folder})") from None


def _with_copy(error: RemoteError, reference: Reference, cache: TicketCache, url: str) -> RemoteError:
    """Say so where the cache has what the URL gave before: it may be what is wanted, which only the user knows."""
    source = read_source(cache.sources / f"{cache.key(url)}.json")
    if reference.pin is None and source is not None and source.id is not None and cache.find(source.id) is not None:
        error.args = (f"{error}; what it gave before is kept: add #{source.id.replace(':', '=')} to use that",)
    return error
