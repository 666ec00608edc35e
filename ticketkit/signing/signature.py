"""Signatures of tickets: their file, making them, verifying them. ``formats/signature-v1.md`` is the specification.

What is signed are the first two lines of the file itself: the format's name and the ticket's id, which guards the whole
content of the ticket. So a signature says nothing unless the ticket is read whole and its id is found to be right.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ticketkit.atomic import replacing
from ticketkit.bundle import load_ticket
from ticketkit.errors import SignatureError
from ticketkit.signing.keys import PublicKey, need_cryptography
from ticketkit.ticket import Ticket

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MOST_BYTES = 16 * 2**10
MOST_SIGNERS = 64

_MOST_SHOWN = 4
"""Keys that an error names; a file of many is somebody's joke."""

_NAME = "ticketkit-signature-v"
_VERSION = "1"
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_SIGNER = re.compile(r"(ssh-ed25519 [A-Za-z0-9+/]{68}) ([A-Za-z0-9+/]{86}==)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketSignature:
    """What a signature file holds.

    Attributes:
        ticket_id: The id of the ticket that is signed, ``sha256:…``.
        signatures: The 64 bytes of each signer's Ed25519 signature, by the signer's key, in the file's order.

    Raises:
        SignatureError: If the id is none, or there is no signer or more than ``MOST_SIGNERS``.
    """

    ticket_id: str
    signatures: Mapping[PublicKey, bytes]

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.ticket_id):
            raise SignatureError(f"a signature must be of a ticket's id, sha256:… (got {self.ticket_id[:80]!r})")
        if not 1 <= len(self.signatures) <= MOST_SIGNERS:
            raise SignatureError(f"a ticket must have 1 to {MOST_SIGNERS} signers (got {len(self.signatures):,})")

    @classmethod
    def make(cls, ticket_id: str, key: Ed25519PrivateKey) -> Self:
        """Sign an id; the same id and key always give the same bytes."""
        return cls(ticket_id=ticket_id, signatures={PublicKey.of(key): key.sign(signed_message(ticket_id))})

    def encode(self) -> bytes:
        """The content of the file."""
        lines = (
            f"{key.openssh} {base64.b64encode(signature).decode()}\n" for key, signature in self.signatures.items()
        )
        return signed_message(self.ticket_id) + "".join(lines).encode()

    def check(self) -> None:
        """Check every signature with its own key; whose keys these are is another question.

        Raises:
            SignatureError: If one does not hold.
        """
        for key, signature in self.signatures.items():
            if not key.verifies(signature, signed_message(self.ticket_id)):
                raise SignatureError(
                    f"a signature must be what its key makes of the ticket's id (that of {key.fingerprint} is not)"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A ticket with its signature.

    Attributes:
        ticket: The ticket, read whole and found sound.
        signature: Its signature, each signer's found right.
        path: The signature's file.
        signed_by: The keys that were asked about and have signed.
        written: Whether the file was written just now.
    """

    ticket: Ticket
    signature: TicketSignature
    path: Path
    signed_by: tuple[PublicKey, ...]
    written: bool = False


def signed_message(ticket_id: str) -> bytes:
    """The bytes that are signed, which are also how the file begins: the format's name, the id, a line each."""
    return f"{_NAME}{_VERSION}\n{ticket_id}\n".encode()


def signature_path(ticket: Path) -> Path:
    """Where a ticket's signature is looked for: beside it, ``.sig`` added to its name."""
    return ticket.with_name(f"{ticket.name}.sig")


def parse_signature(content: bytes) -> TicketSignature:
    """Read the content of a signature file; only its form is checked, :meth:`TicketSignature.check` does the rest.

    Raises:
        SignatureError: If it breaks a rule of the format, or is of another version; the message names no file.
    """
    if len(content) > MOST_BYTES:
        raise SignatureError(f"a signature file must be of at most {MOST_BYTES:,} bytes (it has more)")
    text = content.decode("ascii", "replace")
    first, *lines = text.split("\n")
    version = re.fullmatch(rf"{_NAME}([1-9][0-9]{{0,3}})", first.removesuffix("\r"))
    if version is None:
        raise SignatureError(f"a signature file must begin with the line {_NAME}{_VERSION} (got {first[:40]!r})")
    if version[1] != _VERSION:
        raise SignatureError(
            f"this reader knows signatures of version {_VERSION} (got {version[1]}); a newer ticketkit may read it"
        )
    if "\r" in text:
        raise SignatureError("the lines of a signature file must end in LF alone (got CR, from a conversion of text)")
    if len(lines) < 3 or lines.pop():  # noqa: PLR2004 - the id, a signer, and nothing after the last LF
        raise SignatureError("a signature file must hold the id and a signer, a whole line each (it is cut short)")
    ticket_id, *signers = lines
    signatures: dict[PublicKey, bytes] = {}
    for number, line in enumerate(signers, start=3):
        if (found := _SIGNER.fullmatch(line)) is None:
            raise SignatureError(
                f"line {number:,} of a signature file must be an OpenSSH Ed25519 key and its signature "
                f"(got {line[:40]!r})"
            )
        key = PublicKey.from_openssh(found[1])
        if key in signatures:
            raise SignatureError(f"a signature file must have every signer once (got {key.fingerprint} again)")
        signatures[key] = base64.b64decode(found[2])
    signature = TicketSignature(ticket_id=ticket_id, signatures=signatures)
    if signature.encode() != content:  # bits that Base64 leaves over at its end
        raise SignatureError("the Base64 of a signature file must be canonical (bits that mean nothing are set)")
    return signature


def read_signature(path: Path) -> TicketSignature:
    """Read a signature file and check each of its signatures with its own key.

    Raises:
        SignatureError: If it cannot be read, breaks a rule of the format, or a signature does not hold; the message
            is one line and names the file.
    """
    with _naming(path):
        return _read(path)


def sign_ticket(
    path: str | os.PathLike[str],
    key: Ed25519PrivateKey,
    *,
    signature: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    mapped: bool = False,
) -> Signed:
    """Read a ticket whole, check it, and sign its id.

    If the signature file is there and is of the same id, the signer is added to it, and whoever signed before stays. A
    signer that is there already changes nothing.

    Args:
        path: The ticket.
        key: The private key.
        signature: The signature's file; beside the ticket by default.
        overwrite: Whether a file that is there and is no signature of this ticket may be replaced.
        mapped: Whether to map the ticket's file instead of reading it; see :func:`~ticketkit.load_ticket`.

    Returns:
        The ticket and its signature, ``signed_by`` being the key's public half.

    Raises:
        BundleError: If the ticket is not sound.
        SignatureError: If a file is in the way, or the signature cannot be written. Nothing is left behind.
    """
    need_cryptography()
    ticket_path = Path(path)
    ticket = load_ticket(ticket_path, mapped=mapped)
    to = signature_path(ticket_path) if signature is None else Path(signature)
    made = TicketSignature.make(ticket.id, key)
    with _naming(to):
        if to.exists() and to.samefile(ticket_path):
            raise SignatureError("a signature must go to a file of its own (got the ticket's)")
        there = _signature_there(to, ticket.id, overwrite=overwrite)
        earlier = {} if there is None else there.signatures
        whole = TicketSignature(ticket_id=ticket.id, signatures={**earlier, **made.signatures})
    written = whole != there
    if written:
        _write(whole, to, overwrite=overwrite or there is not None)
    return Signed(ticket=ticket, signature=whole, path=to, signed_by=tuple(made.signatures), written=written)


def verify_signature(
    path: str | os.PathLike[str],
    signers: Collection[PublicKey],
    *,
    signature: str | os.PathLike[str] | None = None,
    mapped: bool = False,
) -> Signed:
    """Read a ticket whole, check it, and check that one of ``signers`` has signed it.

    Args:
        path: The ticket.
        signers: The keys that are trusted, of which one must have signed.
        signature: The signature's file; beside the ticket by default.
        mapped: Whether to map the ticket's file instead of reading it; see :func:`~ticketkit.load_ticket`.

    Returns:
        The ticket and its signature; ``signed_by`` are those of ``signers`` that have signed.

    Raises:
        BundleError: If the ticket is not sound.
        SignatureError: If there is no signature, or it is damaged, of another ticket, or by other keys.
    """
    ticket_path = Path(path)
    ticket = load_ticket(ticket_path, mapped=mapped)
    where = signature_path(ticket_path) if signature is None else Path(signature)
    found, signed_by = verify_id(ticket.id, where, signers)
    return Signed(ticket=ticket, signature=found, path=where, signed_by=signed_by)


def verify_id(
    ticket_id: str, path: Path, signers: Collection[PublicKey]
) -> tuple[TicketSignature, tuple[PublicKey, ...]]:
    """Check that a signature file is of an id and by one of ``signers``.

    Args:
        ticket_id: The id of a ticket *that was read whole and is sound*; that of any other vouches for nothing.
        path: The signature's file.
        signers: The keys that are trusted.

    Returns:
        The signature, and those of ``signers`` that have signed, in their own order.

    Raises:
        SignatureError: If the file is missing or damaged, of another ticket, or by other keys.
    """
    need_cryptography()
    with _naming(path):
        signature = _read(path)
        _check_id(signature, ticket_id)
        signed_by = tuple(key for key in signers if key in signature.signatures)
        if not signed_by:
            one_of = "one of " if len(signers) > 1 else ""
            trusted, found = _fingerprints(signers), _fingerprints(signature.signatures.keys())
            raise SignatureError(f"a ticket must be signed by {one_of}{trusted} (it is signed by {found})")
    return signature, signed_by


def _fingerprints(keys: Collection[PublicKey]) -> str:
    shown = ", ".join(key.fingerprint for key in islice(keys, _MOST_SHOWN)) or "a key that is trusted"
    return shown if len(keys) <= _MOST_SHOWN else f"{shown} and {len(keys) - _MOST_SHOWN:,} more"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn every error about a signature file's content or access into one line that ends with the file's name."""
    try:
        yield
    except SignatureError as error:
        raise SignatureError(f"{error}: {path}") from None
    except FileNotFoundError:
        raise SignatureError(f"a signed ticket must have a signature file (there is none): {path}") from None
    except OSError as error:
        raise SignatureError(f"a signature must be a readable file ({error.strerror or error}): {path}") from None


def _read(path: Path) -> TicketSignature:
    _check_regular(path.stat())  # before it is opened, since opening a pipe waits for its other end
    with path.open("rb") as file:
        _check_regular(os.fstat(file.fileno()))
        content = file.read(MOST_BYTES + 1)
    signature = parse_signature(content)
    signature.check()
    return signature


def _check_id(signature: TicketSignature, ticket_id: str) -> None:
    if signature.ticket_id != ticket_id:
        raise SignatureError(f"a signature must be of this ticket, {ticket_id} (it is of {signature.ticket_id})")


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SignatureError("a signature must be a regular file (got another kind)")


def _signature_there(path: Path, ticket_id: str, *, overwrite: bool) -> TicketSignature | None:
    """The signature of the same ticket that is there already; ``None`` where there is none, or it may be replaced."""
    if not os.path.lexists(path):
        return None
    try:
        there = _read(path)
        _check_id(there, ticket_id)
    except (SignatureError, OSError) as error:
        if overwrite:
            return None
        if isinstance(error, OSError):
            raise
        raise SignatureError(
            f"a file that is no signature of this ticket must not be overwritten unasked ({error})"
        ) from None
    return there


def _write(signature: TicketSignature, path: Path, *, overwrite: bool) -> None:
    try:
        with replacing(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(signature.encode())
    except FileExistsError:
        raise SignatureError(f"a signature must not be overwritten unasked (a file is there already): {path}") from None
    except OSError as error:
        raise SignatureError(
            f"a signature must be written to a writable place ({error.strerror or error}): {path}"
        ) from None
