"""``ticketkit connect``: are two trainings of a ticket linearly connected, or is there a barrier between them?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click

from ticketkit.atomic import write_text
from ticketkit.cli.output import command_line, counted, echo, echo_json, fields, percent, say_opening, text_table
from ticketkit.cli.progress import TrainingProgress
from ticketkit.cli.references import TICKET, TicketArgument
from ticketkit.cli.training import (
    DATA_OPTIONS,
    TRAINING_OPTIONS,
    Setting,
    describe_device,
    found_on,
    load_setting,
    recipe_for,
    with_options,
)
from ticketkit.cli.training_log import ACCURACY, LOG_OPTION, TrainingLog, run_name
from ticketkit.errors import TicketkitError
from ticketkit.report.connection import STABLE_BELOW, Connection, Curve, Point, connections_to_json

if TYPE_CHECKING:
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress

NAME_WIDTH = 16
CURVE_WIDTH = 40
LEAST_HEIGHT = 0.1
"""A curve is drawn at least this high, ten points, so that noise does not look like a valley."""

_LEVELS = "▁▂▃▄▅▆▇█"


@click.command(short_help="Look for a barrier between two trainings.")
@click.argument("named", metavar="TICKET...", nargs=-1, required=True, type=TICKET)
@click.option("--pairs", type=click.IntRange(min=1), default=1, show_default=True, help="Pairs of trainings a ticket.")
@click.option("--seed", "first_seed", type=int, default=0, show_default=True, help="The first pair's seed.")
@click.option(
    "--points", type=click.IntRange(min=2), default=30, show_default=True, help="Points of the line, ends included."
)
@click.option(
    "--start",
    type=click.Choice(["rewind", "0"]),
    default="rewind",
    show_default=True,
    help="Where in the schedule every training starts: at the ticket's rewind step, or at step 0, with the warm-up.",
)
@with_options(*DATA_OPTIONS, *TRAINING_OPTIONS, LOG_OPTION)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the result as JSON here.")
@click.option("--force", is_flag=True, help="Replace the result if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    named: tuple[TicketArgument, ...],
    pairs: int,
    first_seed: int,
    points: int,
    start: str,
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
    log_dir: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train a ticket twice under different data order, and see whether accuracy falls between the two ends.

    Both trainings start from the ticket's weights; the network is then evaluated along the straight line between them,
    its running statistics recomputed at every point. If accuracy falls nowhere on the line by 2 points or more, the
    ticket is stable to the noise of SGD.

    Several tickets are trained alike: with the data and the recipe that the first of them was found with, unless others
    are given. The result goes to --out as JSON, for ticketkit report.

    \b
    Examples:
      ticketkit connect resnet32.st
          One pair of trainings, 30 points between their ends.
      ticketkit connect resnet32.st resnet20-to-resnet32.st --pairs 3 \\
            -o connect.json
          Is the stretched ticket as stable as the one that was found?
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.bundle import load_ticket
    from ticketkit.connect import connect_ticket

    if out is not None and out.exists() and not force:
        raise TicketkitError(f"a result must not be overwritten without --force (a file is there already): {out}")
    tickets = {name: load_ticket(ticket.file()) for name, ticket in _names(named).items()}
    first = next(iter(tickets.values()))
    log = TrainingLog(log_dir)
    setting = load_setting(
        dataset=dataset or found_on(first, named[0].path),
        data_dir=data_dir,
        image_size=image_size,
        resize=resize,
        stream=stream,
        limit=limit,
        fraction=fraction,
        recipe=recipe_for(first, recipe, overrides, named[0].path),
        device=device,
        precision=precision,
        threads=threads,
        compiled=compiled,
        graphs=graphs,
        deterministic=deterministic,
    )
    seeds = [first_seed + number for number in range(pairs)]
    work = {name: _Work.of(ticket, setting, start, points) for name, ticket in tickets.items()}
    say_opening(*_opening(tickets, setting, seeds, work), beside_json=as_json)
    connections = []
    with TrainingProgress(sum(pairs * steps.total for steps in work.values())) as bar, log:
        for name, ticket in tickets.items():
            watcher = _Watcher(bar, log, name, work[name])
            connection = connect_ticket(
                ticket,
                setting.data,
                setting.recipe,
                seeds=seeds,
                points=points,
                start=start,  # type: ignore[arg-type]  # click has checked the choice
                device=setting.compute,
                name=name,
                on_epoch=watcher.on_epoch,
                on_point=watcher.on_point,
                on_curve=watcher.on_curve,
            )
            connections.append(replace(connection, command=command_line()))
    document = connections_to_json(connections)
    if out is not None:
        write_text(out, json.dumps(document, indent=2, allow_nan=False) + "\n", overwrite=force)
    if as_json:
        echo_json(document)
    else:
        echo("", *_table(connections), _legend(connections), "", *_curves(connections), "", *_verdict(connections))


def _names(named: Sequence[TicketArgument]) -> dict[str, TicketArgument]:
    """What each ticket is called: its file's stem, or the whole reference where two files share that."""
    stems = [ticket.path.stem for ticket in named]
    names = {stem if stems.count(stem) == 1 else str(one): one for stem, one in zip(stems, named, strict=True)}
    if len(names) < len(named):
        raise click.UsageError("each TICKET must be given once")
    return names


def _opening(tickets: dict[str, Ticket], setting: Setting, seeds: list[int], work: dict[str, _Work]) -> list[str]:
    data, recipe = setting.data, setting.recipe
    lines = []
    for name, ticket in tickets.items():
        found_on = ticket.provenance.dataset
        other = ""
        if found_on is not None and found_on.fingerprint != data.fingerprint:
            other = f"; found on other data ({found_on.name})"
        begins = f"from step {work[name].first_step}"
        lines.append(f"{name}: {ticket.arch.name}, {percent(ticket.sparsity)} sparse, {begins}{other}")
    points = next(iter(work.values())).points
    seeds_shown = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    return fields(
        [
            *(("" if number else "ticket", line) for number, line in enumerate(lines)),
            ("data", f"{data.name}: {len(data.train_labels):,} training, {len(data.test_labels):,} test images"),
            ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch}"),
            ("line", f"{points} points between the ends of {counted(len(seeds), 'pair')} of trainings, {seeds_shown}"),
            ("device", describe_device(setting)),
        ]
    )


class _Work:
    """How long one pair takes, in optimiser steps; a point of the line is as many as its forward passes are worth.

    Args:
        first_step: The step that both trainings start at.
        training: Steps of one training.
        point: Steps that a point is worth.
        points: Points of the line.
    """

    def __init__(self, *, first_step: int, training: int, point: float, points: int) -> None:
        self.first_step = first_step
        self.training = training
        self.point = point
        self.points = points
        self.total = 2 * training + round(points * point)

    @classmethod
    def of(cls, ticket: Ticket, setting: Setting, start: str, points: int) -> _Work:
        """Estimate a ticket's, and refuse one that does not fit the data and the recipe, before any is trained."""
        from ticketkit.connect import TRAINING_IMAGES
        from ticketkit.train import check_fits
        from ticketkit.train.flops import TRAINING_PASSES
        from ticketkit.train.setting import first_step_of

        data, recipe = setting.data, setting.recipe
        check_fits(ticket.arch, data)
        first_step = first_step_of(ticket, recipe, setting.steps_per_epoch, start)  # type: ignore[arg-type]  # checked
        # Running statistics and training loss take a pass each over training images.
        images = len(data.test_labels) + 2 * min(len(data.train_labels), TRAINING_IMAGES)
        return cls(
            first_step=first_step,
            training=recipe.total_steps(setting.steps_per_epoch) - first_step,
            point=images / (TRAINING_PASSES * recipe.batch),
            points=points,
        )


class _Watcher:
    """Follows one ticket's pairs with the progress bar and the log."""

    def __init__(self, bar: TrainingProgress, log: TrainingLog, name: str, work: _Work) -> None:
        self._bar = bar
        self._log = log
        self._name = name
        self._work = work
        self._points = 0

    def on_epoch(self, seed: int, end: int, progress: Progress) -> None:
        label = f"{self._name}, seed {seed}, end {end + 1}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(label, end * self._work.training + progress.step - self._work.first_step)
        self._log.epoch(self._run(seed, f"end-{end + 1}"), progress)

    def on_point(self, seed: int, point: Point) -> None:
        self._points += 1
        label = f"{self._name}, seed {seed}  alpha {point.alpha:.2f}"
        self._bar.epoch(label, 2 * self._work.training + round(self._points * self._work.point))

    def on_curve(self, curve: Curve) -> None:
        self._points = 0
        first, second = (f"{100 * accuracy:.2f}" for accuracy in curve.ends)
        line = (
            f"{_short(self._name):<{NAME_WIDTH}}  seed {curve.seed}  ends {first} {second} %  "
            f"barrier {100 * curve.barrier:.2f}  {curve.seconds:.1f} s"
        )
        self._bar.done(line, self._work.total)
        last = self._work.first_step + self._work.training
        for end, accuracy in enumerate(curve.ends):
            self._log.end(self._run(curve.seed, f"end-{end + 1}"), last, {ACCURACY: accuracy})
        self._log.curve(self._run(curve.seed, "line"), curve)

    def _run(self, seed: int, part: str) -> str:
        return run_name(self._name, f"seed-{seed}", part)


def _table(connections: Sequence[Connection]) -> list[str]:
    heads = ["ticket", "end 1", "end 2", "lowest", "at alpha", "barrier", "loss barrier"]
    rows = []
    for connection in connections:
        curves = connection.curves
        places = sorted({f"{curve.lowest.alpha:.2f}" for curve in curves})
        spread = "" if connection.deviation is None else f" ± {100 * connection.deviation:.2f}"
        rows.append(
            [
                _short(connection.name),
                *(f"{100 * fmean(curve.points[end].accuracy for curve in curves):.2f}" for end in (0, -1)),
                f"{100 * fmean(curve.lowest.accuracy for curve in curves):.2f}",
                places[0] if len(places) == 1 else f"{places[0]}-{places[-1]}",
                f"{100 * connection.barrier:.2f}{spread}",
                f"{fmean(curve.loss_barrier for curve in curves):.3f}",
            ]
        )
    return text_table(heads, rows, left={"ticket"})


def _curves(connections: Sequence[Connection]) -> list[str]:
    """A line of text a ticket: accuracy along the line, the mean of its pairs."""
    lines = [click.style("Accuracy in % from end 1 to end 2, statistics recomputed at each point", bold=True)]
    width = max(len(_short(connection.name)) for connection in connections)
    for connection in connections:
        accuracies = [
            fmean(point.accuracy for point in points)
            for points in zip(*(curve.points for curve in connection.curves), strict=True)
        ]
        span = f"{100 * min(accuracies):.2f} to {100 * max(accuracies):.2f}"
        lines.append(f"{_short(connection.name):<{width}}  {_drawn(accuracies)}  {span}")
    return lines


def _drawn(accuracies: Sequence[float]) -> str:
    """Accuracies as bars of eight heights; of more than fit, the lowest of each few."""
    columns = min(len(accuracies), CURVE_WIDTH)
    edges = [column * len(accuracies) // columns for column in range(columns + 1)]
    shown = [min(accuracies[begin:end]) for begin, end in pairwise(edges)]
    top = max(accuracies)
    height = max(top - min(accuracies), LEAST_HEIGHT)
    steps = len(_LEVELS) - 1
    return "".join(_LEVELS[steps - round(steps * (top - accuracy) / height)] for accuracy in shown)


def _legend(connections: Sequence[Connection]) -> str:
    spread = " ± deviation over pairs" if len(connections[0].curves) > 1 else ""
    return f"barrier in points{spread}; below {100 * STABLE_BELOW:.0f} is stable to SGD's noise"


def _verdict(connections: Sequence[Connection]) -> list[str]:
    stable = [connection.name for connection in connections if connection.is_stable]
    unstable = [connection.name for connection in connections if not connection.is_stable]
    return fields([(label, ", ".join(names)) for label, names in (("stable", stable), ("unstable", unstable)) if names])


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"
