"""``ticketkit export``: a ticket as another tool's files.

With ``--json`` it prints one document of stable keys: ``format`` (``name`` ``ticketkit-export``, ``version`` ``1.0``),
``kind``, ``source`` (``path``, ``id``), ``files`` (each with ``path`` and ``bytes``) and ``notes``.
"""

from __future__ import annotations

from pathlib import Path

import click

from ticketkit.cli.commands.import_ import InteropCommand, check_kind, warn
from ticketkit.cli.completions import complete_formats
from ticketkit.cli.output import echo, echo_json, fields, percent
from ticketkit.cli.references import TICKET, TicketArgument


@click.command("export", cls=InteropCommand, short_help="Write a ticket as another tool's files.")
@click.argument("kind", callback=check_kind, shell_complete=complete_formats)
@click.argument("ticket", type=TICKET)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="state-dict: write the masks to a file of their own.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(kind: str, ticket: TicketArgument, path: Path, *, mask: Path | None, force: bool, as_json: bool) -> None:
    """Write a ticket as another tool's files, each whole or not at all.

    PATH is a file, or for open-lth a folder. A name that ends in .safetensors makes a safetensors file, any other one
    torch's .pth. What the format cannot hold is noted on standard error.

    \b
    Examples:
      ticketkit export open-lth resnet20.st resnet20-lth
          A folder as open_lth writes it.
      ticketkit export sparse-bitmask resnet20.st resnet20.safetensors
          Sparse weights as compressed-tensors holds them.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_ticket
    from ticketkit.interop import export_ticket

    loaded = load_ticket(ticket.file())
    exported = export_ticket(kind, loaded, path, mask=mask, overwrite=force)
    if as_json:
        echo_json(
            {
                "format": {"name": "ticketkit-export", "version": "1.0"},
                "kind": kind,
                "source": {"path": str(ticket), "id": loaded.id},
                "files": [
                    {"path": click.format_filename(file), "bytes": file.stat().st_size} for file in exported.paths
                ],
                "notes": list(exported.notes),
            }
        )
    else:
        counts = f"{loaded.kept:,} of {loaded.total:,} weights kept, {percent(loaded.sparsity)} sparse"
        pairs = [("network", loaded.arch.name), ("mask", counts)]
        for label, file in zip(["wrote", *[""] * len(exported.paths)], exported.paths, strict=False):
            pairs.append((label, f"{click.format_filename(file)} ({file.stat().st_size:,} bytes)"))
        echo(*fields(pairs))
    warn(exported.notes)
