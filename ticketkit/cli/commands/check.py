"""``ticketkit check``: whether tickets' files are sound. Plain text, without rich or torch, so that it is quick.

What it prints with ``--json`` is described in ``formats/check-v1.md``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketkit.cli.output import echo, echo_json, percent, printable
from ticketkit.cli.references import TICKET, TicketArgument

if TYPE_CHECKING:
    from ticketkit.bundle import BundleHeader
    from ticketkit.signing import PublicKey

EXIT_BAD = 1
LARGE = 1 << 28
"""Bytes of a file that takes about a second, from which on a bar shows how far it is."""

_ID_SHOWN = slice(len("sha256:"), len("sha256:") + 12)
"""Enough of an id to tell tickets apart, and to leave a line room for the rest; ``--json`` has all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    path: str
    good: bool
    error: str | None = None
    bytes: int | None = None
    id: str | None = None
    architecture: str | None = None
    kept: int | None = None
    total: int | None = None
    sparsity: float | None = None
    signed_by: tuple[str, ...] | None = None


@click.command("check", short_help="Check that tickets' files are sound.")
@click.argument("tickets", metavar="TICKET...", nargs=-1, required=True, type=TICKET)
@click.option(
    "--signer",
    "signer_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Demand a signature by a public key of this file: PEM or OpenSSH. Of several, any one suffices.",
)
@click.option(
    "--signature",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --signer, the signature's file, for one ticket.  [default: the ticket's name and .sig]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as formats/check-v1.md specifies it.")
def command(
    tickets: tuple[TicketArgument, ...], *, signer_files: tuple[Path, ...], signature: Path | None, as_json: bool
) -> None:
    """Read tickets whole, check all that a reader must check, and say of each whether it is sound, in one line.

    That is its layout, its document and the id of that, its network's layers, and each tensor's hash, mask and values.
    Nothing is decoded, and no file is held in memory.

    With --signer, a ticket must be signed as well, and the keys that have signed it stand below its line. Without it,
    signatures are not looked at. Signatures need the extra sign: pip install 'ticketkit[sign]'.

    Exits with 0 if all files are good, with 1 if any is bad.

    \b
    Examples:
      ticketkit check resnet20.st resnet20-to-resnet56.st
          Are both sound?
      ticketkit check resnet20.st --signer alice.pub
          Is it sound, and did Alice sign it?
    """  # noqa: D301 - click wants the backspace itself
    if signature is not None and not signer_files:
        raise click.UsageError("--signature goes with --signer: without a key it vouches for nothing")
    if signature is not None and len(tickets) > 1:
        raise click.UsageError("--signature names one ticket's signature: it does not go with several tickets")
    if signer_files and signature is None and any(ticket.is_remote for ticket in tickets):
        raise click.UsageError("--signer of a ticket elsewhere goes with --signature: nothing lies beside it here")
    signers = _load_signers(signer_files)
    checked = []
    for ticket in tickets:
        checked.append(_check(ticket, signers, signature))
        if not as_json:
            echo(*_lines(checked[-1], signers))
    good = all(file.good for file in checked)
    if as_json:
        version = {"name": "ticketkit-check", "version": "1.1"}
        echo_json({"format": version, "good": good, "files": [asdict(file) for file in checked]})
    if not good:
        sys.exit(EXIT_BAD)


def _load_signers(files: tuple[Path, ...]) -> dict[PublicKey, str]:
    """The keys that may have signed, each with the file it comes from; nothing is imported where there is none."""
    if not files:
        return {}
    from ticketkit.signing import load_public_keys

    signers: dict[PublicKey, str] = {}
    for path in files:
        for key in load_public_keys(path):
            signers.setdefault(key, click.format_filename(path))
    return signers


def _check(named: TicketArgument, signers: Mapping[PublicKey, str], signature: Path | None) -> _Checked:
    from ticketkit.bundle import load_tensors, read_header
    from ticketkit.errors import TicketkitError

    name = str(named)
    signed_by = None
    try:
        path = named.file()
        header = read_header(path)
        with _watched(header) as on_hashed:
            ticket = load_tensors(header, mapped=True, on_hashed=on_hashed)
        if signers:
            from ticketkit.signing import signature_path, verify_id

            _, found = verify_id(ticket.id, signature or signature_path(path), tuple(signers))
            signed_by = tuple(key.fingerprint for key in found)
    except TicketkitError as error:
        return _Checked(path=name, good=False, error=" ".join(printable(str(error)).split()))
    return _Checked(
        path=name,
        good=True,
        bytes=header.file_bytes,
        id=ticket.id,
        architecture=ticket.arch.name,
        kept=ticket.kept,
        total=ticket.total,
        sparsity=ticket.sparsity,
        signed_by=signed_by,
    )


@contextmanager
def _watched(header: BundleHeader) -> Iterator[Callable[[int], None] | None]:
    """A bar for a file that takes a while to read; what draws it is imported only then."""
    if header.file_bytes < LARGE:
        yield None
        return
    from ticketkit.cli.progress import bytes_bar

    done = 0
    lock = threading.Lock()
    with bytes_bar(header.path.name) as advance:

        def add(size: int) -> None:
            nonlocal done
            with lock:
                done += size
                advance(done, header.file_bytes)

        yield add


def _lines(file: _Checked, signers: Mapping[PublicKey, str]) -> list[str]:
    """One line, and for each key that was asked about and has signed another, set in."""
    if file.error is not None or file.sparsity is None or file.id is None:
        return [f"bad   {file.error}"]
    told = f"{file.architecture}, {percent(file.sparsity)} sparse, {file.id[_ID_SHOWN]}"
    lines = [f"good  {printable(file.path)}: {told}"]
    files = {key.fingerprint: name for key, name in signers.items()}
    lines += [f"      signed by {by} ({printable(files[by])})" for by in file.signed_by or ()]
    return lines
