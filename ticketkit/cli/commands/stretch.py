"""``ticketkit stretch`` and, under the name for going shallower, ``ticketkit squeeze``: no training, no torch.

With ``--json`` they print one document of stable keys:

- ``format``: ``name`` (``ticketkit-stretch``) and ``version`` (``1.0``);
- ``source``: ``path``, ``id``, ``architecture``, ``kept``, ``total``, ``sparsity``;
- ``target``: the same of the result, with the path it takes and the id it has whether or not it is written;
- ``order``, and ``mapping`` in the grammar of ``--map``; ``settings``, what was done beyond moving units;
- ``stages``: each with ``stage``, ``source_units``, ``sources`` (the source unit of each target unit),
  ``sparsity_before`` and ``sparsity_after``;
- ``written``: false for ``--dry-run``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ticketkit.cli.output import MAX_WIDTH, echo, echo_json, fields, hint, percent
from ticketkit.cli.parameters import OpenFraction
from ticketkit.cli.references import TICKET, TicketArgument
from ticketkit.cli.stretching import StretchCommand, check_alone, check_order, plan_options
from ticketkit.errors import BundleError

if TYPE_CHECKING:
    from ticketkit.arch import ArchSpec
    from ticketkit.stretch import StagePlan
    from ticketkit.ticket import Ticket


def make_command(name: str, short: str, summary: str, examples: str) -> click.Command:
    """Make the command under one of its two names."""
    text = (
        f"{summary}, without training.\n\nWeights, masks, normalisation and its running statistics move together, "
        "unit by unit; the input and output layers and each stage's first unit are copied as they are. "
        "The plan is printed stage by stage: the source unit of each target unit.\n\n"
        "The result is written to the folder it is called from, or to --out.\n\n"
        f"\b\nExamples:\n{examples}"
    )
    return StretchCommand(
        name,
        short_help=short,
        callback=_run,
        help=text,
        params=[
            click.Argument(["ticket"], type=TICKET),
            *plan_options(),
            click.Option(
                ["--num-classes"],
                type=click.IntRange(min=1),
                help="Give the target an output layer for so many classes, made anew and dense.",
            ),
            click.Option(
                ["--in-channels"],
                type=click.IntRange(min=1),
                help="Give the target an input layer for so many channels, made anew and dense.",
            ),
            click.Option(
                ["--random-copies"],
                is_flag=True,
                help="Permute the masks of copies of replicated units: the paper's ablation.",
            ),
            click.Option(
                ["--rescale"],
                is_flag=True,
                help="Divide the residual branch of each replicated unit by its number of copies.",
            ),
            click.Option(
                ["--sparsity"],
                type=OpenFraction(),
                help="Prune the result to exactly this sparsity, a fraction: 0.95; the smallest weights first.",
            ),
            click.Option(
                ["--scope"],
                type=click.Choice(["global", "layer"]),
                default="global",
                show_default=True,
                help="For --sparsity: the smallest of all tensors, or of each by its share.",
            ),
            click.Option(["--seed"], type=int, default=0, show_default=True, help="Of everything that is drawn."),
            click.Option(
                ["-o", "--out"],
                type=click.Path(path_type=Path),
                help="The file to write, or a folder for it.  [default: SOURCE-to-TARGET.st, in this folder]",
            ),
            click.Option(["--force"], is_flag=True, help="Replace the file if it exists."),
            click.Option(["--dry-run"], is_flag=True, help="Print the plan and write nothing."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."),
        ],
    )


def _run(
    ticket: TicketArgument,
    *,
    to: str,
    order: str | None,
    units: tuple[int, ...] | None,
    drop: tuple[int, ...] | None,
    mapping: str | None,
    num_classes: int | None,
    in_channels: int | None,
    random_copies: bool,
    rescale: bool,
    sparsity: float | None,
    scope: Literal["global", "layer"],
    seed: int,
    out: Path | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from ticketkit.bundle import load_tensors, read_header, save_ticket
    from ticketkit.stretch import Adjustments, explain_plan, resolve_target, stretch_ticket
    from ticketkit.stretch.policy import DEFAULT_STRETCH

    check_alone(mapping, order, units, drop)
    file = ticket.file()
    header = read_header(file)
    target = resolve_target(header.arch, to)
    path = _output_path(ticket.name, target.short_name, out)
    if not dry_run and path.exists() and not force:
        raise BundleError(f"a ticket must not be overwritten without --force (a file is there already): {path}")
    if order is not None:
        check_order(order, header.arch, target, drop)
    # A file that is mapped cannot be replaced on Windows, so one that is to replace itself is read into memory.
    source = load_tensors(header, mapped=not (path.exists() and path.samefile(file)))
    result = stretch_ticket(
        source,
        target,
        order=order or DEFAULT_STRETCH,
        units=units,
        drop=drop,
        mapping=mapping,
        num_classes=num_classes,
        in_channels=in_channels,
        adjustments=Adjustments(
            random_copies=random_copies, rescale=rescale, sparsity=sparsity, scope=scope, seed=seed
        ),
    )
    done = result.provenance.transformations[-1]
    stages = explain_plan(source, result)
    if not dry_run:
        save_ticket(result, path, overwrite=force)
    if as_json:
        echo_json(
            {
                "format": {"name": "ticketkit-stretch", "version": "1.0"},
                "source": _summary(source, str(ticket)),
                "target": _summary(result, click.format_filename(path)),
                "order": done.order,
                "mapping": done.mapping,
                "settings": dict(done.settings or {}),
                "stages": [asdict(stage) for stage in stages],
                "written": not dry_run,
            }
        )
        return
    echo(f"{source.arch.name} to {target.name} ({done.order})", "", *_plan(stages), "")
    settings = ", ".join(f"{name} {value}" for name, value in (done.settings or {}).items())
    totals = f"{source.kept:,} of {source.total:,} kept before, {result.kept:,} of {result.total:,} after"
    pairs = [("sparsity", f"{percent(done.sparsity_before)} -> {percent(done.sparsity_after)}"), ("", totals)]
    if settings:
        pairs.append(("with", settings.replace(" True", "")))
    if not dry_run:
        pairs += [("id", result.id), ("wrote", click.format_filename(path))]
    echo(*fields(pairs))
    if (does := _direction(source.arch, target)) not in {None, click.get_current_context().command.name}:
        told = {"stretch": ("deeper", "stretches"), "squeeze": ("shallower", "squeezes")}
        comparison, verb = told[does]
        note = f"note: {target.short_name} is {comparison} than {source.arch.short_name}: this {verb}"
        hint(click.style(note, dim=True))
    normalised = any(layer.kind == "batch_norm" for layer in target.layers())
    if not dry_run and normalised and any(tuple(stage.sources) != tuple(range(stage.source_units)) for stage in stages):
        note = f"note: running statistics are {source.arch.short_name}'s, until trained or recalibrated"
        hint(click.style(note, dim=True))


def _direction(source: ArchSpec, target: ArchSpec) -> str | None:
    """The command that is named after what is done; None where the depth stays."""
    if source.depth == target.depth:
        return None
    return "stretch" if target.depth > source.depth else "squeeze"


def _output_path(source: str, target: str, out: Path | None) -> Path:
    name = f"{source.removesuffix('.st')}-to-{target}.st"
    if out is None:
        return Path(name)
    return out / name if out.is_dir() else out


def _summary(ticket: Ticket, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "id": ticket.id,
        "architecture": ticket.arch.name,
        "kept": ticket.kept,
        "total": ticket.total,
        "sparsity": ticket.sparsity,
    }


def _plan(stages: tuple[StagePlan, ...]) -> list[str]:
    """A stage a line, its units broken where they do not fit beside the stage's sparsity."""
    head = [f"stage {stage.stage}" for stage in stages]
    tail = [f"{percent(stage.sparsity_before)} -> {percent(stage.sparsity_after)}" for stage in stages]
    label, end = max(map(len, head)) + 2, max(map(len, tail))
    width = MAX_WIDTH - label - end - 2
    lines = []
    for stage, name, sparsity in zip(stages, head, tail, strict=True):
        rows = [""]
        for unit in (f"B{source}" for source in stage.sources):
            if rows[-1] and len(rows[-1]) + 1 + len(unit) > width:
                rows.append("")
            rows[-1] = f"{rows[-1]} {unit}".strip()
        lines.append(f"{name:<{label}}{rows[0]:<{width}}  {sparsity:>{end}}")
        lines += [" " * label + row for row in rows[1:]]
    return lines


command: click.Command = make_command(
    "stretch",
    "Turn a ticket into one of another depth.",
    "Turn a ticket into one of another depth of its family",
    "  ticketkit stretch resnet20.st --to resnet56\n"
    "      Write resnet20-to-resnet56.st; copies of units follow at the end.\n"
    "  ticketkit stretch resnet20.st --to 56 --order interpolate --dry-run\n"
    "      Show where each unit would come from, and write nothing.\n"
    "  ticketkit stretch resnet20.st --to 32 --map '0:0;1:1,3;2:2,4'\n"
    "      Say the whole mapping yourself.",
)
