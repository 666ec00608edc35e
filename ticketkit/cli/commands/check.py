"""``ticketkit check``: whether tickets' files are sound. Plain text, without rich or torch, so that it is quick.

What it prints with ``--json`` is described in ``formats/check-v1.md``.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from ticketkit.cli.output import echo, echo_json, percent, printable

EXIT_BAD = 1


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


@click.command("check", short_help="Check that tickets' files are sound.")
@click.argument("tickets", metavar="TICKET...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as formats/check-v1.md specifies it.")
def command(tickets: tuple[Path, ...], *, as_json: bool) -> None:
    """Read tickets whole, check all that a reader must check, and say of each whether it is sound, in one line.

    That is its layout, its document and the id of that, its network's layers, and each tensor's hash, mask and values.
    Nothing is decoded, and no file is held in memory. Exits with 1 if any file is bad.

    \b
    ticketkit check *.st
    """  # noqa: D301 - click wants the backspace itself
    checked = []
    for path in tickets:
        checked.append(_check(path))
        if not as_json:
            echo(_line(checked[-1]))
    good = all(file.good for file in checked)
    if as_json:
        version = {"name": "ticketkit-check", "version": "1.0"}
        echo_json({"format": version, "good": good, "files": [asdict(file) for file in checked]})
    if not good:
        sys.exit(EXIT_BAD)


def _check(path: Path) -> _Checked:
    from ticketkit.bundle import load_tensors, read_header
    from ticketkit.errors import TicketkitError

    name = click.format_filename(path)
    try:
        header = read_header(path)
        ticket = load_tensors(header, mapped=True)
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
    )


def _line(file: _Checked) -> str:
    if file.error is not None or file.sparsity is None:
        return f"bad   {file.error}"
    return f"good  {printable(file.path)}: {file.architecture}, sparsity {percent(file.sparsity)}, {file.id}"
