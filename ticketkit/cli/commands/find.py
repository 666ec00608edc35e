"""``ticketkit find``: iterative magnitude pruning with rewinding."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketkit.arch import parse_arch
from ticketkit.cli.completions import complete_networks
from ticketkit.cli.output import echo, echo_json, say_opening
from ticketkit.cli.parameters import OpenFraction
from ticketkit.cli.progress import TrainingProgress
from ticketkit.cli.ranks import Place
from ticketkit.cli.resuming import CHECKPOINT_OPTION, ResumableCommand
from ticketkit.cli.search import DEMONSTRATION, closing, document, level_line, opening, table
from ticketkit.cli.training import (
    DATA_OPTIONS,
    PROFILE_OPTION,
    TRAINING_OPTIONS,
    Setting,
    load_setting,
    profile_lines,
    with_options,
)
from ticketkit.cli.training_log import ACCURACY, LOG_OPTION, TrainingLog, run_name
from ticketkit.data import DATASETS
from ticketkit.errors import BundleError, TicketkitError
from ticketkit.recipe import load_recipe

if TYPE_CHECKING:
    from ticketkit.find import LevelReport
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress


@click.command(cls=ResumableCommand, short_help="Find a winning ticket: IMP with rewinding.")
@click.option(
    "--arch",
    required=True,
    metavar="NAME",
    shell_complete=complete_networks,
    help="The network, such as resnet20 or resnet20-w8.",
)
@click.option("--width", type=click.IntRange(min=1), help="Channels of its first stage.  [default: its family's]")
@with_options(*DATA_OPTIONS, *TRAINING_OPTIONS, PROFILE_OPTION)
@click.option("--levels", type=click.IntRange(min=0), help="How often to prune.  [default: 14]")
@click.option(
    "--sparsity",
    type=OpenFraction(),
    help="Or: prune until at least this part of the weights is pruned, a fraction: 0.95.",
)
@click.option("--rate", type=float, default=0.2, show_default=True, help="Fraction of the remaining weights to prune.")
@click.option("--rewind", metavar="1000it|2ep", help="The step or epoch to rewind to.  [default: the recipe's]")
@click.option(
    "--prune-head/--no-prune-head",
    default=None,
    help="Whether to prune the output layer's weight.  [default: as its family]",
)
@click.option(
    "--tolerance",
    type=float,
    default=0.005,
    show_default=True,
    help="How far below the dense network a winning level may be, a fraction: 0.005 is half a point.",
)
@click.option("--allow-collapse", is_flag=True, help="Go on with a level of which a whole layer is pruned.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of initialisation, data order, augmentation.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="The ticket.  [default: NAME.st]")
@click.option("--force", is_flag=True, help="Replace the ticket if it exists.")
@click.option("--keep-levels", is_flag=True, help="Write each level's ticket too: NAME-L01.st and so on.")
@click.option("--run-dir", type=click.Path(path_type=Path, file_okay=False), help="Keep what a killed run needs here.")
@click.option("--resume", is_flag=True, help="Go on with the run that --run-dir holds.")
@CHECKPOINT_OPTION
@LOG_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    arch: str,
    width: int | None,
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
    profile: bool,
    levels: int | None,
    sparsity: float | None,
    rate: float,
    rewind: str | None,
    prune_head: bool | None,
    tolerance: float,
    allow_collapse: bool,
    seed: int,
    out: Path | None,
    force: bool,
    keep_levels: bool,
    run_dir: Path | None,
    resume: bool,
    checkpoint_seconds: float,
    log_dir: Path | None,
    as_json: bool,
) -> None:
    """Find a winning ticket by iterative magnitude pruning with rewinding.

    The dense network is trained; then, level by level, the smallest of the remaining weights are pruned, the others go
    back to where they were at the rewind step, and what is left is trained again. The last level's ticket is written to
    --out: the mask, the rewound weights, the accuracy of every level and all that made it.

    With no other option than --arch it trains on 1,797 small pictures of digits that come with ticketkit, in a minute
    or two on a laptop. The paper's set-up is --dataset cifar10 --recipe paper-cifar.

    A run that is killed can be gone on with if it has a --run-dir. Where a training breaks, the ticket of the last
    finished level is kept beside --out. Several GPUs, or machines, train one network together where torchrun starts the
    command once on each.

    \b
    Examples:
      ticketkit find --arch resnet20
          A first look: digits, 14 levels of 20 %, to resnet20.st.
      ticketkit find --arch resnet20 --dataset cifar10 --run-dir runs/resnet20
          Download CIFAR-10 to data, and keep what a killed run needs;
          the same command with --resume goes on.
      ticketkit find --arch vgg16 --dataset cifar10 --sparsity 0.9 --log-dir logs
          Prune to 90 %; "tensorboard --logdir logs" shows each training.
      torchrun --nproc-per-node 8 -m ticketkit find --arch imagenet-resnet50 \\
            --dataset folder --data-dir imagenet --recipe paper-imagenet
          Eight GPUs train one network.
    """  # noqa: D301 - click wants the backspace itself
    if levels is not None and sparsity is not None:
        raise click.UsageError("--levels and --sparsity exclude each other: give one")
    if resume and run_dir is None:
        raise click.UsageError("--resume needs --run-dir, the folder that holds the run")
    spec = parse_arch(arch, default_width=width)
    if width not in (None, spec.width):
        raise click.UsageError(f"--width and the name must agree (got {width} and {arch})")
    out = out or Path(f"{spec.short_name}.st")
    dataset = dataset or DEMONSTRATION
    changes = [*overrides, *([f"rewind={rewind}"] if rewind else [])]
    if recipe is None:  # how the data set says it is trained
        facts = DATASETS[dataset].facts
        chosen = load_recipe(facts.recipe, [*facts.overrides, *changes])
    else:
        chosen = load_recipe(recipe, changes)
    place = Place.from_environment()
    device = place.device(device)
    with place.joined(device) as group:
        if group.leads:
            check_target(out, force=force or (resume and _is_done(run_dir, _level_count(levels, sparsity, rate))))
        log = TrainingLog(log_dir if group.leads else None)
        with place.after_first(group):
            setting = load_setting(
                dataset=dataset,
                data_dir=data_dir,
                image_size=image_size,
                resize=resize,
                stream=stream,
                limit=limit,
                fraction=fraction,
                recipe=chosen,
                device=device,
                precision=precision,
                threads=threads,
                compiled=compiled,
                graphs=graphs,
                deterministic=deterministic,
                processes=place.local_size,
            )
        if threads is None:
            setting = replace(setting, compute=place.shared(setting.compute))
        spec = parse_arch(
            arch, default_width=width, num_classes=setting.data.num_classes, in_channels=setting.data.shape[0]
        )
        from ticketkit.find import find_ticket
        from ticketkit.train import check_fits

        check_fits(spec, setting.data)
        count = _level_count(levels, sparsity, rate)
        search = partial(
            find_ticket,
            spec,
            setting.data,
            setting.recipe,
            seed=seed,
            device=setting.compute,
            levels=count,
            rate=rate,
            tolerance=tolerance,
            prune_head=prune_head,
            allow_collapse=allow_collapse,
            run_dir=run_dir,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            group=group,
        )
        if not group.leads:
            search()  # rank 0 writes and prints
            return
        for level in range(1, count + 1) if keep_levels else ():
            check_target(level_path(out, level), force=force or resume)
        say_opening(*opening(spec, setting, count, rate, seed, group.size), beside_json=as_json)
        began = time.perf_counter()
        with TrainingProgress(_total_steps(setting, count)) as progress, log:
            watcher = _Watcher(progress, log, setting, count, keep=out if keep_levels else None, force=force)
            # A run folder holds what an interrupted run has done; one that broke would break again.
            ends = (TicketkitError, OSError) if run_dir is not None else (TicketkitError, OSError, KeyboardInterrupt)
            with watcher.keeping_last(out, ends):
                ticket = search(on_level=watcher.on_level, on_epoch=watcher.on_epoch)
        _write(ticket, out, force=force)
    elapsed = time.perf_counter() - began
    if as_json:
        echo_json(document(ticket, out, watcher.reports, elapsed))
    else:
        echo("", *table(watcher.reports), "", *closing(ticket, out, elapsed))
    if profile:
        echo("", *profile_lines([report.spent for report in watcher.reports], elapsed), err=as_json)


def level_path(out: Path, level: int) -> Path:
    """Where ``--keep-levels`` writes a level's ticket: ``resnet20-L03.st`` beside ``resnet20.st``."""
    return out.with_name(f"{out.stem}-L{level:02d}{out.suffix}")


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a place where the ticket could not be written, before hours of training and not after."""
    if path.exists() and not force:
        raise BundleError(f"a ticket must not be overwritten without --force (a file is there already): {path}")
    if not os.access(path.parent, os.W_OK):
        raise BundleError(f"a ticket must be written to a folder that exists and is writable: {path}")


def _is_done(run_dir: Path | None, count: int) -> bool:
    """Whether a run has trained its last level, so that the ticket that is there may be its own."""
    return run_dir is not None and (run_dir / f"level-{count:02d}.st").exists()


def _write(ticket: Ticket, path: Path, *, force: bool) -> None:
    """Write a ticket, unless it is there: a run that was killed later than that finds it when it is resumed."""
    from ticketkit.bundle import read_header, save_ticket

    if not force:
        with suppress(BundleError):  # another file, or none: for the writing to judge
            if read_header(path).id == ticket.id:
                return
    save_ticket(ticket, path, overwrite=force)


def _level_count(levels: int | None, sparsity: float | None, rate: float) -> int:
    from ticketkit.find import DEFAULT_LEVELS, levels_for

    if sparsity is not None:
        return levels_for(sparsity, rate)
    return DEFAULT_LEVELS if levels is None else levels


def _total_steps(setting: Setting, levels: int) -> int:
    total = setting.recipe.total_steps(setting.steps_per_epoch)
    return total + levels * (total - setting.recipe.rewind_step(setting.steps_per_epoch))


class _Watcher:
    """Follows a run: its progress bar, its levels, and their tickets where they are to be kept."""

    def __init__(
        self,
        progress: TrainingProgress,
        log: TrainingLog,
        setting: Setting,
        levels: int,
        *,
        keep: Path | None,
        force: bool,
    ) -> None:
        self.reports: list[LevelReport] = []
        self._progress = progress
        self._log = log
        self._levels = levels
        self._keep = keep
        self._force = force
        per_epoch = setting.steps_per_epoch
        self._rewind = setting.recipe.rewind_step(per_epoch)
        self._total = setting.recipe.total_steps(per_epoch)

    def on_epoch(self, level: int, progress: Progress) -> None:
        label = f"level {level}/{self._levels}  epoch {progress.epoch}/{progress.epochs}"
        self._progress.epoch(label, progress.step - (self._rewind if level else 0))
        self._log.epoch(_run(level), progress)

    @contextmanager
    def keeping_last(self, out: Path, ends: tuple[type[BaseException], ...]) -> Iterator[None]:
        """Keep the ticket of the last finished level if one of these exceptions ends what is done inside."""
        try:
            yield
        except ends:
            if self.reports and (level := self.reports[-1].result.level):
                _keep(self.reports[-1].ticket, level_path(out, level), force=self._force)
            raise

    def on_level(self, report: LevelReport) -> None:
        self.reports.append(report)
        level = report.result.level
        show = self._progress.skip if report.resumed else self._progress.done
        show(level_line(report, self._levels), self._total - (self._rewind if level else 0))
        self._log.end(_run(level), self._total, {ACCURACY: report.result.accuracy}, again=report.resumed)
        self._log.level(report.ticket, report.result)
        if self._keep is not None and level:
            _write(report.ticket, level_path(self._keep, level), force=self._force)


def _run(level: int) -> str:
    """What a log calls a level's training."""
    return run_name(f"level-{level:02d}")


def _keep(ticket: Ticket, path: Path, *, force: bool) -> None:
    try:
        _write(ticket, path, force=force)
    except BundleError as error:
        echo(f"the ticket of the last finished level could not be kept: {error}", err=True)
    else:
        echo(f"the ticket of the last finished level is kept: {path}", err=True)
