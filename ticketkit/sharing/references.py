"""References: where a ticket is, in one string.

A path, ``https://host/file.st``, or ``hf://user/repo/file.st`` with ``@revision`` behind it where it is to be another
than ``main``. Behind each of them ``#sha256=`` and 64 hexadecimal digits may say which ticket it must be.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from ticketkit.reading import shown
from ticketkit.sharing.errors import RemoteError

DEFAULT_REVISION = "main"
LONGEST = 4_000
"""The most characters of a reference that is no path."""

_PIN = "#sha256="
_PINNED = re.compile(r"#sha256=([0-9A-Fa-f]{64})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(r"(?![.-])(?!.*(\.\.|--))[A-Za-z0-9._-]{1,96}(?<![.-])")
_REVISION = re.compile(r"(?![./])(?!.*(\.\.|//))[A-Za-z0-9._/-]{1,200}(?<![./])")
_PART = re.compile(r"[A-Za-z0-9._+=,@ -]{1,200}")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a repository on the Hugging Face Hub.

    Attributes:
        repo: The repository, ``user/name``.
        path: The file in it.
        revision: Branch, tag or commit.
    """

    repo: str
    path: str
    revision: str = DEFAULT_REVISION


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where a ticket is.

    Attributes:
        text: The reference as it was given.
        place: A path, a URL, or a file on the Hub.
        pin: The id that the ticket must have, ``sha256:…``; None for any.
    """

    text: str
    place: Path | str | HubFile
    pin: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the ticket is on another machine."""
        return not isinstance(self.place, Path)

    @property
    def name(self) -> str:
        """The ticket's file name, safe to use as one."""
        if isinstance(self.place, Path):
            return self.place.name
        path = self.place.path if isinstance(self.place, HubFile) else unquote(urlsplit(self.place).path)
        name = re.sub(r"[^A-Za-z0-9._+=,@-]", "_", path.rpartition("/")[2]).lstrip(".-")[-_LONGEST_NAME:]
        return name or "ticket.st"

    def __str__(self) -> str:
        """The reference as messages show it: without what a URL asks behind ``?``, which may be a secret."""
        if isinstance(self.place, str):
            return public_url(self.place)
        return str(self.place) if isinstance(self.place, Path) else self.text.partition("#")[0]


def parse_reference(text: str | os.PathLike[str]) -> Reference:
    """Read a reference.

    Args:
        text: A path, ``https://…``, ``http://…`` of this machine alone, or ``hf://user/repo/file.st[@revision]``; any
            of them may end in ``#sha256=`` and 64 hexadecimal digits. A :class:`~pathlib.Path` is always a path.

    Raises:
        RemoteError: If it is none of these.
    """
    if not isinstance(text, str):
        return Reference(text=os.fspath(text), place=Path(text))
    place, pin = _split_pin(text)
    scheme = _SCHEME.match(place)
    if scheme is None:
        return Reference(text=text, place=Path(place), pin=pin)
    if len(text) > LONGEST:
        raise RemoteError(f"a reference must have at most {LONGEST:,} characters (got {len(text):,})")
    match scheme[1].lower():
        case "https" | "http":
            check_url(place)
            return Reference(text=text, place=place, pin=pin)
        case "hf":
            return Reference(text=text, place=parse_hub_file(place), pin=pin)
        case other:
            raise RemoteError(f"a reference must be a path, https:// or hf:// (got {other}://): {text}")


def check_url(url: str) -> SplitResult:
    """Check that a URL may be asked: by HTTPS, or by HTTP on this machine, with nothing secret in its host.

    Returns:
        Its parts.

    Raises:
        RemoteError: If it may not.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise RemoteError(f"a URL must be of printable ASCII, all else percent-encoded (got {shown(url)})")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RemoteError(f"a URL must be sound ({error}): {url.partition('?')[0]}") from None
    if parts.username is not None or parts.password is not None:
        raise RemoteError("a URL must hold no user or password: others see them in the list of processes")
    where = public_url(url)
    if parts.scheme not in {"http", "https"}:
        raise RemoteError(f"a URL must be https:// (got {parts.scheme}://): {where}")
    if not host:
        raise RemoteError(f"a URL must name a host (got none): {where}")
    if parts.scheme == "http" and not is_this_machine(host):
        raise RemoteError(f"a URL must be https://, and http:// is for this machine alone (got host {host}): {where}")
    if parts.fragment:
        raise RemoteError(f"behind # a URL must have sha256= and 64 hexadecimal digits (got {shown(parts.fragment)})")
    return parts


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address is the loopback's; no name server is asked."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def public_url(url: str) -> str:
    """A URL as messages show it, without what stands behind ``?``."""
    shortened, asked, _ = url.partition("?")
    return f"{shortened}?…" if asked else shortened


def parse_hub_file(text: str) -> HubFile:
    """Read ``hf://user/repo/path/file.st[@revision]``.

    Raises:
        RemoteError: If it is something else.
    """
    rest, at, revision = text.partition("://")[2].rpartition("@")
    if not at:
        rest, revision = revision, DEFAULT_REVISION
    repo, name, path = _split_repo(rest)
    parts = path.split("/")
    if not (
        _NAME.fullmatch(repo)
        and _NAME.fullmatch(name)
        and _REVISION.fullmatch(revision)
        and all(_PART.fullmatch(part) and part.strip(".") for part in parts)
    ):
        raise RemoteError(f"a file on the Hub must be hf://user/repo/file.st[@revision] (got {shown(text)})")
    return HubFile(repo=f"{repo}/{name}", path=path, revision=revision)


def parse_hub_repo(text: str) -> str:
    """Read ``hf://user/repo``, or ``user/repo``.

    Returns:
        ``user/repo``.

    Raises:
        RemoteError: If it is something else.
    """
    user, name, path = _split_repo(text.removeprefix("hf://").rstrip("/"))
    if path or not (_NAME.fullmatch(user) and _NAME.fullmatch(name)):
        raise RemoteError(f"a repository on the Hub must be hf://user/repo (got {shown(text)})")
    return f"{user}/{name}"


def _split_repo(text: str) -> tuple[str, str, str]:
    user, _, rest = text.partition("/")
    name, _, path = rest.partition("/")
    return user, name, path


def _split_pin(text: str) -> tuple[str, str | None]:
    place, found, digits = text.rpartition(_PIN)
    if not found:
        return text, None
    if not _PINNED.fullmatch(found + digits):
        raise RemoteError(f"behind {_PIN} there must be 64 hexadecimal digits (got {shown(digits)})")
    return place, f"sha256:{digits.lower()}"
