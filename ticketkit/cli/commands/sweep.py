"""``ticketkit sweep``: a study, cell by cell; a killed one goes on where it was."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.output import command_line, counted, echo, echo_json, fields, is_quiet, say_opening
from ticketkit.cli.progress import TrainingProgress, counting
from ticketkit.cli.resuming import CHECKPOINT_OPTION, ResumableCommand, say_once
from ticketkit.cli.training import (
    COMPUTE_OPTIONS,
    FRACTION_OPTION,
    PARALLEL_OPTION,
    Parallel,
    check_part,
    trainings_at_once,
    with_options,
)
from ticketkit.cli.training_log import ACCURACY, LEVELS, LOG_OPTION, TrainingLog, run_name

if TYPE_CHECKING:
    from ticketkit.report.cells import CellResult, StudyResults
    from ticketkit.sweep.laboratory import Laboratory
    from ticketkit.sweep.plan import Plan, Task
    from ticketkit.sweep.run import Doing, Done, Outcome, Shard
    from ticketkit.sweep.study import DataChoice, Study
    from ticketkit.train import Progress

EXIT_INCOMPLETE = 1


def _shard(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(f"a shard must be written 1/4, 2/4, …, 4/4 (got {value!r})")
    return int(match[1]), int(match[2])


def _amount(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Ray counts fractions of a processor or GPU to four decimals, and from 1 on whole ones only."""
    if value is not None and value > 1 and not value.is_integer():
        raise click.BadParameter(f"more than 1 must be a whole number (got {value:g})")
    return None if value is None else round(value, 4)


@click.command(cls=ResumableCommand, short_help="Run a study: sources × targets × sparsities × arms × seeds.")
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
@FRACTION_OPTION
@click.option("--seeds", type=click.IntRange(min=1), help="Take the seeds 0 to N − 1, instead of what it says.")
@click.option(
    "--resume",
    is_flag=True,
    expose_value=False,
    help="Go on with what the folder holds, which a sweep does in any case.",
)
@CHECKPOINT_OPTION
@with_options(*COMPUTE_OPTIONS, PARALLEL_OPTION, LOG_OPTION)
@click.option("--ray", metavar="ADDRESS", help="Do the cells on a Ray cluster: its address, 'auto' or 'local'.")
@click.option(
    "--ray-cpus",
    type=click.FloatRange(min=0.0001),
    callback=_amount,
    default=1.0,
    show_default=True,
    help="Processors of a cell.",
)
@click.option(
    "--ray-gpus",
    type=click.FloatRange(min=0),
    callback=_amount,
    help="GPUs of a cell; a fraction lets several share one.  [default: 1 where --device finds or names one]",
)
@click.option("--dry-run", is_flag=True, help="Say what there is to do and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print every comparison as JSON.")
def command(
    path: Path,
    out: Path | None,
    shard: tuple[int, int] | None,
    data_dir: str | None,
    limit: int | None,
    fraction: float | None,
    seeds: int | None,
    checkpoint_seconds: float,
    device: str,
    precision: str | None,
    threads: int | None,
    compiled: bool,
    graphs: bool,
    deterministic: bool,
    parallel: Parallel,
    log_dir: Path | None,
    ray: str | None,
    ray_cpus: float,
    ray_gpus: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a study: every source, target, sparsity, arm, seed and policy that its file names.

    STUDY is a TOML file. Each cell of the grid is a file in the study's folder, so a killed sweep goes on where it was,
    and a study that has been made larger does what is new. IMP runs come first and are shared. What came of it is
    printed, and ticketkit report draws it.

    A cell that fails stops no other. Exits with 1 if one did.

    \b
    Examples:
      ticketkit sweep examples/studies/figure-6-quick.toml -o runs/figure-6
          The whole study, or what is missing of it.
      ticketkit sweep figure-6.toml --dry-run
          Say what there is to do.
      ticketkit sweep figure-6.toml --shard 1/4
          One of four jobs that share a folder.
      ticketkit report runs/figure-6 -o figure-6.html
          Tables and pictures of what is done so far.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.report.cells import read_study
    from ticketkit.sweep.laboratory import Laboratory, data_of
    from ticketkit.sweep.plan import plan_study
    from ticketkit.sweep.run import Shard, run_study
    from ticketkit.sweep.study import change_study, load_study
    from ticketkit.train.allocator import keep_freed_memory

    keep_freed_memory()
    check_part(limit, fraction)
    study = change_study(load_study(path), data_dir=data_dir, limit=limit, fraction=fraction, seeds=seeds)
    folder = out or Path(path.stem)
    part = Shard(number=shard[0], count=shard[1]) if shard else Shard()
    log = TrainingLog(None if dry_run else log_dir)
    with counting("reading images") as advance:
        for choice in dict.fromkeys([study.data, *map(study.data_of, study.sources)]):
            data_of(choice, advance)
    plan = plan_study(study, data_of)
    settings: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "threads": threads,
        "compiled": compiled,
        "graphs": graphs,
        "deterministic": deterministic,
        "checkpoint_seconds": checkpoint_seconds,
    }
    laboratory = Laboratory(study, folder, **settings)
    cluster = None
    if ray is not None:
        on_gpu = device.startswith("cuda") or (device == "auto" and laboratory.compute.is_cuda)
        cluster = _Cluster(address=ray, cpus=ray_cpus, gpus=float(on_gpu) if ray_gpus is None else ray_gpus)
    at_once = laboratory.at_once(parallel, plan) if cluster is None else 1
    if cluster is None:
        computing = laboratory.compute.summary + trainings_at_once(at_once)
    else:
        computing = f"Ray at {ray}, {cluster.share} for each cell"
    say_opening(*_opening(study, plan, folder, part, computing), beside_json=as_json)
    if dry_run:
        if as_json:
            echo_json(_as_json(plan, folder, study.title))
        return
    line = command_line()
    with (
        TrainingProgress(_steps_left(plan, part, folder)) as bar,
        log,
        _engine(laboratory, watcher := _Watcher(bar, log), cluster, settings, at_once) as doing,
    ):
        if log_dir is not None:
            watcher.log_done(part.of(plan.finds), folder)
            watcher.log_done(part.of(plan.cells), folder)
        outcome = run_study(study, plan, folder, doing, shard=part, command=line)
    results = read_study(folder)
    if as_json:
        echo_json(_as_json(plan, folder, study.title, results, outcome))
    else:
        from ticketkit.cli.study import study_lines

        echo("", *study_lines(results), "", *_closing(results, outcome, folder))
    if outcome.failed:
        sys.exit(EXIT_INCOMPLETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    """A Ray cluster, and what a cell takes of it."""

    address: str
    cpus: float
    gpus: float

    @property
    def share(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


@contextmanager
def _engine(
    laboratory: Laboratory, watcher: _Watcher, cluster: _Cluster | None, settings: dict[str, Any], at_once: int
) -> Iterator[Doing]:
    """What does the tasks."""
    if cluster is None:
        from ticketkit.sweep.run import InProcess

        yield InProcess(
            laboratory=laboratory,
            parallel=at_once,
            on_epoch=watcher.on_epoch,
            on_done=watcher.on_done,
            on_wait=say_once(),
        )
        return
    from ticketkit.sweep.on_ray import OnRay, connected, has_room

    with connected(cluster.address):
        if not has_room(cluster.cpus, cluster.gpus):
            echo(f"no machine of the cluster has {cluster.share} now: cells wait for one that does", err=True)
        yield OnRay(
            study=laboratory.study,
            folder=laboratory.folder,
            cpus=cluster.cpus,
            gpus=cluster.gpus,
            settings=settings,
            on_done=watcher.on_done,
        )


def _part_of(data: DataChoice) -> str:
    """How many of the training images are taken, to be said after the data set's name; nothing if it is all."""
    if data.limit is not None:
        return f", {data.limit:,} training images"
    return "" if data.fraction is None else f", {100 * data.fraction:g} % of the training images"


def _opening(study: Study, plan: Plan, folder: Path, shard: Shard, computing: str) -> list[str]:
    recipe, data = study.recipe, study.data
    finds, cells = _left(plan.finds, shard, folder), _left(plan.cells, shard, folder)
    left = f"{counted(finds, 'IMP run')} and {counted(cells, 'cell')} to do"
    pairs = [
        ("study", study.title),
        ("data", f"{data.dataset}{_part_of(data)}"),
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
        why = "that failed" if any(done.task.place.kind == "find" for done in outcome.failed) else "of other shards"
        pairs.append(("waiting", f"{counted(len(outcome.waiting), 'cell')} for IMP runs {why}: run this again"))
    for number, done in enumerate(outcome.failed):
        pairs.append(("" if number else "failed", f"{done.task.file}: {done.error}"))
    if mixed := _mixed(results):
        pairs.append(("note", f"cells were not all computed alike, which accuracies can depend on: {mixed}"))
    if not is_quiet():
        report = shlex.join(["ticketkit", "report", str(folder), "-o", f"{folder.resolve().name}.html"])
        pairs.append(("next", report))
    return fields(pairs)


def _mixed(results: StudyResults) -> str:
    """In what the cells' environments differ, since a study may be gone on with elsewhere; empty if in nothing."""
    environments = [dict(cell.setting.get("environment") or {}) for cell in results.done]
    told = []
    for field in sorted({field for environment in environments for field in environment}):
        values = dict.fromkeys(str(environment.get(field, "none")) for environment in environments)
        if len(values) > 1:
            told.append(f"{field} {' or '.join(values)}")
    return ", ".join(told)


def _as_json(
    plan: Plan, folder: Path, title: str, results: StudyResults | None = None, outcome: Outcome | None = None
) -> dict[str, Any]:
    """The document that ``formats/sweep-v1.md`` describes; without results, of what is planned alone."""
    from ticketkit.sweep.run import pending

    return {
        "format": {"name": "ticketkit-sweep", "version": "1.0"},
        "title": title,
        "folder": str(folder),
        "cells": len(plan.cells),
        "missing": len(pending(plan.cells, folder)),
        "waiting": 0 if outcome is None else len(outcome.waiting),
        "failed": [] if outcome is None else [{"file": d.task.file, "error": d.error} for d in outcome.failed],
        "left_out": list(plan.left_out),
        "reports": [] if results is None else [report.to_json() for report in results.reports],
        "connections": [] if results is None else [connection.to_json() for connection in results.connections],
    }


class _Watcher:
    """Follows a study with its progress bar and its log."""

    def __init__(self, bar: TrainingProgress, log: TrainingLog) -> None:
        self._bar = bar
        self._log = log
        self._steps: dict[Task, tuple[int, int]] = {}
        self._logged: dict[Task, set[str]] = {}

    def on_epoch(self, task: Task, label: str, progress: Progress) -> None:
        before, step = self._steps.get(task, (0, 0))
        if progress.step < step:  # another training of the same task
            before += step
        self._steps[task] = before, progress.step
        shown = f"{label}, {_short(task)}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(shown, min(before + progress.step, task.steps), task)
        run = _run(task, label)
        self._logged.setdefault(task, set()).add(run)
        self._log.epoch(run, progress)

    def on_done(self, done: Done) -> None:
        result = done.result
        told = f"failed: {done.error}"
        if result is not None and result.run is not None:
            told = f"{100 * result.run.accuracy:6.2f} %"
        elif result is not None and result.curve is not None:
            told = f"barrier {100 * result.curve.barrier:.2f}"
        elif result is not None:
            told = counted(len(result.levels), "level")
        line = f"{done.task.place.arm:<14}  {_short(done.task):<40}  {told:>9}"
        self._bar.done(line if result is None else f"{line}  {result.seconds:.1f} s", done.task.steps, done.task)
        if result is not None:
            self._log_end(done.task, result)
        # A run that is left open has a file and a thread, and a study may have thousands.
        for run in self._logged.pop(done.task, ()):
            self._log.close(run)

    def log_done(self, tasks: Sequence[Task], folder: Path) -> None:
        """Log what came of those that were done before."""
        from ticketkit.report.cells import read_cell

        for task in tasks:
            if (folder / task.file).exists():
                self._log_end(task, read_cell(folder / task.file), again=True)

    def _log_end(self, task: Task, result: CellResult, *, again: bool = False) -> None:
        if result.run is not None:
            came = {ACCURACY: result.run.accuracy, "test/top5": result.run.top5, "test/untrained": result.run.untrained}
            self._log.end(_run(task, task.place.arm), task.steps, came, again=again)
        elif result.curve is not None:
            self._log.curve(_run(task, "line"), result.curve)
        else:
            levels = {level.level: (1 - level.kept / result.total, level.accuracy) for level in result.levels}
            self._log.levels(run := _run(task, LEVELS), levels)
            self._log.close(run)


def _run(task: Task, label: str) -> str:
    """What a log calls a training of a task."""
    return run_name(*PurePosixPath(task.file).with_suffix("").parts, label)


def _short(task: Task) -> str:
    from ticketkit.sweep.study import DEFAULT_POLICY

    place = task.place
    parts = [task.target.arch.short_name, place.source and f"from {place.source}"]
    parts.append(None if place.policy == DEFAULT_POLICY else place.policy)
    parts.append(None if place.sparsity is None else f"{100 * place.sparsity:g} %")
    return " ".join([*(part for part in parts if part), f"seed {place.seed}"])
