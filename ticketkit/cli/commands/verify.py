"""``ticketkit verify``: a ticket trained beside its baselines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.atomic import write_text
from ticketkit.bundle import load_ticket
from ticketkit.cli.output import echo, echo_json, fields, percent, text_table
from ticketkit.cli.training import (
    DATA_OPTIONS,
    TRAINING_OPTIONS,
    Setting,
    TrainingProgress,
    describe_device,
    load_setting,
    with_options,
)
from ticketkit.errors import TicketkitError
from ticketkit.recipe import load_recipe, override_recipe
from ticketkit.report.comparison import TICKET, Report, verdict

if TYPE_CHECKING:
    from ticketkit.recipe import Recipe
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress
    from ticketkit.verify import RunReport

EXIT_NOT_HELD = 3
NAME_WIDTH = 11
SHOWN_SEEDS = 3
"""More seeds than this do not fit beside the other columns; they stand in the JSON."""


@click.command(short_help="Train a ticket beside its baselines.")
@click.argument("path", metavar="TICKET", type=click.Path(path_type=Path))
@click.option(
    "--against",
    multiple=True,
    metavar="ARM|FILE",
    help="What to compare with: dense, random, reinit (the default: all three), or another ticket's file; "
    "may be repeated, or several joined by commas.",
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
@with_options(*DATA_OPTIONS, *TRAINING_OPTIONS)
@click.option(
    "--expect",
    "expectations",
    multiple=True,
    metavar="better-than=ARM",
    help="Exit with 3 unless the ticket beats this arm by more than noise (the 95 % interval is above 0).",
)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as JSON here.")
@click.option("--force", is_flag=True, help="Replace the report if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    path: Path,
    against: tuple[str, ...],
    seeds: int,
    first_seed: int,
    start: str,
    dataset: str | None,
    data_dir: Path | None,
    image_size: int | None,
    limit: int | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    precision: str | None,
    threads: int | None,
    expectations: tuple[str, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a ticket beside its baselines and say whether it is better.

    Every arm gets the same recipe, data order, augmentation, seeds and start of the schedule. Data and recipe are those
    that the ticket was found with, unless others are given.

    \b
    ticketkit verify resnet20-to-resnet56.st --seeds 5 --expect better-than=random
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.verify import ARMS, DEFAULT_ARMS, verify_ticket

    if out is not None and out.exists() and not force:
        raise TicketkitError(f"a report must not be overwritten without --force (a file is there already): {out}")
    ticket = load_ticket(path)
    names = [name for item in against for name in item.split(",")] or list(DEFAULT_ARMS)
    rivals = {Path(name).stem: load_ticket(name) for name in names if name.endswith(".st")}
    arms = [name for name in names if not name.endswith(".st")]
    for name in arms:
        ARMS[name]  # refuses an unknown one before anything is loaded or trained
    expected = [_expected_rival(text, [*arms, *rivals]) for text in expectations]
    setting = load_setting(
        dataset=dataset or _found_on(ticket, path),
        data_dir=data_dir,
        image_size=image_size,
        limit=limit,
        recipe=_recipe(ticket, recipe, overrides, path),
        device=device,
        precision=precision,
        threads=threads,
    )
    all_seeds = [first_seed + number for number in range(seeds)]
    echo(*_opening(ticket, path, setting, all_seeds, start), err=as_json)
    with TrainingProgress(_total_steps(ticket, setting, start, (1 + len(names)) * seeds)) as bar:
        watcher = _Watcher(bar, ticket, setting, start)
        report = verify_ticket(
            ticket,
            setting.data,
            setting.recipe,
            arms=arms,
            rivals=rivals,
            seeds=all_seeds,
            start=start,  # type: ignore[arg-type]  # click has checked the choice
            device=setting.compute,
            on_run=watcher.on_run,
            on_epoch=watcher.on_epoch,
        )
    document = report.to_json()
    if out is not None:
        write_text(out, json.dumps(document, indent=2, allow_nan=False) + "\n", overwrite=force)
    if as_json:
        echo_json(document)
    else:
        legend = "accuracy ± standard deviation; lead ± half its 95 % interval, paired by seed" if seeds > 1 else ""
        echo("", *_table(report), *([legend] if legend else []), "", verdict(report))
    failed = [name for name in expected if not report.lead_over(name).is_above_zero]
    if failed:
        echo(f"Not held: better-than={', '.join(failed)}.", err=True)
        sys.exit(EXIT_NOT_HELD)


def _found_on(ticket: Ticket, path: Path) -> str:
    found_on = ticket.provenance.dataset
    if found_on is None:
        raise click.UsageError(f"--dataset must be given: {path} does not say what it was found on")
    return found_on.name.partition(":")[0].partition("[")[0]


def _recipe(ticket: Ticket, recipe: str | None, overrides: tuple[str, ...], path: Path) -> Recipe:
    if recipe is not None:
        return load_recipe(recipe, overrides)
    values: Mapping[str, Any] | None = ticket.provenance.recipe
    if values is None:
        raise click.UsageError(f"--recipe must be given: {path} does not say how it was found")
    return override_recipe(values, overrides, where=str(path))


def _expected_rival(text: str, names: list[str]) -> str:
    relation, _, name = text.partition("=")
    if relation != "better-than" or name not in names:
        known = ", ".join(f"better-than={name}" for name in names)
        raise click.UsageError(f"--expect must be one of {known} (got {text!r})")
    return name


def _opening(ticket: Ticket, path: Path, setting: Setting, seeds: list[int], start: str) -> list[str]:
    data, recipe = setting.data, setting.recipe
    found_on = ticket.provenance.dataset
    other = ""
    if found_on is not None and found_on.fingerprint != data.fingerprint:
        other = f"; not the data the ticket was found on ({found_on.name})"
    begins = "step 0" if start == "0" else f"step {ticket.weights.step or 0} (rewind)"
    return fields(
        [
            ("ticket", f"{path}: {ticket.arch.name}, {percent(ticket.sparsity)} sparse"),
            ("data", f"{data.name}: {len(data.train_labels):,} training, {len(data.test_labels):,} test images{other}"),
            ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch}, from {begins}"),
            ("device", f"{describe_device(setting)}, seeds {', '.join(map(str, seeds))}"),
        ]
    )


def _first_step(ticket: Ticket, start: str) -> int:
    return 0 if start == "0" else ticket.weights.step or 0


def _total_steps(ticket: Ticket, setting: Setting, start: str, trainings: int) -> int:
    return trainings * (setting.recipe.total_steps(setting.steps_per_epoch) - _first_step(ticket, start))


class _Watcher:
    """Follows a verification with its progress bar."""

    def __init__(self, bar: TrainingProgress, ticket: Ticket, setting: Setting, start: str) -> None:
        self._bar = bar
        self._first_step = _first_step(ticket, start)
        self._steps = _total_steps(ticket, setting, start, 1)

    def on_epoch(self, arm: str, seed: int, progress: Progress) -> None:
        label = f"{arm}, seed {seed}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(label, progress.step - self._first_step)

    def on_run(self, report: RunReport) -> None:
        run = report.run
        line = f"seed {run.seed}  {report.arm:<12}  accuracy {percent(run.accuracy):>8}  {run.seconds:.1f} s"
        self._bar.done(line, self._steps)


def _table(report: Report) -> list[str]:
    heads = ["arm", "kept %", "untrained", "accuracy", "ticket's lead"]
    show_seeds = len(report.arms[0].runs) <= SHOWN_SEEDS
    rows = []
    for arm in report.arms:
        untrained = sum(run.untrained for run in arm.runs) / len(arm.runs)
        row = [
            arm.name if len(arm.name) <= NAME_WIDTH else arm.name[: NAME_WIDTH - 1] + "…",
            f"{100 * arm.kept / arm.total:.2f}",
            f"{100 * untrained:.1f}",
            _plus_minus(f"{100 * arm.mean:.2f}", arm.deviation),
            "" if arm.name == TICKET else _shown_lead(report, arm.name),
        ]
        rows.append([*row, " ".join(f"{100 * value:.1f}" for value in arm.accuracies)] if show_seeds else row)
    return text_table([*heads, "each seed"] if show_seeds else heads, rows, left={"arm", "each seed"})


def _shown_lead(report: Report, name: str) -> str:
    lead = report.lead_over(name)
    return _plus_minus(f"{100 * lead.mean:+.2f}", None if lead.high is None else lead.high - lead.mean)


def _plus_minus(shown: str, spread: float | None) -> str:
    return shown if spread is None else f"{shown} ± {100 * spread:.2f}"
