"""``ticketkit show-plan``: which unit each unit of a stretched ticket would come from.

It writes no ticket and needs no torch. With ``--json`` it prints one document of stable keys:

- ``format``: ``name`` (``ticketkit-plan``) and ``version`` (``1.0``);
- ``source``: ``architecture``, and of a ticket ``id``, ``kept`` and ``total``; these are null without one, as below;
- ``target``: ``architecture``, and what the stretched ticket would have: ``kept`` and ``total``;
- ``order``, and ``mapping`` in the grammar of ``--map``;
- ``stages``: each with ``stage``, ``source_units``, ``target_units``, ``sources`` (the source unit of each target
  unit), ``dropped`` (source units without a copy), ``source_kept``, ``source_total``, ``kept`` and ``total``.
"""

from __future__ import annotations

import shlex
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketkit.cli.completions import complete_networks
from ticketkit.cli.output import MAX_WIDTH, echo, echo_json, fields, percent, printable
from ticketkit.cli.pictures import FORCE_OPTION, PLOT_OPTION, add_picture, picture_files
from ticketkit.cli.references import TICKET, TicketArgument
from ticketkit.cli.stretching import StretchCommand, check_alone, check_order, plan_options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ticketkit.report.plan import PlannedStage, StretchPlan

_LABEL = 10
"""Columns before a stage's units."""


def _run(
    ticket: TicketArgument | None,
    *,
    source_name: str | None,
    to: str,
    order: str | None,
    units: tuple[int, ...] | None,
    drop: tuple[int, ...] | None,
    mapping: str | None,
    plot: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    from ticketkit.arch import parse_arch
    from ticketkit.bundle import read_header
    from ticketkit.report.plan import StretchPlan
    from ticketkit.stretch import EXPLICIT, orders_used, parse_stage_map, plan_stretch, resolve_target
    from ticketkit.stretch.policy import DEFAULT_STRETCH

    if (ticket is None) == (source_name is None):
        raise click.UsageError("a plan must have one source: a ticket, or --from NETWORK")
    check_alone(mapping, order, units, drop)
    files = picture_files(plot, force=force)
    header = None
    if ticket is not None:
        header = ticket.header() if ticket.is_remote else read_header(ticket.file())
    source = parse_arch(source_name or "") if header is None else header.arch
    target = resolve_target(source, to)
    if order is not None:
        check_order(order, source, target, drop)
    if mapping is None:
        stage_map = plan_stretch(source, target, order=order or DEFAULT_STRETCH, units=units, drop=drop)
        used = ", ".join(orders_used(source, target, order=order or DEFAULT_STRETCH, drop=drop))
    else:
        stage_map, used = parse_stage_map(mapping), EXPLICIT
    plan = StretchPlan.of(source, target, stage_map, order=used or order or DEFAULT_STRETCH, header=header)

    def draw() -> Figure:
        from ticketkit.report.figures import draw_mapping

        return draw_mapping(plan.mapping, source, target)

    add_picture(files, plot, draw)
    files.write()
    if as_json:
        echo_json(plan.to_json())
        return
    blocks = [[f"{source.name} to {target.name} ({plan.order})"], *_stages(plan), _summary(plan, ticket, to)]
    if plot is not None:
        blocks.append(fields([("wrote", click.format_filename(plot))]))
    echo("\n\n".join("\n".join(block) for block in blocks))


def _stages(plan: StretchPlan) -> list[list[str]]:
    """A block for each stage, or for several in a row that are mapped alike and have nothing else to say."""
    blocks = []
    for _, same in groupby(plan.stages, key=lambda stage: (stage.source_units, stage.sources, stage.kept)):
        stages = list(same)
        first, last = stages[0], stages[-1]
        title = f"stage {first.stage}" if first is last else f"stages {first.stage} to {last.stage}, each"
        sizes = f"{first.source_units} -> {len(first.sources)} units"
        blocks.append([f"{click.style(title, bold=True)}  {sizes}{_kept(first)}", *_rows(first)])
    return blocks


def _kept(stage: PlannedStage) -> str:
    if stage.kept is None or not stage.total or stage.source_kept is None or not stage.source_total:
        return ""
    before, after = percent(stage.source_kept / stage.source_total), percent(stage.kept / stage.total)
    return f"; {stage.source_kept:,} ({before}) -> {stage.kept:,} ({after}) weights kept"


def _rows(stage: PlannedStage) -> list[str]:
    """Target units above the source units that they copy, in lines that fit; further copies in brackets."""
    width = max(len(f"(B{stage.source_units - 1})"), len(f" B{len(stage.sources) - 1}")) + 1
    abreast = (MAX_WIDTH - _LABEL) // width
    lines = []
    for start in range(0, len(stage.sources), abreast):
        numbers = range(start, min(start + abreast, len(stage.sources)))
        targets = "".join(f" B{unit}".ljust(width) for unit in numbers)
        sources = "".join(_source(stage, unit).ljust(width) for unit in numbers)
        lines += [f"{'  target':<{_LABEL}}{targets}", f"{'  source':<{_LABEL}}{sources}"]
    if stage.dropped:
        lines += _dropped(stage, width)
    return [line.rstrip() for line in lines]


def _dropped(stage: PlannedStage, width: int) -> list[str]:
    cells = [f" B{unit}".ljust(width) for unit in stage.dropped]
    abreast = (MAX_WIDTH - _LABEL) // width
    rows = ["".join(cells[start : start + abreast]) for start in range(0, len(cells), abreast)]
    return [f"{'' if number else '  dropped':<{_LABEL}}{row}" for number, row in enumerate(rows)]


def _source(stage: PlannedStage, unit: int) -> str:
    source = stage.sources[unit]
    return f"(B{source})" if source in stage.sources[:unit] else f" B{source}"


def _summary(plan: StretchPlan, ticket: TicketArgument | None, to: str) -> list[str]:
    pairs = []
    if plan.kept is not None and plan.total and plan.source_kept is not None and plan.source_total:
        before, after = plan.source_kept / plan.source_total, plan.kept / plan.total
        pairs.append(("kept", f"{plan.source_kept:,} of {plan.source_total:,} -> {plan.kept:,} of {plan.total:,}"))
        pairs.append(("sparsity", f"{percent(1 - before)} -> {percent(1 - after)}"))
    pairs.append(("mapping", str(plan.mapping)))
    named = "TICKET.st" if ticket is None else shlex.quote(str(ticket))
    head = f"ticketkit stretch {named} --to {shlex.quote(to)} --map"
    return [*fields(pairs), *_to_edit(head, f"'{plan.mapping}'")]


def _to_edit(head: str, mapping: str) -> list[str]:
    """A command that a shell takes as it stands: broken in its mapping alone, since a broken name is another one."""
    (label,) = fields([("to edit", "")])
    first = f"{label}{printable(head)}"
    # A terminal's colours take no room.
    if len(click.unstyle(f"{first} {mapping}")) <= MAX_WIDTH:
        return [f"{first} {mapping}"]
    return [f"{first} \\", *fields([("", mapping)])]


command: click.Command = StretchCommand(
    "show-plan",
    short_help="Show what a stretch would do.",
    callback=_run,
    help=(
        "Show which source unit each unit of a stretched ticket would come from, before there is any file.\n\n"
        "The source is a ticket, of which the header alone is read, or with --from any network. In brackets are "
        "further copies of a unit that is there already. The mapping is printed in the notation of --map, to be "
        "edited and passed to stretch.\n\n"
        "\b\nExamples:\n"
        "  ticketkit show-plan resnet20.st --to resnet56 --order interpolate\n"
        "      How this ticket would be stretched.\n"
        "  ticketkit show-plan --from resnet20 --to resnet56 --plot plan.png\n"
        "      The mapping of two networks, as text and as a picture."
    ),
    params=[
        click.Argument(["ticket"], type=TICKET, required=False),
        click.Option(
            ["--from", "source_name"],
            metavar="NETWORK",
            shell_complete=complete_networks,
            help="The source network, where there is no ticket yet: resnet20.",
        ),
        *plan_options(),
    ],
)
for _option in (PLOT_OPTION, FORCE_OPTION):
    _option(command)
command.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."))
