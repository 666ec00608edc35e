"""What ``ticketkit find`` prints of a search: before it, of each level, and at its end."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ticketkit.cli.output import counted, fields, is_quiet, percent, text_table
from ticketkit.cli.training import Setting, describe_device

if TYPE_CHECKING:
    from ticketkit.arch import ArchSpec
    from ticketkit.find import LevelReport
    from ticketkit.provenance import Results
    from ticketkit.ticket import Ticket

DEMONSTRATION = "digits"
"""The data set that comes with ticketkit."""


def opening(spec: ArchSpec, setting: Setting, levels: int, rate: float, seed: int, ranks: int) -> list[str]:
    """What is about to be done, as the first lines say it."""
    data, recipe = setting.data, setting.recipe
    _, height, width = data.shape
    end = percent(1 - (1 - rate) ** levels)
    device = describe_device(setting) + (f", {ranks} ranks" if ranks > 1 else "")
    count = f"{len(data.train_labels):,} training and {len(data.test_labels):,} test images"
    pairs = [
        ("network", f"{spec.name}, {spec.num_classes} classes"),
        ("data", f"{data.name}: {count}, {height}×{width}"),
    ]
    if data.name.startswith(DEMONSTRATION) and not is_quiet():
        pairs.append(("", "embedded, for a first look; the paper's set-up is:"))
        pairs.append(("", "--dataset cifar10 --recipe paper-cifar"))
    pairs += [
        ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch}, rewinding to {recipe.rewind}"),
        ("pruning", f"{counted(levels, 'level')} of {percent(rate)} of the remaining weights, to {end} sparsity"),
        ("device", device + f", seed {seed}"),
    ]
    return fields(pairs)


def level_line(report: LevelReport, levels: int) -> str:
    """A level as it ends."""
    result = report.result
    how = "from the run folder" if report.resumed else f"{report.seconds:.1f} s"
    density = percent(result.density)
    return f"level {result.level:>2}/{levels}  density {density:>8}  accuracy {percent(result.accuracy):>8}  {how}"


def table(reports: list[LevelReport]) -> list[str]:
    """All levels."""
    rows = []
    for report in reports:
        result = report.result
        rows.append(
            [
                str(result.level),
                percent(result.density),
                f"{result.kept:,}/{result.total:,}",
                percent(result.accuracy),
                f"{report.seconds:.1f}",
                "dense" if not result.level else "",
            ]
        )
    winning = reports[-1].ticket.results
    if winning is not None and winning.winning_level is not None:
        rows[winning.winning_level][-1] = "last winning level"
    return text_table(["level", "density", "kept/total", "accuracy", "seconds", ""], rows, left={""})


def closing(ticket: Ticket, out: Path, elapsed: float) -> list[str]:
    """What came of it, where it is, and what to do with it."""
    pairs = []
    if ticket.results is not None:
        pairs.append(("result", _result_line(ticket.results)))
    size = f"{out.stat().st_size:,} bytes"
    pairs += [
        ("ticket", f"{out}: {percent(ticket.sparsity)} sparse, {size}, found in {elapsed:.0f} s"),
        ("id", ticket.id),
    ]
    if ticket.results is not None and (note := _level_note(ticket.results)):
        pairs.insert(-1, ("note", note))
    if is_quiet():
        return fields(pairs)
    named = shlex.quote(str(out))
    pairs.append(("next", f"ticketkit inspect {named}"))
    if other := _other_depth(ticket.arch):
        pairs.append(("", f"ticketkit stretch {named} --to {other}"))
    return fields(pairs)


def _result_line(results: Results) -> str:
    dense, *pruned = results.levels
    if not pruned:
        return f"the dense network alone, {percent(dense.accuracy)}"
    rule = f"within {100 * (results.tolerance or 0):g} points of the dense network's {percent(dense.accuracy)}"
    if results.winning_level is None:
        return f"no level is {rule}"
    winner = results.levels[results.winning_level]
    return f"level {winner.level}, {percent(1 - winner.density)} sparse, is the last {rule}"


def _level_note(results: Results) -> str | None:
    """That the ticket, the last level, is not the last winning one; None if it is, or if nothing was pruned."""
    dense, *pruned = results.levels
    if not pruned or results.winning_level == pruned[-1].level:
        return None
    last = pruned[-1]
    note = f"the ticket is level {last.level}, {100 * (dense.accuracy - last.accuracy):.1f} points below dense"
    if results.winning_level is None:
        return note
    return f"{note}; --levels {results.winning_level}, or --keep-levels, gives the last winning one"


def _other_depth(arch: ArchSpec) -> str | None:
    """A network to stretch to: the next one at least half as deep again, else the deepest other; None without any."""
    from ticketkit.arch import FAMILIES
    from ticketkit.errors import TicketkitError
    from ticketkit.stretch import plan_stretch, resolve_target

    deeper = arch.depth + max(arch.depth // 2, 1)
    for depth in (*range(deeper, 10 * arch.depth), *range(deeper - 1, 0, -1)):
        if depth != arch.depth and FAMILIES[arch.family].has_depth(depth):
            try:
                target = resolve_target(arch, str(depth))
                plan_stretch(arch, target)
            except TicketkitError:
                continue  # another design, or a stage that has nothing to replicate
            return target.short_name
    return None


def document(ticket: Ticket, out: Path, reports: list[LevelReport], elapsed: float) -> dict[str, object]:
    """The same as a document, which ``formats/find-v1.md`` describes."""
    results = ticket.results
    return {
        "format": {"name": "ticketkit-find", "version": "1.0"},
        "path": str(out),
        "id": ticket.id,
        "architecture": ticket.arch.name,
        "sparsity": ticket.sparsity,
        "kept": ticket.kept,
        "total": ticket.total,
        "levels": [
            {
                "level": report.result.level,
                "kept": report.result.kept,
                "total": report.result.total,
                "density": report.result.density,
                "accuracy": report.result.accuracy,
                "seconds": report.seconds,
                "resumed": report.resumed,
            }
            for report in reports
        ],
        "tolerance": results.tolerance if results is not None else None,
        "winning_level": results.winning_level if results is not None else None,
        "seconds": elapsed,
        "provenance": ticket.document["provenance"],
    }
