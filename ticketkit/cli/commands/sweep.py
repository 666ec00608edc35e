"""``ticketkit sweep``: a study, cell by cell; a killed one goes on where it was."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.output import counted, echo, echo_json, fields
from ticketkit.cli.training import COMPUTE_OPTIONS, TrainingProgress, with_options

if TYPE_CHECKING:
    from ticketkit.report.cells import StudyResults
    from ticketkit.sweep.plan import Plan, Task
    from ticketkit.sweep.run import Done, Outcome, Shard
    from ticketkit.sweep.study import Study
    from ticketkit.train import Progress

EXIT_INCOMPLETE = 1


def _shard(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(f"a shard must be written 1/4, 2/4, …, 4/4 (got {value!r})")
    return int(match[1]), int(match[2])


@click.command(short_help="Run a study: sources × targets × sparsities × arms × seeds.")
@click.argument("path", metavar="STUDY", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of its results.  [default: the study's name, in this folder]",
)
@click.option("--shard", callback=_shard, metavar="I/N", help="Do one of N parts only, for a job array.")
@click.option("--data-dir", metavar="DIR", help="Where the study's own data lie, instead of where it says.")
@click.option("--limit", type=click.IntRange(min=1), help="Train on so many images only, instead of what it says.")
@click.option("--seeds", type=click.IntRange(min=1), help="Take the seeds 0 to N − 1, instead of what it says.")
@with_options(*COMPUTE_OPTIONS)
@click.option("--ray", metavar="ADDRESS", help="Do the cells on a Ray cluster: its address, 'auto' or 'local'.")
@click.option("--ray-cpus", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Processors of a cell.")
@click.option("--ray-gpus", type=click.FloatRange(min=0), default=0.0, show_default=True, help="GPUs of a cell.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print every comparison as JSON.")
def command(
    path: Path,
    out: Path | None,
    shard: tuple[int, int] | None,
    data_dir: str | None,
    limit: int | None,
    seeds: int | None,
    device: str,
    precision: str | None,
    threads: int | None,
    ray: str | None,
    ray_cpus: float,
    ray_gpus: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a study: every source, target, sparsity, arm, seed and policy that its file names.

    Each cell of the grid is a file in the study's folder, so a killed sweep goes on where it was, and a study that has
    been made larger does what is new. IMP runs come first and are shared.

    \b
    ticketkit sweep examples/studies/figure-6-quick.toml -o runs/figure-6
    ticketkit report runs/figure-6 -o figure-6.html
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.report.cells import read_study
    from ticketkit.sweep.laboratory import Laboratory, data_of
    from ticketkit.sweep.plan import plan_study
    from ticketkit.sweep.run import InProcess, Shard, run_study
    from ticketkit.sweep.study import change_study, load_study

    study = change_study(load_study(path), data_dir=data_dir, limit=limit, seeds=seeds)
    folder = out or Path(path.stem)
    part = Shard(number=shard[0], count=shard[1]) if shard else Shard()
    plan = plan_study(study, data_of)
    settings: dict[str, Any] = {"device": device, "precision": precision, "threads": threads}
    laboratory = Laboratory(study, folder, **settings)
    echo(*_opening(study, plan, folder, part, laboratory.compute.summary), err=as_json)
    if dry_run:
        return
    line = shlex.join(["ticketkit", *sys.argv[1:]])
    with TrainingProgress(_steps_left(plan, part, folder)) as bar:
        watcher = _Watcher(bar)
        if ray is None:
            doing = InProcess(laboratory=laboratory, on_epoch=watcher.on_epoch, on_done=watcher.on_done)
            outcome = run_study(study, plan, folder, doing, shard=part, command=line)
        else:
            from ticketkit.sweep.on_ray import OnRay, connected

            on_ray = OnRay(
                study=study, folder=folder, cpus=ray_cpus, gpus=ray_gpus, settings=settings, on_done=watcher.on_done
            )
            with connected(ray):
                outcome = run_study(study, plan, folder, on_ray, shard=part, command=line)
    results = read_study(folder)
    if as_json:
        echo_json({"format": {"name": "ticketkit-sweep", "version": "1.0"}, **_as_json(results, outcome)})
    else:
        from ticketkit.cli.study import study_lines

        echo("", *study_lines(results), "", *_closing(results, outcome, folder))
    if outcome.failed:
        sys.exit(EXIT_INCOMPLETE)


def _opening(study: Study, plan: Plan, folder: Path, shard: Shard, computing: str) -> list[str]:
    recipe, data = study.recipe, study.data
    left = f"{_left(plan.finds, shard, folder)} IMP runs and {_left(plan.cells, shard, folder):,} cells to do"
    pairs = [
        ("study", study.title),
        ("data", data.dataset if data.limit is None else f"{data.dataset}, {data.limit:,} training images"),
        ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batch {recipe.batch}, rewinding to {recipe.rewind}"),
        ("grid", f"{counted(len(plan.finds), 'IMP run')}, {counted(len(plan.cells), 'cell')}; {left}"),
        ("folder", str(folder) + (f", shard {shard.number} of {shard.count}" if shard.count > 1 else "")),
        ("device", computing),
    ]
    pairs += [("" if number else "left out", line) for number, line in enumerate(plan.left_out)]
    return fields(pairs)


def _left(tasks: tuple[Task, ...], shard: Shard, folder: Path) -> int:
    from ticketkit.sweep.run import pending

    return len(pending(shard.of(tasks), folder))


def _steps_left(plan: Plan, shard: Shard, folder: Path) -> int:
    from ticketkit.sweep.run import pending

    return sum(task.steps for tasks in (plan.finds, plan.cells) for task in pending(shard.of(tasks), folder))


def _closing(results: StudyResults, outcome: Outcome, folder: Path) -> list[str]:
    total = len(results.index.cells)
    pairs = [("cells", f"{len(results.done):,} of {total:,} done, {counted(len(outcome.done), 'task')} now")]
    if outcome.waiting:
        pairs.append(
            ("waiting", f"{counted(len(outcome.waiting), 'cell')} for IMP runs that other shards do: run this again")
        )
    for number, done in enumerate(outcome.failed):
        pairs.append(("" if number else "failed", f"{done.task.file}: {done.error}"))
    pairs.append(("next", f"ticketkit report {folder} -o {folder.name}.html"))
    return fields(pairs)


def _as_json(results: StudyResults, outcome: Outcome) -> dict[str, Any]:
    return {
        "title": results.index.title,
        "cells": len(results.index.cells),
        "missing": results.missing,
        "failed": [{"file": done.task.file, "error": done.error} for done in outcome.failed],
        "reports": [report.to_json() for report in results.reports],
        "connections": [connection.to_json() for connection in results.connections],
    }


class _Watcher:
    """Follows a study with its progress bar."""

    def __init__(self, bar: TrainingProgress) -> None:
        self._bar = bar
        self._task: Task | None = None
        self._before = 0
        self._step = 0

    def on_epoch(self, task: Task, label: str, progress: Progress) -> None:
        if task is not self._task:
            self._task, self._before, self._step = task, 0, 0
        if progress.step < self._step:  # another training of the same task
            self._before += self._step
        self._step = progress.step
        shown = f"{label}, {_short(task)}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(shown, min(self._before + self._step, task.steps))

    def on_done(self, done: Done) -> None:
        result = done.result
        told = f"failed: {done.error}"
        if result is not None and result.run is not None:
            told = f"accuracy {100 * result.run.accuracy:6.2f} %  {result.run.seconds:.1f} s"
        elif result is not None and result.curve is not None:
            told = f"barrier {100 * result.curve.barrier:6.2f} points  {result.seconds:.1f} s"
        elif result is not None:
            told = f"{len(result.levels)} levels  {result.seconds:.1f} s"
        self._bar.done(f"{done.task.place.arm:<14}  {_short(done.task):<38}  {told}", done.task.steps)


def _short(task: Task) -> str:
    place = task.place
    parts = [place.target.partition("-")[2] or place.target, place.source and f"from {place.source}"]
    parts.append(None if place.sparsity is None else f"{100 * place.sparsity:g} %")
    return " ".join([*(part for part in parts if part), f"seed {place.seed}"])
