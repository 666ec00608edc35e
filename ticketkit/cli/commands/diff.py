"""``ticketkit diff``: where two tickets differ. Plain text, without rich or torch, so that it is quick.

What it prints with ``--json`` is described in ``formats/diff-v1.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.output import MAX_WIDTH, counted, echo, echo_json, fields, printable, shortened, text_table
from ticketkit.cli.overlap import overlap_summary, overlap_table
from ticketkit.cli.pictures import FORCE_OPTION, LAYER_OPTION, PLOT_OPTION, add_picture, picture_files
from ticketkit.cli.references import TICKET, TicketArgument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ticketkit.report.difference import Difference, FieldDifference

_VALUE_WIDTH = 21


@click.command("diff", short_help="Show where two tickets differ.")
@click.argument("first", metavar="TICKET", type=TICKET)
@click.argument("other", type=TICKET)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as formats/diff-v1.md specifies it.")
@click.option("--no-verify", is_flag=True, help="Do not compare the tensors with their hashes.")
@PLOT_OPTION
@LAYER_OPTION
@FORCE_OPTION
def command(
    first: TicketArgument,
    other: TicketArgument,
    *,
    as_json: bool,
    no_verify: bool,
    plot: Path | None,
    layer: str | None,
    force: bool,
) -> None:
    """Show where two tickets differ: in network and provenance, and, if they are of one network, layer by layer.

    Exits with 0 whether or not they differ. --plot draws what they share of each layer, or, if they are of different
    networks, how dense each unit is in both.

    \b
    Examples:
      ticketkit diff resnet20-seed0.st resnet20-seed1.st
          What differs, and how far the masks overlap.
      ticketkit diff a.st b.st --plot overlap.png
          Draw what they share, layer by layer.
      ticketkit diff a.st b.st --plot masks.png --layer blocks.4.conv1
          Draw both masks of one layer.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_ticket
    from ticketkit.report.difference import FORMAT, Difference

    files = picture_files(plot, layer=layer, force=force)
    left, right = (load_ticket(ticket.file(), verify=not no_verify, mapped=True) for ticket in (first, other))
    found = Difference.of(left, right)
    name, other_name = str(first), str(other)

    def draw() -> Figure:
        from ticketkit.report.figures import draw_difference, draw_layer_difference

        names = first.name, other.name
        if layer is None:
            return draw_difference(left, right, names)
        return draw_layer_difference(left, right, layer, names)

    add_picture(files, plot, draw)
    files.write()
    if as_json:
        comparison = None if found.overlap is None else {"path": other_name} | found.overlap.to_json()
        content = {
            "format": dict(FORMAT),
            "first": {"path": name, "id": found.id},
            "other": {"path": other_name, "id": found.other_id},
        }
        echo_json(content | found.to_json() | {"comparison": comparison})
        return
    networks = left.arch.name if left.arch == right.arch else f"{left.arch.name} and {right.arch.name}"
    blocks = [fields([("first", name), ("id", found.id), ("network", networks)]), *_blocks(found, other_name)]
    if plot is not None:
        blocks.append(fields([("picture", click.format_filename(plot))]))
    echo("\n\n".join("\n".join(block) for block in blocks))


def _blocks(found: Difference, other: str) -> list[list[str]]:
    differing = _fields(found.fields) if found.fields else ["their documents say the same of network and provenance"]
    if found.overlap is None or found.unmasked is None:
        pairs = [("other", other), ("id", found.other_id), ("overlap", "none: they are of different networks")]
        return [fields(pairs), differing]
    equal = found.unmasked - len(found.unmasked_different)
    unmasked = [f"{equal:,} of {counted(found.unmasked, 'tensor')} without a mask are equal, bit for bit"]
    return [overlap_summary(found.overlap, other), differing, overlap_table(found.overlap), unmasked]


def _fields(differences: tuple[FieldDifference, ...]) -> list[str]:
    room = MAX_WIDTH - 2 * (_VALUE_WIDTH + 2)
    rows = [(shortened(printable(place), room), *_pair(first, other)) for place, first, other in _rows(differences)]
    columns = ("differs", "first", "other")
    return text_table(columns, rows, left=columns)


def _rows(differences: tuple[FieldDifference, ...]) -> Iterator[tuple[str, Any, Any]]:
    """A row each, but one alone for several entries of a list that only one of the tickets has."""
    for whole, members in groupby(differences, key=lambda found: found.field.partition("[")[0]):
        found = list(members)
        entries = {each.field.removeprefix(whole).partition("]")[0] for each in found}
        lacking = [
            all(value is None for value in side) for side in zip(*((e.first, e.other) for e in found), strict=True)
        ]
        if len(entries) > 1 and any(lacking):
            more = "" if "[0" in entries else "more "
            first, other = ("" if lacks else f"{len(entries)} {more}entries" for lacks in lacking)
            yield whole, first, other
        else:
            yield from ((each.field, each.first, each.other) for each in found)


def _pair(first: Any, other: Any) -> tuple[str, str]:
    """Both values, with as many digits as it takes to tell them apart."""
    shown = _shown(first), _shown(other)
    return shown if shown[0] != shown[1] else (_shown(json.dumps(first)), _shown(json.dumps(other)))


def _shown(value: Any) -> str:
    match value:
        case None:
            text = ""
        case str():
            text = value
        case float():
            text = f"{value:.6g}"
        case _:
            text = json.dumps(value)
    return shortened(printable(text), _VALUE_WIDTH)
