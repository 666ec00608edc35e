"""``ticketkit import``: a ticket of another tool's files.

With ``--json`` it prints one document of stable keys: ``format`` (``name`` ``ticketkit-import``, ``version`` ``1.0``),
``kind``, ``source`` (the file of the weights), ``path``, ``id``, ``architecture``, ``num_classes``, ``in_channels``,
``kept``, ``total``, ``sparsity``, ``weights`` (``role``, ``step``), ``level`` and ``notes``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.completions import complete_formats, complete_networks
from ticketkit.cli.output import echo, echo_json, fields, percent
from ticketkit.errors import BundleError

if TYPE_CHECKING:
    from ticketkit.interop import Imported, Role


def check_kind(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Refuse a format that is not registered; the registry is read here, so that the group's own help stays quick."""
    from ticketkit.interop import FORMATS

    try:
        FORMATS[value]
    except BundleError as error:
        raise click.BadParameter(str(error)) from None
    return value


class InteropCommand(click.Command):
    """A command whose help ends with the formats that are registered."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the formats with what each is."""
        from ticketkit.interop import FORMATS

        with formatter.section("Kinds"):
            formatter.write_dl([(name, fmt.summary) for name, fmt in FORMATS.items()])


@click.command("import", cls=InteropCommand)
@click.argument("kind", callback=check_kind, shell_complete=complete_formats)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="The ticket.  [default: NAME.st]")
@click.option(
    "--arch",
    metavar="NAME",
    shell_complete=complete_networks,
    help="The network, such as resnet20-w8, where the files do not say it.",
)
@click.option(
    "--weights",
    type=click.Choice(["rewind", "final", "init"]),
    help="open-lth: which to take. Others: which they are.  [default: rewind of open-lth, else final]",
)
@click.option("--step", type=click.IntRange(min=0), help="Training step of the weights, where the files do not say it.")
@click.option(
    "--mask", type=click.Path(path_type=Path), metavar="FILE", help="state-dict: the masks. Without: zeros are pruned."
)
@click.option("--force", is_flag=True, help="Replace the ticket if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    kind: str,
    path: Path,
    *,
    out: Path | None,
    arch: str | None,
    weights: Role | None,
    step: int | None,
    mask: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a ticket of another tool's files. Nothing in them is executed.

    Files that end in .safetensors are read as such, all others as torch's .pth. Classes and input channels of the
    network are those of the tensors. The ticket is written to --out; what the files do not say is noted on standard
    error.

    \b
    Examples:
      ticketkit import open-lth lottery_75db/replicate_1/level_3/main -o t.st
          A level's folder of open_lth.
      ticketkit import state-dict model.pth --mask mask.pth --arch resnet20
          Any state dict, with its masks, of a network that ticketkit knows.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import save_ticket
    from ticketkit.interop import import_ticket

    if out is not None:
        _check_free(out, force=force)
    imported = import_ticket(kind, path, arch=arch, weights=weights, step=step, mask=mask)
    out = out or Path(f"{imported.ticket.arch.short_name}.st")
    _check_free(out, force=force)
    save_ticket(imported.ticket, out, overwrite=force)
    if as_json:
        echo_json(_as_json(kind, imported, out))
    else:
        echo(*fields(_summary(imported, out)))
    warn(imported.notes)


def warn(notes: tuple[str, ...]) -> None:
    """Say on standard error what a format could not carry."""
    for note in notes:
        click.secho(f"warning: {note}", err=True, dim=True)


def _check_free(out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise BundleError(f"a ticket must not be overwritten without --force (a file is there already): {out}")


def _summary(imported: Imported, out: Path) -> list[tuple[str, str]]:
    ticket = imported.ticket
    arch, weights, level = ticket.arch, ticket.weights, ticket.provenance.level
    counts = f"{ticket.kept:,} of {ticket.total:,} weights kept, {percent(ticket.sparsity)} sparse"
    step = "" if weights.step is None else f", training step {weights.step:,}"
    return [
        ("read", click.format_filename(imported.source)),
        ("network", f"{arch.name}: {arch.ends}"),
        ("mask", counts),
        ("found by", ticket.provenance.method + ("" if level is None else f", level {level}")),
        ("weights", f"{weights.role}{step}"),
        ("id", ticket.id),
        ("wrote", click.format_filename(out)),
    ]


def _as_json(kind: str, imported: Imported, out: Path) -> dict[str, Any]:
    ticket = imported.ticket
    return {
        "format": {"name": "ticketkit-import", "version": "1.0"},
        "kind": kind,
        "source": click.format_filename(imported.source),
        "path": click.format_filename(out),
        "id": ticket.id,
        "architecture": ticket.arch.name,
        "num_classes": ticket.arch.num_classes,
        "in_channels": ticket.arch.in_channels,
        "kept": ticket.kept,
        "total": ticket.total,
        "sparsity": ticket.sparsity,
        "weights": {"role": ticket.weights.role, "step": ticket.weights.step},
        "level": ticket.provenance.level,
        "notes": list(imported.notes),
    }
