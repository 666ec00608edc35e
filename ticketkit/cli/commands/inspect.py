"""``ticketkit inspect``: what is in a ticket's file. Plain text, without rich or torch, so that it is quick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

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
from ticketkit.cli.references import TICKET, TicketArgument

if TYPE_CHECKING:
    from ticketkit.provenance import Provenance, Results, Transformation
    from ticketkit.report.sparsity import LayerSparsity, Sizes, SparsityReport

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
def command(ticket: TicketArgument, *, as_json: bool, no_verify: bool, other: TicketArgument | None) -> None:
    """Show what is in a ticket: its network, where it comes from, how sparse each layer is, what it costs in bytes.

    Every hash is checked first: a damaged file is named, not described. Of a ticket elsewhere the header alone is read,
    unless it is compared with another.

    \b
    ticketkit inspect resnet20.st
    ticketkit inspect resnet20.st --compare resnet20-seed1.st
    ticketkit inspect hf://user/repo/resnet20.st
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_tensors, load_ticket, read_header
    from ticketkit.report.overlap import compare
    from ticketkit.report.sparsity import SparsityReport

    overlap = None
    if ticket.is_remote and other is None:
        header = ticket.header()
        report = SparsityReport.of_header(header)
    else:
        header = read_header(ticket.file())
        loaded = load_tensors(header, verify=not no_verify, mapped=True)
        report = SparsityReport.of(loaded, header, hashes_checked=not no_verify)
        if other is not None:
            overlap = compare(loaded, load_ticket(other.file(), verify=not no_verify, mapped=True))
    path = str(ticket)
    if as_json:
        comparison = None
        if overlap is not None and other is not None:
            comparison = {"path": str(other)} | overlap.to_json()
        content = report.to_json()
        echo_json({"format": content.pop("format"), "path": path} | content | {"comparison": comparison})
        return
    blocks = [[printable(path)], _origin(report), _overall(report)]
    if overlap is None or other is None:
        blocks += [_groups(report), _layers(report), _sizes(report.sizes)]
    else:
        blocks += [overlap_summary(overlap, str(other)), overlap_table(overlap)]
    echo("\n\n".join("\n".join(block) for block in blocks))


def _origin(report: SparsityReport) -> list[str]:
    arch, provenance = report.architecture, report.provenance
    pairs = [
        ("network", f"{arch.name}: {arch.ends}"),
        ("id", report.id),
        ("", _checked(report)),
        ("found by", _method(provenance)),
    ]
    if provenance.dataset is not None:
        data = provenance.dataset
        pairs.append(("data", f"{data.name}: {data.train:,} training and {data.test:,} test images"))
    if provenance.recipe is not None:
        pairs.append(("recipe", str(provenance.recipe.get("name", "without a name"))))
    step = "" if report.weights.step is None else f", training step {report.weights.step:,}"
    pairs.append(("weights", report.weights.role + step))
    if report.results is not None and report.results.levels:
        pairs.append(("results", _results(report.results, provenance.level)))
    if provenance.parent is not None:
        pairs.append(("parent", provenance.parent))
    for transformation in provenance.transformations:
        pairs += _transformation(transformation)
    return fields(pairs)


def _checked(report: SparsityReport) -> str:
    if report.hashes_checked:
        return "every hash checked"
    if report.masks_read:
        return "hashes not checked"
    return f"the header alone was read, {report.sizes.header:,} of {report.sizes.file:,} bytes; no hash checked"


def _method(provenance: Provenance) -> str:
    parts = [provenance.method]
    for label in ("level", "rate", "seed"):
        if (value := getattr(provenance, label)) is not None:
            parts.append(f"{label} {value}")
    return ", ".join(parts)


def _results(results: Results, own_level: int | None) -> str:
    named = {0: "dense"} | ({own_level: f"level {own_level}"} if own_level else {})
    parts = [
        f"{named[result.level]} {percent(result.accuracy)} test accuracy"
        for result in results.levels
        if result.level in named
    ]
    if results.winning_level is not None:
        parts.append(f"last winning level {results.winning_level}")
    return "; ".join(parts) or f"{len(results.levels)} levels"


def _transformation(done: Transformation) -> Iterator[tuple[str, str]]:
    yield done.kind[:8], f"{done.source} to {done.target} ({done.order})"
    yield "", f"sparsity {percent(done.sparsity_before)} to {percent(done.sparsity_after)}"
    stages = done.mapping.split("|")
    if len(set(stages)) == 1:
        yield "", f"every stage {stages[0]}"
        return
    for number, stage in enumerate(stages):
        yield "", f"stage {number} {stage}"


def _overall(report: SparsityReport) -> list[str]:
    pruned = report.total - report.kept
    return fields(
        [
            ("sparsity", f"{percent(report.sparsity)}: {pruned:,} of {report.total:,} prunable weights are pruned"),
            ("", f"{percent(report.pruned_of_parameters)}: {pruned:,} of all {report.parameters:,} parameters"),
            ("density", f"{percent(report.density)}: {report.kept:,} of {report.total:,} prunable weights are kept"),
        ]
    )


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
