"""``ticketkit verify``: a ticket trained beside its baselines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.atomic import write_text
from ticketkit.cli.comparison import account_table, accuracy_table, cost_table, verdict_lines
from ticketkit.cli.completions import complete_arms
from ticketkit.cli.output import command_line, echo, echo_json, fields, percent, say_opening
from ticketkit.cli.progress import TrainingProgress
from ticketkit.cli.references import TICKET as TICKET_TYPE
from ticketkit.cli.references import TicketArgument, names_ticket
from ticketkit.cli.resuming import CHECKPOINT_OPTION, ResumableCommand, say_once
from ticketkit.cli.training import (
    DATA_OPTIONS,
    PARALLEL_OPTION,
    PROFILE_OPTION,
    TRAINING_OPTIONS,
    Parallel,
    Setting,
    describe_device,
    found_on,
    load_setting,
    profile_lines,
    recipe_for,
    trainings_at_once,
    with_options,
)
from ticketkit.cli.training_log import LOG_OPTION, TrainingLog
from ticketkit.cli.verification import Watcher, Work
from ticketkit.errors import TicketkitError
from ticketkit.report.comparison import DEFAULT_REFERENCE, TICKET, Report
from ticketkit.report.judgement import Expectation, parse_expectation

if TYPE_CHECKING:
    from ticketkit.ticket import Ticket

EXIT_NOT_HELD = 3
EVERY_ARM = "all"


class VerifyCommand(ResumableCommand):
    """A command whose help ends with the arms that are registered."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the arms with what each is."""
        from ticketkit.verify import ARMS

        with formatter.section("Arms"):
            formatter.write_dl([(name, arm.summary) for name, arm in ARMS.items()])


@click.command(cls=VerifyCommand, short_help="Train a ticket beside its baselines.")
@click.argument("named", metavar="TICKET", type=TICKET_TYPE)
@click.option(
    "--against",
    multiple=True,
    metavar="ARM|FILE",
    shell_complete=complete_arms,
    help="What to compare with: arms from the list below, 'all' of them, or another ticket's file; may be repeated, or "
    "several joined by commas.  [default: dense, random, reinit]",
)
@click.option(
    "--reference",
    metavar="ARM|FILE",
    shell_complete=complete_arms,
    default=DEFAULT_REFERENCE,
    show_default=True,
    help="What the elastic hypothesis compares the ticket with, if it is among those.",
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0, max=100),
    default=0.5,
    show_default=True,
    help="How far below it the ticket may be, in points of accuracy.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Trainings of each arm.")
@click.option("--seed", "first_seed", type=int, default=0, show_default=True, help="The first of the seeds.")
@click.option(
    "--start",
    type=click.Choice(["rewind", "0"]),
    default="rewind",
    show_default=True,
    help="Where in the schedule every arm starts: at the ticket's rewind step, or at step 0, with the warm-up.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Fraction of the remaining weights that imp and lrr prune at each level.",
)
@click.option(
    "--dst-multiplier",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many times longer rigl and set train.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where finished trainings are kept for --resume, and the levels that imp and lrr train for any verification.",
)
@click.option("--resume", is_flag=True, help="Take the trainings that --runs holds of this verification; do the rest.")
@CHECKPOINT_OPTION
@with_options(*DATA_OPTIONS, *TRAINING_OPTIONS, PARALLEL_OPTION, PROFILE_OPTION, LOG_OPTION)
@click.option(
    "--expect",
    "expectations",
    multiple=True,
    metavar="better-than=ARM|no-worse-than=ARM",
    help="Exit with 3 unless the ticket beats this arm by more than noise (the 95 % interval is above 0), or is within "
    "the margin of it (the interval is above it).",
)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as JSON here.")
@click.option("--force", is_flag=True, help="Replace the report if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    named: TicketArgument,
    against: tuple[str, ...],
    reference: str,
    margin: float,
    seeds: int,
    first_seed: int,
    start: str,
    rate: float,
    dst_multiplier: int,
    runs: Path,
    resume: bool,
    checkpoint_seconds: float,
    dataset: str | None,
    data_dir: Path | None,
    image_size: int | None,
    resize: int | None,
    stream: bool | None,
    limit: int | None,
    fraction: float | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    precision: str | None,
    threads: int | None,
    compiled: bool,
    graphs: bool,
    deterministic: bool,
    parallel: Parallel,
    profile: bool,
    log_dir: Path | None,
    expectations: tuple[str, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a ticket beside its baselines and say whether it is better.

    Every arm keeps as many weights as the ticket and gets the same recipe, data order, augmentation and seeds. Data and
    recipe are those that the ticket was found with, unless others are given. Accuracies are printed with their spread
    over the seeds, and the verdict on the elastic hypothesis: that the ticket is no more than --margin below
    --reference.

    The report goes to --out as JSON, for ticketkit report. Finished trainings are kept in --runs: a verification that
    was killed goes on with --resume, and IMP runs that several verifications need are made once.

    Exits with 3 if an --expect does not hold, so that scripts and continuous integration can ask for it.

    \b
    Examples:
      ticketkit verify resnet20-to-resnet32.st
          Against dense, random and reinit, three seeds each.
      ticketkit verify a.st --against imp,random --expect no-worse-than=imp
          Against IMP on the network itself, and exit with 3 if worse.
      ticketkit verify a.st --against all --seeds 5 -o a.verify.json
          Every arm that goes with the ticket; the report as JSON.
      ticketkit verify a.st --against b.st --log-dir logs
          Two tickets side by side, each training a run of TensorBoard.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_ticket
    from ticketkit.verify import ARMS, DEFAULT_ARMS, verify_ticket

    ticket = load_ticket(named.file())
    if out is not None:
        _check_target(out, ticket, force=force, resume=resume)
    names = [name for item in against for name in item.split(",")] or list(DEFAULT_ARMS)
    others = [TicketArgument(name) for name in names if names_ticket(name)]
    rivals = {other.path.stem: load_ticket(other.file()) for other in others}
    arms, left_out = _arms(ticket, [name for name in names if not names_ticket(name)])
    for name in arms:
        ARMS[name]  # refuses an unknown one before anything is loaded or trained
    reference = TicketArgument(reference).path.stem if names_ticket(reference) else reference
    expected = [_expectation(text, [*arms, *rivals]) for text in expectations]
    log = TrainingLog(log_dir)
    setting = load_setting(
        dataset=dataset or found_on(ticket, named.path),
        data_dir=data_dir,
        image_size=image_size,
        resize=resize,
        stream=stream,
        limit=limit,
        fraction=fraction,
        recipe=recipe_for(ticket, recipe, overrides, named.path),
        device=device,
        precision=precision,
        threads=threads,
        compiled=compiled,
        graphs=graphs,
        deterministic=deterministic,
    )
    all_seeds = [first_seed + number for number in range(seeds)]
    at_once = setting.at_once(parallel, seeds * len([TICKET, *arms, *rivals]), ticket.arch)
    say_opening(*_opening(ticket, str(named), setting, all_seeds, start, at_once), *left_out, beside_json=as_json)
    work = Work.of(ticket, setting, start, rate, dst_multiplier)
    began = time.perf_counter()
    with TrainingProgress(seeds * work.of_all([TICKET, *arms, *rivals])) as bar, log:
        watcher = Watcher(bar, log, work)
        report = verify_ticket(
            ticket,
            setting.data,
            setting.recipe,
            arms=arms,
            rivals=rivals,
            seeds=all_seeds,
            start=start,  # type: ignore[arg-type]  # click has checked the choice
            reference=reference,
            margin=margin / 100,
            rate=rate,
            dst_multiplier=dst_multiplier,
            runs=runs,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            device=setting.compute,
            parallel=at_once,
            on_run=watcher.on_run,
            on_epoch=watcher.on_epoch,
            on_wait=say_once(),
        )
    report = replace(report, command=command_line())
    document = report.to_json()
    if out is not None:
        _write(out, document, force=force, resume=resume)
    if as_json:
        echo_json(document)
    else:
        echo("", *_shown(report))
    if profile:
        wall = time.perf_counter() - began
        echo("", *profile_lines(watcher.spent, wall, at_once), err=as_json)
    failed = [expectation for expectation in expected if not expectation.holds(report)]
    if failed:
        echo(f"Not held: {', '.join(map(str, failed))}.", err=True)
        sys.exit(EXIT_NOT_HELD)


def _check_target(out: Path, ticket: Ticket, *, force: bool, resume: bool) -> None:
    """Refuse a place where the report could not be written, before hours of training and not after."""
    if out.exists() and not force and not (resume and _ticket_of(out) == ticket.id):
        raise TicketkitError(f"a report must not be overwritten without --force (a file is there already): {out}")
    if not os.access(out.parent, os.W_OK):
        raise TicketkitError(f"a report must be written to a folder that exists and is writable: {out}")


def _ticket_of(out: Path) -> str | None:
    """Id of the ticket that a report is about; None for a file that is no report."""
    try:
        return Report.from_json(json.loads(out.read_text(encoding="utf-8"))).ticket_id
    except (OSError, ValueError, RecursionError, TicketkitError):
        return None


def _write(out: Path, document: dict[str, Any], *, force: bool, resume: bool) -> None:
    """Write the report; one that a resumed verification finds stays, if it is its own, from before it was killed."""
    try:
        if resume and not force and out.exists():
            found = json.loads(out.read_text(encoding="utf-8"))
            if {**found, "command": ""} == {**document, "command": ""}:
                return
        write_text(out, json.dumps(document, indent=2, allow_nan=False) + "\n", overwrite=force)
    except FileExistsError:
        raise TicketkitError(f"a report must not be overwritten without --force (another is there): {out}") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise TicketkitError(f"a report must be written to a writable place ({why or error}): {out}") from None


def _arms(ticket: Ticket, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arms that were asked for; of all of them those that go with the ticket, and lines on those that do not."""
    from ticketkit.verify import ARMS, obstacles

    if EVERY_ARM not in names:
        return list(names), []
    against = obstacles(ticket)
    lines = [f"{name}: there must be {obstacle}" for name, obstacle in against.items()]
    left_out = fields(("" if number else "left out", line) for number, line in enumerate(lines))
    return [name for name in ARMS if name != TICKET and name not in against], left_out


def _expectation(text: str, names: list[str]) -> Expectation:
    try:
        return parse_expectation(text, names)
    except TicketkitError as error:
        raise click.UsageError(f"--expect: {error}") from None


def _shown(report: Report) -> list[str]:
    """Everything there is to say, what it cost only where arms differ in it."""
    parts = [accuracy_table(report)]
    if any(arm.cost is not None and arm.cost.setup_flops for arm in report.arms if arm.name != "dense"):
        parts += [cost_table(report), account_table(report)]
    parts.append(verdict_lines(report))
    return [line for part in parts if part for line in (*part, "")][:-1]


def _opening(ticket: Ticket, name: str, setting: Setting, seeds: list[int], start: str, at_once: int) -> list[str]:
    data, recipe = setting.data, setting.recipe
    found_on = ticket.provenance.dataset
    other = ""
    if found_on is not None and found_on.fingerprint != data.fingerprint:
        other = f"; not the data the ticket was found on ({found_on.name})"
    begins = "step 0" if start == "0" else f"step {ticket.weights.step or 0} (rewind)"
    return fields(
        [
            ("ticket", f"{name}: {ticket.arch.name}, {percent(ticket.sparsity)} sparse"),
            ("data", f"{data.name}: {len(data.train_labels):,} training, {len(data.test_labels):,} test images{other}"),
            ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch}, from {begins}"),
            ("device", f"{describe_device(setting)}{trainings_at_once(at_once)}, seeds {', '.join(map(str, seeds))}"),
        ]
    )
