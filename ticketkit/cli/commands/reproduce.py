"""``ticketkit reproduce``: make a ticket again from what it says of itself, and compare."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.commands.find import check_target
from ticketkit.cli.completions import complete_devices
from ticketkit.cli.output import counted, echo, echo_json, fields, hint, percent, say_opening, shortened, text_table
from ticketkit.cli.progress import TrainingProgress
from ticketkit.cli.references import TICKET, TicketArgument
from ticketkit.cli.training import (
    GRAPHS_OPTION,
    PLACE_OPTIONS,
    PRECISION_OPTION,
    THREADS_OPTION,
    Setting,
    describe_device,
    load_images,
    with_options,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ticketkit.find import LevelReport
    from ticketkit.report.agreement import Agreement, Difference
    from ticketkit.reproduce import Reproduced, Reproduction
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress

EXIT_DIFFERS = 3

SHOWN = 8
"""How many of the fields that differ are printed; ``--json`` has all."""

VALUE_WIDTH = 24

CONSEQUENCES = ("results.", "provenance.flops.")
"""Fields that differ because the weights do; the table and the verdict say it better."""


@click.command(short_help="Make a ticket again, and compare.")
@click.argument("named", metavar="TICKET", type=TICKET)
@with_options(*PLACE_OPTIONS)
@click.option(
    "--device",
    metavar="auto|cpu|cuda[:N]",
    shell_complete=complete_devices,
    help="Where to compute.  [default: as the ticket was]",
)
@with_options(PRECISION_OPTION, THREADS_OPTION, GRAPHS_OPTION)
@click.option(
    "--deterministic/--no-deterministic",
    default=None,
    help="Whether a GPU is to compute with deterministic algorithms alone.  [default: as the ticket was]",
)
@click.option(
    "--within",
    metavar="POINTS",
    type=click.FloatRange(0, 100),
    help="Take it as reproduced, too, if no level's accuracy is further from the ticket's than this.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Keep the ticket made again here.")
@click.option("--force", is_flag=True, help="Replace that file if it exists.")
@click.option("--run-dir", type=click.Path(path_type=Path, file_okay=False), help="Keep what a killed run needs here.")
@click.option("--resume", is_flag=True, help="Go on with the run that --run-dir holds.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(
    named: TicketArgument,
    data_dir: Path | None,
    image_size: int | None,
    resize: int | None,
    stream: bool | None,
    device: str | None,
    precision: str | None,
    threads: int | None,
    graphs: bool,
    deterministic: bool | None,
    within: float | None,
    out: Path | None,
    force: bool,
    run_dir: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Make a ticket again, by what it says of how it was made, and compare the two.

    Network, recipe, seed, levels, data set, device and all transformations since are the ticket's own. The data must
    have the fingerprint that it records.

    Exits with 0 if the ticket came out again, the same id or, where the version of a tool has changed, the same weights
    and accuracies; with 3 if not, unless --within says how far accuracies may be apart.

    \b
    Examples:
      ticketkit reproduce resnet20.st
          On the device it was found on, bit for bit.
      ticketkit reproduce resnet20.st --device cpu --within 1
          Elsewhere: accuracies may be a point apart.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_ticket, save_ticket
    from ticketkit.reproduce import plan_reproduction, reproduce_ticket
    from ticketkit.reproduce.run import compute_for

    if resume and run_dir is None:
        raise click.UsageError("--resume needs --run-dir, the folder that holds the run")
    if out is not None:
        check_target(out, force=force)
    ticket = load_ticket(named.file())
    plan = plan_reproduction(ticket)
    data = load_images(
        plan.data_name,
        data_dir=data_dir,
        image_size=image_size,
        resize=resize,
        stream=stream,
        recipe=plan.recipe,
        device=device or "auto",
    )
    for train, test in plan.limits:
        data = data.limited(train, test)
    plan.check(data)
    compute = compute_for(
        plan, data, device, precision=precision, threads=threads, deterministic=deterministic, graphs=graphs
    )
    setting = Setting(data=data, recipe=plan.recipe, compute=compute)
    say_opening(*_opening(ticket, str(named), plan, setting), beside_json=as_json)
    if changed := _changes(plan, compute.describe()):
        hint(*fields([("note", f"not computed as then, so it may differ: {changed}")]))
    began = time.perf_counter()
    with TrainingProgress(_total_steps(setting, plan.level)) as bar:
        watcher = _Watcher(bar, setting, plan, ticket)
        result = reproduce_ticket(
            ticket,
            data,
            device=compute,
            run_dir=run_dir,
            resume=resume,
            on_level=watcher.on_level,
            on_epoch=watcher.on_epoch,
        )
    seconds = time.perf_counter() - began
    if out is not None:
        save_ticket(result.ticket, out, overwrite=force)
    margin = None if within is None else within / 100
    held = result.agreement.holds(margin)
    if as_json:
        echo_json(_as_json(str(named), out, result, margin, compute.describe(), seconds))
    else:
        echo("", *_closing(result.agreement, within, out, seconds))
    if not held:
        sys.exit(EXIT_DIFFERS)


def _opening(ticket: Ticket, name: str, plan: Reproduction, setting: Setting) -> list[str]:
    data, recipe = setting.data, setting.recipe
    how = "IMP" if plan.rewinding == "weights" else "learning-rate rewinding"
    search = f"{how} on {plan.network}: {counted(plan.level, 'level')} of {percent(plan.rate)}, seed {plan.seed}"
    pairs = [("ticket", f"{name}: {ticket.arch.name}, {percent(ticket.sparsity)} sparse"), ("made by", search)]
    pairs += [("", f"{done.kind} to {done.target} ({done.order})") for done, _ in plan.transformations]
    pairs += [
        ("data", f"{data.name}: {len(data.train_labels):,} training, {len(data.test_labels):,} test images"),
        ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch}, rewinding to {recipe.rewind}"),
        ("device", describe_device(setting)),
    ]
    return fields(pairs)


def _changes(plan: Reproduction, now: dict[str, Any]) -> str:
    """What is computed with now that is not what the ticket was computed with; empty if nothing."""
    from ticketkit.report.agreement import differences

    return ", ".join(_told(difference) for difference in differences(dict(plan.recorded), now))


def _told(difference: Difference) -> str:
    then, now = (_value(value) for value in (difference.then, difference.now))
    return f"{difference.field} {then} then, {now} now"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return shortened(value if isinstance(value, str) else json.dumps(value), VALUE_WIDTH)


def _total_steps(setting: Setting, levels: int) -> int:
    total = setting.recipe.total_steps(setting.steps_per_epoch)
    return total + levels * (total - setting.recipe.rewind_step(setting.steps_per_epoch))


class _Watcher:
    """Follows the search with its progress bar, and says beside each accuracy what it was."""

    def __init__(self, bar: TrainingProgress, setting: Setting, plan: Reproduction, ticket: Ticket) -> None:
        self._bar = bar
        self._levels = plan.level
        self._then = {r.level: r.accuracy for r in (ticket.results.levels if ticket.results is not None else ())}
        self._rewind = setting.recipe.rewind_step(setting.steps_per_epoch)
        self._total = setting.recipe.total_steps(setting.steps_per_epoch)

    def on_epoch(self, level: int, progress: Progress) -> None:
        label = f"level {level}/{self._levels}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(label, progress.step - (self._rewind if level else 0))

    def on_level(self, report: LevelReport) -> None:
        level, accuracy = report.result.level, report.result.accuracy
        then = f"  then {percent(self._then[level]):>8}" if level in self._then else ""
        how = "from the run folder" if report.resumed else f"{report.seconds:.1f} s"
        line = f"level {level:>2}/{self._levels}  accuracy {percent(accuracy):>8}{then}  {how}"
        show = self._bar.skip if report.resumed else self._bar.done
        show(line, self._total - (self._rewind if level else 0))


def _closing(agreement: Agreement, within: float | None, out: Path | None, seconds: float) -> list[str]:
    lines = []
    if agreement.state == "differs" and agreement.levels:
        rows = [
            [
                str(pair.level),
                f"{pair.kept:,}",
                percent(pair.then),
                percent(pair.now),
                f"{100 * pair.difference:+.2f}".replace("-", "−"),
            ]
            for pair in agreement.levels
        ]
        lines = [*text_table(["level", "kept", "then", "now", "points"], rows), ""]
    pairs = [("verdict", _verdict(agreement, within)), ("ticket", agreement.id)]
    if agreement.state != "identical":
        pairs.append(("now", agreement.made))
        pairs += _listed(agreement.differences)
    for step in agreement.steps[:-1]:
        pairs.append(("parent", f"{step.architecture}: {'the same id' if step.then == step.now else 'another id'}"))
    if out is not None:
        pairs.append(("wrote", click.format_filename(out)))
    pairs.append(("time", f"{seconds:.0f} s"))
    return [*lines, *fields(pairs)]


def _listed(found: Iterable[Difference]) -> list[tuple[str, str]]:
    told = [_told(difference) for difference in found if not difference.field.startswith(CONSEQUENCES)]
    lines = told[:SHOWN] + ([f"and {len(told) - SHOWN:,} more (--json)"] if len(told) > SHOWN else [])
    return [("" if number else "differ", line) for number, line in enumerate(lines)]


def _verdict(agreement: Agreement, within: float | None) -> str:
    if agreement.state == "identical":
        return "identical: the same id, so the same bytes"
    if agreement.state == "same":
        return "the same weights, mask and accuracies, bit for bit; another id, since what made it differs"
    shared = (
        f"masks overlap by {percent(agreement.iou)}, {percent(agreement.equal)} of the weights kept by both are equal"
    )
    if agreement.farthest is None:
        return f"differs: {shared}; the ticket records no accuracies to compare"
    farthest = agreement.farthest
    apart = f"accuracies are at most {100 * abs(farthest.difference):.2f} points apart, at level {farthest.level}"
    if within is None:
        return f"differs: {apart}; {shared}"
    held = agreement.holds(within / 100)
    return f"{'reproduced' if held else 'differs'}: {apart}, {within:g} {'were' if held else 'are'} allowed; {shared}"


def _as_json(
    name: str,
    out: Path | None,
    result: Reproduced,
    within: float | None,
    environment: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """The document that ``formats/reproduce-v1.md`` describes."""
    from ticketkit.report.agreement import FORMAT

    return {
        "format": dict(FORMAT),
        "path": name,
        "out": None if out is None else click.format_filename(out),
        **result.agreement.to_json(),
        "within": within,
        "reproduced": result.agreement.holds(within),
        "environment": environment,
        "seconds": seconds,
    }
