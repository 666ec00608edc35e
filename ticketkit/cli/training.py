"""Options that every command which trains has in common, and what they load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ticketkit.cli.output import console, text_table

if TYPE_CHECKING:
    from ticketkit.arch import ArchSpec
    from ticketkit.data import ImageData
    from ticketkit.recipe import Recipe
    from ticketkit.ticket import Ticket
    from ticketkit.train import Compute
    from ticketkit.train.loop import Spent

F = TypeVar("F", bound=Callable[..., Any])

Parallel = int | Literal["auto"]
"""What ``--parallel`` says."""


def _parallel(_ctx: click.Context, _param: click.Parameter, value: str) -> Parallel:
    if value == "auto":
        return "auto"
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"must be auto, or 1 or more (got {value!r})")
    return int(value)


PLACE_OPTIONS = (
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the data lie: the folder that torchvision reads or downloads to (default: data), or, "
        "for --dataset folder, one with train/CLASS/IMAGE and test/CLASS/IMAGE.",
    ),
    click.option(
        "--image-size", type=click.IntRange(min=1), help="Resize and crop the images of a folder to this side length."
    ),
    click.option(
        "--stream/--no-stream",
        default=None,
        help="Decode the images of a folder for every epoch anew, or hold them in memory: by default as they fit.",
    ),
)
DATA_OPTIONS = (
    click.option(
        "--dataset",
        metavar="NAME",
        help="digits (embedded), cifar10, cifar100, svhn, mnist, fashion-mnist or folder.",
    ),
    *PLACE_OPTIONS,
    click.option(
        "--limit", type=click.IntRange(min=1), help="Train on this many images only, spread evenly over the classes."
    ),
)
PRECISION_OPTION = click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    help="Of convolutions and linear layers: bf16 on CUDA and fp32 on the CPU by default; tf32 is CUDA's alone.",
)
THREADS_OPTION = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads: by default 1 for images of 8 pixels, where more are slower, else one a core.",
)
GRAPHS_OPTION = click.option(
    "--graphs/--no-graphs",
    default=True,
    help="Whether to capture a step as one CUDA graph; on a GPU it is the default.",
)
COMPUTE_OPTIONS = (
    click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where to compute."),
    PRECISION_OPTION,
    THREADS_OPTION,
    click.option("--compile", "compiled", is_flag=True, help="Fuse the network's operators by torch.compile."),
    GRAPHS_OPTION,
    click.option(
        "--deterministic",
        is_flag=True,
        help="On a GPU, compute so that the same command gives the same bits again, if slower; the CPU always does.",
    ),
)
PROFILE_OPTION = click.option("--profile", is_flag=True, help="Say at the end where the time went.")
PARALLEL_OPTION = click.option(
    "--parallel",
    default="auto",
    show_default=True,
    callback=_parallel,
    metavar="auto|N",
    help="Trainings at once: as many as the device has room for, or so many. On the CPU no accuracy depends on it.",
)
TRAINING_OPTIONS = (
    click.option(
        "--recipe",
        metavar="NAME|FILE",
        help="How to train: quick (digits), fast-cifar (30 epochs), paper-cifar (the paper's 160) or a TOML file.",
    ),
    click.option(
        "--set",
        "overrides",
        metavar="FIELD=VALUE",
        multiple=True,
        help="Override one field of the recipe, such as epochs=20 or lr=0.05; may be repeated.",
    ),
    *COMPUTE_OPTIONS,
)


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Decorate a command's function with options, in the order that ``--help`` is to show them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a training command works with."""

    data: ImageData
    recipe: Recipe
    compute: Compute

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch; at least 1, so that what only estimates need not check."""
        return max(len(self.data.train_labels) // self.recipe.batch, 1)

    def at_once(self, parallel: Parallel, jobs: int, arch: ArchSpec) -> int:
        """How many of so many trainings of a network to run at once; see :func:`ticketkit.train.parallel.how_many`."""
        from ticketkit.train.parallel import how_many

        return how_many(parallel, jobs, self.compute, arch, self.data.shape, self.recipe.batch)


def load_setting(
    *,
    dataset: str,
    data_dir: Path | None,
    image_size: int | None,
    stream: bool | None,
    limit: int | None,
    recipe: Recipe,
    device: str,
    precision: str | None,
    threads: int | None,
    compiled: bool,
    graphs: bool,
    deterministic: bool,
    processes: int = 1,
) -> Setting:
    """Load the data, with a progress bar where that takes long, and choose the device.

    Other ``processes`` than this one alone share the machine's cores and memory.
    """
    from ticketkit.train import choose_compute

    data = load_images(
        dataset, data_dir=data_dir, image_size=image_size, stream=stream, device=device, processes=processes
    ).limited(limit)
    compute = choose_compute(
        device,
        image_size=max(data.shape[1:]),
        threads=threads,
        precision=precision,  # type: ignore[arg-type]  # click has checked the choice
        compiled=compiled,
        graphs=graphs,
        deterministic=deterministic,
    )
    return Setting(data=data, recipe=recipe, compute=compute)


def load_images(
    dataset: str,
    *,
    data_dir: Path | None,
    image_size: int | None,
    stream: bool | None,
    device: str,
    processes: int = 1,
) -> ImageData:
    """Load a data set for a device, with a progress bar where that takes long; see :func:`load_setting`."""
    from ticketkit.data import DataRequest, load_data
    from ticketkit.train import memory_budget
    from ticketkit.train.allocator import keep_freed_memory
    from ticketkit.train.compute import cores

    keep_freed_memory()
    with counting("reading images") as advance:
        request = DataRequest(
            data_dir=data_dir,
            image_size=image_size,
            stream=stream,
            memory_budget=memory_budget(device) // processes,
            workers=max(cores() // processes, 1),
            on_progress=advance,
            on_wait=_say,
        )
        return load_data(dataset, request)


def describe_device(setting: Setting) -> str:
    """The device as the commands print it."""
    return setting.compute.summary


def trainings_at_once(count: int) -> str:
    """How many trainings run at once, to be said after the device; nothing if it is one."""
    return f", {count} trainings at once" if count > 1 else ""


def profile_lines(trainings: Sequence[Spent], wall: float, at_once: int = 1) -> list[str]:
    """Lines that say where the time of trainings went.

    Args:
        trainings: Where that of each went.
        wall: How long all of it took, in seconds.
        at_once: How many trainings ran at once.
    """
    known = sum(spent.whole for spent in trainings)
    available = max(wall * at_once, known, 1e-9)
    parts = {
        "steps": sum(spent.steps - spent.waiting for spent in trainings),
        "waiting for images": sum(spent.waiting for spent in trainings),
        "evaluation": sum(spent.evaluation for spent in trainings),
        "building, moving, checkpoints": sum(spent.rest for spent in trainings),
        "all else": available - known,
    }
    rows = [[name, f"{100 * seconds / available:.1f} %", f"{seconds:,.1f}"] for name, seconds in parts.items()]
    return text_table(["time", "share", "seconds"], rows, left={"time"})


def found_on(ticket: Ticket, path: Path) -> str:
    """Name of the data set that a ticket was found on.

    Raises:
        click.UsageError: If it does not say.
    """
    dataset = ticket.provenance.dataset
    if dataset is None:
        raise click.UsageError(f"--dataset must be given: {path} does not say what it was found on")
    return dataset.name.partition(":")[0].partition("[")[0]


def recipe_for(ticket: Ticket, recipe: str | None, overrides: tuple[str, ...], path: Path) -> Recipe:
    """The recipe that was asked for, or the one that a ticket was found with, some fields replaced.

    Raises:
        click.UsageError: If none was asked for and the ticket does not say.
        RecipeError: If there is no such recipe.
    """
    from ticketkit.recipe import load_recipe, override_recipe

    if recipe is not None:
        return load_recipe(recipe, overrides)
    values = ticket.provenance.recipe
    if values is None:
        raise click.UsageError(f"--recipe must be given: {path} does not say how it was found")
    return override_recipe(values, overrides, where=str(path))


@contextmanager
def counting(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for something that is counted; shown on a terminal only, and only once there is progress."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True, disable=not _is_terminal()) as progress:
        task = progress.add_task(label, total=None, visible=False)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield advance


class TrainingProgress:
    """A bar over all the steps of several trainings, with the step rate and the time left.

    Where standard error is not a terminal, there is no bar, but a line at the end of each training.

    Args:
        steps: Steps of all trainings together.
    """

    def __init__(self, steps: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console(stderr=True),
            transient=True,
            disable=not _is_terminal(),
        )
        self._task = self._bar.add_task("starting", total=steps, rate="")
        self._before = 0
        self._running: dict[object, int] = {}

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, label: str, steps: int, training: object = None) -> None:
        """Show a running training; may be called by several threads.

        Args:
            label: Which training, and how far it is.
            steps: Steps it has done so far.
            training: What tells it from the others that run beside it.
        """
        self._running[training] = steps
        completed = self._before + sum(list(self._running.values()))
        self._bar.update(self._task, description=label, completed=completed, rate=self._rate())

    def done(self, line: str, steps: int, *trainings: object) -> None:
        """Show the end of something that took so many steps in all, and which of the running trainings were its own."""
        self._before += steps
        for training in trainings or (None,):
            self._running.pop(training, None)
        completed = self._before + sum(list(self._running.values()))
        self._bar.update(self._task, completed=completed, rate=self._rate())
        if _is_terminal():
            self._bar.print(line)
        else:
            click.echo(line, err=True)

    def skip(self, line: str, steps: int) -> None:
        """Show a training that need not be done, and take its steps off the total."""
        total = self._bar.tasks[self._task].total or 0
        self._bar.update(self._task, total=total - steps)
        self.done(line, 0)

    def _rate(self) -> str:
        speed = self._bar.tasks[self._task].speed
        return f"{speed:.0f} steps/s" if speed else ""


def _say(line: str) -> None:
    click.echo(line, err=True)


def _is_terminal() -> bool:
    return console(stderr=True).is_terminal
