"""``ticketkit inspect``: what is in a ticket's file. Plain text, without rich or torch, so that it is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketkit.cli.files import ODD
from ticketkit.cli.output import (
    MAX_WIDTH,
    bar,
    echo,
    echo_json,
    fields,
    percent,
    printable,
    shortened,
    text_table,
)
from ticketkit.cli.overlap import overlap_summary, overlap_table
from ticketkit.cli.pictures import FORCE_OPTION, LAYER_OPTION, PLOT_OPTION, add_picture, picture_files
from ticketkit.cli.references import TICKET, TicketArgument

if TYPE_CHECKING:
    from ticketkit.cli.files import Files
    from ticketkit.report.sparsity import LayerSparsity, Sizes, SparsityReport
    from ticketkit.ticket import Ticket

_BAR_WIDTHS = range(4, 13)
_SHORTEST_NAME = 8


@click.command("inspect", short_help="Show what is in a ticket.")
@click.argument("ticket", type=TICKET)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as formats/inspect-v1.md specifies it.")
@click.option("--no-verify", is_flag=True, help="Do not compare the tensors with their hashes.")
@click.option(
    "--compare",
    "other",
    metavar="OTHER.st",
    type=TICKET,
    help="Show what the ticket shares with another of the same network, layer by layer.",
)
@PLOT_OPTION
@LAYER_OPTION
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all of it to this file: one page with tables, pictures and every layer's mask. Needs the extra plots.",
)
@FORCE_OPTION
def command(
    ticket: TicketArgument,
    *,
    as_json: bool,
    no_verify: bool,
    other: TicketArgument | None,
    plot: Path | None,
    layer: str | None,
    page: Path | None,
    force: bool,
) -> None:
    """Show what is in a ticket: its network, where it comes from, how sparse each layer is, what it costs in bytes.

    Every hash is checked first: a damaged file is named, not described. Of a ticket elsewhere the header alone is read,
    unless it is compared with another, or drawn.

    \b
    Examples:
      ticketkit inspect resnet20.st
          Provenance, sparsity by stage and layer, sizes.
      ticketkit inspect resnet20.st --compare resnet20-seed1.st
          What the masks of two tickets share, layer by layer.
      ticketkit inspect hf://user/repo/resnet20.st
          A ticket on the Hub; its header alone is fetched.
      ticketkit inspect resnet20.st --plot densities.png
          Draw the density of each layer and stage.
      ticketkit inspect resnet20.st --plot mask.png --layer blocks.4.conv1
          Draw one layer's mask and kernels.
      ticketkit inspect resnet20.st --html resnet20.html
          The same as one page.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_tensors, load_ticket, read_header
    from ticketkit.report.facts import origin_facts, sparsity_facts
    from ticketkit.report.overlap import compare
    from ticketkit.report.sparsity import SparsityReport

    files = picture_files(plot, page, layer=layer, force=force)
    overlap = None
    if ticket.is_remote and other is None and plot is None and page is None:
        header = ticket.header()
        report = SparsityReport.of_header(header)
    else:
        header = read_header(ticket.file())
        loaded = load_tensors(header, verify=not no_verify, mapped=True)
        report = SparsityReport.of(loaded, header, hashes_checked=not no_verify)
        if other is not None:
            overlap = compare(loaded, load_ticket(other.file(), verify=not no_verify, mapped=True))
        _draw(files, loaded, report, str(ticket), plot=plot, layer=layer, page=page)
        files.write()
    path = str(ticket)
    if as_json:
        comparison = None
        if overlap is not None and other is not None:
            comparison = {"path": str(other)} | overlap.to_json()
        content = report.to_json()
        echo_json({"format": content.pop("format"), "path": path} | content | {"comparison": comparison})
        return
    blocks = [[printable(path)], fields(origin_facts(report)), fields(sparsity_facts(report))]
    if overlap is None or other is None:
        blocks += [_groups(report), _layers(report), _sizes(report.sizes)]
    else:
        blocks += [overlap_summary(overlap, str(other)), overlap_table(overlap)]
    written = [("picture", plot), ("page", page)]
    if shown := [(label, click.format_filename(file)) for label, file in written if file is not None]:
        blocks.append(fields(shown))
    echo("\n\n".join("\n".join(block) for block in blocks))


def _draw(
    files: Files,
    ticket: Ticket,
    report: SparsityReport,
    name: str,
    *,
    plot: Path | None,
    layer: str | None,
    page: Path | None,
) -> None:
    from ticketkit.report.figures import draw_layer, draw_ticket

    add_picture(files, plot, lambda: draw_ticket(ticket) if layer is None else draw_layer(ticket, layer))
    if page is not None:
        from ticketkit.report.ticket_page import to_page

        files.add(page, to_page(ticket, report, name).encode(errors=ODD))


def _groups(report: SparsityReport) -> list[str]:
    rows = [
        (
            group.name,
            "" if group.units is None else f"{group.units:,}",
            f"{group.kept:,}",
            f"{group.total:,}",
            percent(group.density),
            percent(group.sparsity),
        )
        for group in report.groups
    ]
    return text_table(("where", "units", "kept", "of", "density", "sparsity"), rows, left=("where",))


def _layers(report: SparsityReport) -> list[str]:
    densest = max(layer.density for layer in report.layers)
    columns = ("#", "layer", "shape", "kept", "of", "dead", "density")
    left = ("layer", "density")
    cells = [_layer_cells(layer) for layer in report.layers]
    # Bars take the room that the other columns leave; where there is none, names give way.
    room = MAX_WIDTH - len(text_table(columns, cells, left=("density",))[1]) - 1
    width = min(max(room, _BAR_WIDTHS.start), _BAR_WIDTHS.stop - 1)
    longest = max(len(layer.name) for layer in report.layers)
    shown = max(longest - max(width - room, 0), _SHORTEST_NAME)
    rows = [
        (index, shortened(name, shown), *rest, f"{density} {bar(layer.density / (densest or 1), width)}")
        for layer, (index, name, *rest, density) in zip(report.layers, cells, strict=True)
    ]
    longest_bar = f"the longest bar is {percent(densest)}"
    dead = "filters / input channels with no kept weight" if report.masks_read else "not known, the masks were not read"
    return [*text_table(columns, rows, left=left), f"dead: {dead}; {longest_bar}"]


def _layer_cells(layer: LayerSparsity) -> tuple[str, ...]:
    return (
        str(layer.index),
        layer.name,
        "×".join(map(str, layer.shape)),
        f"{layer.kept:,}",
        f"{layer.total:,}",
        "" if layer.dead_filters is None else f"{layer.dead_filters}/{layer.dead_inputs}",
        f"{percent(layer.density):>8}",
    )


def _sizes(sizes: Sizes) -> list[str]:
    rows = [
        ("every tensor dense, float32", sizes.all_dense),
        ("this file", sizes.file),
        ("  header with its document", sizes.header),
        ("  masks, one bit a weight", sizes.masks),
        ("  kept weights", sizes.values),
        ("  other tensors", sizes.dense_tensors),
        ("one bit a weight + 4 bytes a kept one + other tensors", sizes.reference),
        ("masks at their information floor, Σ n·H(density)/8", sizes.mask_floor),
    ]
    cells = [(label, f"{size:,}", f"{100 * size / sizes.all_dense:.1f} %") for label, size in rows]
    return text_table(("bytes", "", "of dense"), cells, left=("bytes",))
