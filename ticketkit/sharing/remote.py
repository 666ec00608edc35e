"""Asking a web server for bytes, with bounds on everything it may do: its redirects, its silence, its slowness.

This is the standard library's HTTP. What ``fsspec`` and its ``aiohttp`` would add, caches and file objects, is not
needed here; what is needed, a say in every redirect and an end to every wait, they do not offer.
"""

from __future__ import annotations

import errno
import http.client
import io
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.parse import SplitResult, urldefrag, urljoin

from ticketkit._version import __version__
from ticketkit.sharing.errors import RemoteError
from ticketkit.sharing.references import check_url, is_this_machine

T = TypeVar("T")

OK, PARTIAL, NOT_MODIFIED, NOT_SATISFIABLE = 200, 206, 304, 416
CHUNK = 2**18
"""The most bytes that are taken from a connection at a time."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_HIDDEN = frozenset({401, 403, 404})
_AWAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ECONNREFUSED, errno.EADDRNOTAVAIL})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


class RefusedError(RemoteError):
    """An answer that says no.

    Attributes:
        is_hidden: Whether it may be that the asker alone is to see nothing.
    """

    is_hidden = False


class TransferError(RemoteError):
    """A transfer that broke off; what came so far is as good as it was."""


class InterruptedTransferError(TransferError):
    """One that broke off for a reason that may pass, so that another try makes sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for, and how often it is asked again.

    Attributes:
        connect: Seconds until there is a connection, for each of a host's addresses.
        silence: Seconds between two bytes of an answer.
        total: Seconds for the whole of it, tries and pauses included.
        tries: How often to ask, the first time included, where an answer breaks off.
        pause: Seconds before the second try; each further pause is twice as long.
        redirects: How many redirects to follow.
    """

    connect: float = 10.0
    silence: float = 15.0
    total: float = 3_600.0
    tries: int = 4
    pause: float = 1.0
    redirects: int = 5

    def __post_init__(self) -> None:
        if min(self.connect, self.silence, self.total) <= 0 or self.tries < 1 or min(self.pause, self.redirects) < 0:
            raise ValueError(f"patience must be of positive times and at least one try (got {self})")


DEFAULT_PATIENCE = Patience()
BRIEF = Patience(total=60.0)
"""For what is small: a ticket's header, an index."""


class Deadline:
    """The moment at which all waiting ends.

    Args:
        seconds: How far away it is.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then; negative after it."""
        return self._end - time.monotonic()


class Answer(AbstractContextManager["Answer"]):
    """A server's answer, its body unread."""

    def __init__(self, response: http.client.HTTPResponse, failure: Callable[[Exception], RemoteError]) -> None:
        self._response = response
        self._failure = failure
        self.status: int = response.status

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._response.close()

    def header(self, name: str) -> str | None:
        """A field of the answer's head; None if it is absent."""
        return self._response.headers.get(name)

    def read(self, most: int) -> bytes:
        """The next bytes of the body, at least one and at most ``most``; none at its end.

        Raises:
            RemoteError: If they do not come.
        """
        try:
            return self._response.read1(most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failure(error) from None

    @property
    def length(self) -> int | None:
        """Bytes of the body, as the server says; None if it does not."""
        found = self.header("Content-Length") or ""
        return int(found) if re.fullmatch("[0-9]{1,19}", found) else None

    @property
    def validator(self) -> str | None:
        """What tells this version of the file from any other, for ``If-Range``; None if nothing does for certain."""
        tag = self.header("ETag") or ""
        if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', tag):  # a weak one, W/"…", is not of bytes
            return tag
        date = self.header("Last-Modified") or ""
        return date if not tag and re.fullmatch(r"[A-Za-z0-9,: +-]{10,60}", date) else None

    def content_range(self, start: int) -> int | None:
        """Check that a partial answer begins where it was asked to.

        Args:
            start: The first byte that was asked for.

        Returns:
            Length of the whole file; None if the server does not say.

        Raises:
            RemoteError: If it begins elsewhere.
        """
        found = self.header("Content-Range") or ""
        match = _CONTENT_RANGE.fullmatch(found)
        if match is None or int(match[1]) != start:
            raise RemoteError(
                f"a server must send the bytes from {start:,} on, as it was asked to (got {found[:80]!r})"
            )
        return None if match[3] == "*" else int(match[3])

    def refused(self) -> RemoteError:
        """What to say of an answer that is none."""
        text = f"a server must give what it is asked for ({self.status} {self._response.reason or ''}".rstrip() + ")"
        if self.status in _WORTH_ANOTHER_TRY:
            return InterruptedTransferError(text)
        error = RefusedError(text)
        error.is_hidden = self.status in _HIDDEN
        return error


def ask(url: str, *, headers: Mapping[str, str] | None = None, patience: Patience, deadline: Deadline) -> Answer:
    """Send a GET request and follow redirects, none of them from HTTPS to HTTP.

    Args:
        url: Where to send it.
        headers: Fields of its head. ``Authorization`` goes to the URL's own host alone.
        patience: How long to wait.
        deadline: When all waiting ends.

    Returns:
        The answer, of any status but a redirect. Whoever gets it closes it.

    Raises:
        InterruptedTransferError: If the connection broke, or the server did not answer in time.
        RemoteError: If there is no such server, or it does what it must not.
    """
    fields = {"User-Agent": f"ticketkit/{__version__}", "Accept-Encoding": "identity"} | dict(headers or {})
    parts = check_url(url)
    for _ in range(patience.redirects + 1):
        answer = _send(url, parts, fields, patience, deadline)
        if answer.status not in _REDIRECTS:
            if (encoding := answer.header("Content-Encoding") or "identity") != "identity":
                answer.__exit__()
                raise RemoteError(f"a server must send a file as it is (got Content-Encoding {encoding[:40]!r})")
            return answer
        answer.__exit__()
        location = answer.header("Location")
        if not location:
            raise RemoteError(f"a redirect must say where to ({answer.status} without a Location)")
        try:
            url = urldefrag(urljoin(url, location)).url
        except ValueError:
            raise RemoteError(f"a redirect must lead to a URL (got {location[:80]!r})") from None
        before, parts = parts, check_url(url)
        if before.scheme == "https" and parts.scheme != "https":
            raise RemoteError(f"a redirect must not lead from https to http (it leads to {parts.hostname})")
        if before.netloc != parts.netloc:
            fields.pop("Authorization", None)
    raise RemoteError(f"a server must redirect at most {patience.redirects} times (it does so again)")


def retried(attempt: Callable[[], T], *, patience: Patience, deadline: Deadline) -> T:
    """What an attempt gives; it is made again, after a pause, where it was interrupted.

    Raises:
        RemoteError: What the last attempt raised.
    """
    for number in range(patience.tries - 1):
        try:
            return attempt()
        except InterruptedTransferError:
            pause = patience.pause * 2**number
            if pause >= deadline.left:
                raise
            time.sleep(pause)
    return attempt()


def _send(url: str, parts: SplitResult, fields: Mapping[str, str], patience: Patience, deadline: Deadline) -> Answer:
    def failure(error: Exception) -> RemoteError:
        return _failure(error, parts.hostname or "", patience, deadline)

    opener = urllib.request.OpenerDirector()  # bare: what follows redirects or judges a status is not in it
    # The environment's proxies, as everywhere; but what is on this machine needs none.
    opener.add_handler(urllib.request.ProxyHandler({} if is_this_machine(parts.hostname or "") else None))
    opener.add_handler(_HttpHandler(patience.silence, deadline))
    opener.add_handler(_HttpsHandler(patience.silence, deadline))
    try:
        wait = max(min(patience.connect, deadline.left), 0.001)
        response = opener.open(urllib.request.Request(url, headers=dict(fields)), timeout=wait)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise failure(error) from None
    return Answer(response, failure)


def _failure(error: Exception, host: str, patience: Patience, deadline: Deadline) -> RemoteError:
    """What to say of an error below HTTP."""
    reason: object = error
    while isinstance(reason, URLError):
        reason = reason.reason
    if deadline.left <= 0:
        return TransferError(f"a transfer must end within {patience.total:,g} seconds (it did not)")
    if isinstance(reason, TimeoutError):
        return InterruptedTransferError(f"a server must answer within {patience.silence:,g} seconds ({host} does not)")
    match reason:
        case socket.gaierror():
            text = f"a server must be reached ({host} is not known here: {reason.strerror}; offline?)"
        case ssl.SSLCertVerificationError():
            text = f"a server must prove who it is ({host}: {reason.verify_message})"
        case OSError() if reason.errno in _AWAY:
            text = f"a server must be reached ({host}: {reason.strerror})"
        case ssl.SSLError() if not isinstance(reason, ssl.SSLEOFError):
            text = f"a server must speak TLS ({host}: {reason.reason})"
        case OSError() | http.client.IncompleteRead():  # RemoteDisconnected is an OSError too
            return InterruptedTransferError(f"a server must keep the connection to the end ({host} cut it)")
        case _:
            text = f"a server must speak HTTP ({host}: {str(reason)[:200] or type(reason).__name__})"
    return RemoteError(text)


class _Watched:
    """A socket as ``http.client`` uses one, in which no wait is longer than the silence that is borne, nor than all."""

    def __init__(self, raw: socket.socket, silence: float, deadline: Deadline) -> None:
        self._raw = raw
        self._silence = silence
        self._deadline = deadline

    def limit(self) -> None:
        left = self._deadline.left
        if left <= 0:
            raise TimeoutError
        self._raw.settimeout(min(self._silence, left))

    def sendall(self, data: bytes) -> None:
        self.limit()
        self._raw.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_WatchedStream(self, self._raw.makefile("rb", buffering=0)))

    def close(self) -> None:
        self._raw.close()


class _WatchedStream(io.RawIOBase):
    """What comes in from a watched socket."""

    def __init__(self, watched: _Watched, stream: io.RawIOBase) -> None:
        self._watched = watched
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._watched.limit()
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, *args: Any, silence: float, deadline: Deadline, **options: Any) -> None:
        super().__init__(*args, **options)
        self._watch = partial(_Watched, silence=silence, deadline=deadline)

    def connect(self) -> None:
        super().connect()
        self.sock = self._watch(self.sock)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same under TLS."""


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, silence: float, deadline: Deadline) -> None:
        super().__init__()
        self._make = partial(_Connection, silence=silence, deadline=deadline)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._make, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, silence: float, deadline: Deadline) -> None:
        super().__init__()
        self._make = partial(_SecureConnection, silence=silence, deadline=deadline)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._make, req, context=ssl.create_default_context())
