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
from ticketkit.cli.output import command_line, echo, echo_json, fields, percent
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
    TrainingProgress,
    describe_device,
    found_on,
    load_setting,
    profile_lines,
    recipe_for,
    trainings_at_once,
    with_options,
)
from ticketkit.errors import TicketkitError
from ticketkit.report.comparison import DEFAULT_REFERENCE, TICKET, Report
from ticketkit.report.judgement import Expectation, parse_expectation

if TYPE_CHECKING:
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress
    from ticketkit.train.loop import Spent
    from ticketkit.verify import RunReport

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
    help="What to compare with: arms from the list below, 'all' of them, or another ticket's file; may be repeated, or "
    "several joined by commas.  [default: dense, random, reinit]",
)
@click.option(
    "--reference",
    metavar="ARM|FILE",
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
@with_options(*DATA_OPTIONS, *TRAINING_OPTIONS, PARALLEL_OPTION, PROFILE_OPTION)
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
    stream: bool | None,
    limit: int | None,
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
    expectations: tuple[str, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a ticket beside its baselines and say whether it is better.

    Every arm keeps as many weights as the ticket and gets the same recipe, data order, augmentation and seeds. Data and
    recipe are those that the ticket was found with, unless others are given.

    \b
    ticketkit verify resnet20-to-resnet32.st --against imp,random --expect no-worse-than=imp
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
    setting = load_setting(
        dataset=dataset or found_on(ticket, named.path),
        data_dir=data_dir,
        image_size=image_size,
        stream=stream,
        limit=limit,
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
    echo(*_opening(ticket, str(named), setting, all_seeds, start, at_once), *left_out, err=as_json)
    work = _Work.of(ticket, setting, start, rate, dst_multiplier)
    began = time.perf_counter()
    with TrainingProgress(seeds * work.of_all([TICKET, *arms, *rivals])) as bar:
        watcher = _Watcher(bar, work)
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


class _Work:
    """Optimiser steps, by which the progress bar goes.

    Args:
        training: Steps of an arm's training.
        whole: Steps of the whole schedule.
        levels: Levels that ``imp`` and ``lrr`` train, the dense network included.
        dst_multiplier: How many times longer dynamic sparse training takes.
    """

    def __init__(self, training: int, whole: int, levels: int, dst_multiplier: int) -> None:
        self.training = training
        self._whole = whole
        self.levels = levels
        self._dst_multiplier = dst_multiplier

    @classmethod
    def of(cls, ticket: Ticket, setting: Setting, start: str, rate: float, dst_multiplier: int) -> _Work:
        """The steps that verifying this ticket takes."""
        from ticketkit.verify.bench import levels_above

        whole = setting.recipe.total_steps(setting.steps_per_epoch)
        first = 0 if start == "0" else ticket.weights.step or 0
        return cls(whole - first, whole, 1 + levels_above(ticket.total, ticket.kept, rate), dst_multiplier)

    def of_arm(self, name: str) -> int:
        """Steps of one run of an arm, with what has to be trained before."""
        from ticketkit.verify import ARMS

        if name not in ARMS:  # another ticket
            return self.training
        arm = ARMS[name]
        own = self._whole * self._dst_multiplier if arm.lengthened else self.training
        return own + (self.levels * self._whole if arm.finds is not None else 0)

    def of_all(self, names: Sequence[str]) -> int:
        """Steps of one run of each arm."""
        return sum(map(self.of_arm, names))


class _Watcher:
    """Follows a verification with its progress bar."""

    def __init__(self, bar: TrainingProgress, work: _Work) -> None:
        self._bar = bar
        self._work = work
        self.spent: list[Spent] = []

    def on_epoch(self, label: str, seed: int, progress: Progress) -> None:
        shown = f"{label}, seed {seed}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(shown, progress.step, (seed, label))

    def on_run(self, report: RunReport) -> None:
        run = report.run
        self.spent.append(report.spent)
        how = "from the folder of runs" if report.resumed else f"{run.seconds:.1f} s"
        line = f"seed {run.seed}  {report.arm:<14}  accuracy {percent(run.accuracy):>8}  {how}"
        if report.resumed:
            self._bar.skip(line, self._work.of_arm(report.arm))
        else:
            self._bar.done(line, self._work.of_arm(report.arm), *self._of(report))

    def _of(self, report: RunReport) -> list[tuple[int, str]]:
        """The trainings that an arm's run consisted of."""
        from ticketkit.verify import ARMS
        from ticketkit.verify.bench import TO_REWIND_STEP, label_of_level

        finds = ARMS[report.arm].finds if report.arm in ARMS else None
        labels = [report.arm, TO_REWIND_STEP]
        if finds is not None:
            labels += [label_of_level(finds, level) for level in range(self._work.levels)]
        return [(report.run.seed, label) for label in labels]
