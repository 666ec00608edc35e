"""Options that every command which trains has in common, and what they load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ticketkit.cli.completions import complete_counts, complete_datasets, complete_devices, complete_recipes
from ticketkit.cli.output import hint, is_quiet, text_table
from ticketkit.cli.progress import counting

if TYPE_CHECKING:
    from ticketkit.arch import ArchSpec
    from ticketkit.data import ImageData
    from ticketkit.data.naming import DataName
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


SIZE_OPTIONS = (
    click.option(
        "--image-size", type=click.IntRange(min=1), help="Resize and crop the images of a folder to this side length."
    ),
    click.option(
        "--resize",
        type=click.IntRange(min=1),
        help="Resize their shorter side to this first, such as 256 before --image-size 224.",
    ),
)
PLACE_OPTIONS = (
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the data lie: the folder that torchvision reads or downloads to, or, for --dataset folder, one "
        "with train/CLASS/IMAGE and test/CLASS/IMAGE.  [default: data]",
    ),
    *SIZE_OPTIONS,
    click.option(
        "--stream/--no-stream",
        default=None,
        help="Decode the images of a folder for every epoch anew, or hold them in memory.  [default: as they fit]",
    ),
)
FRACTION_OPTION = click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    help="Or: on this part of them, such as 0.1.",
)
DATA_OPTIONS = (
    click.option(
        "--dataset",
        metavar="NAME",
        shell_complete=complete_datasets,
        help="digits (embedded), cifar10, cifar100, svhn, mnist, fashion-mnist or folder.",
    ),
    *PLACE_OPTIONS,
    click.option(
        "--limit", type=click.IntRange(min=1), help="Train on this many images only, spread evenly over the classes."
    ),
    FRACTION_OPTION,
)
PRECISION_OPTION = click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    help="Of convolutions and linear layers; tf32 is CUDA's alone.  [default: bf16 on CUDA, fp32 on the CPU]",
)
THREADS_OPTION = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads.  [default: 1 for images of 8 pixels, where more are slower, else one a core]",
)
GRAPHS_OPTION = click.option(
    "--graphs/--no-graphs",
    default=True,
    help="Whether to capture a step as one CUDA graph.  [default: on a GPU]",
)
COMPUTE_OPTIONS = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N]",
        shell_complete=complete_devices,
        help="Where to compute.",
    ),
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
    shell_complete=complete_counts,
    help="Trainings at once: as many as the device has room for, or so many. On the CPU no accuracy depends on it.",
)
TRAINING_OPTIONS = (
    click.option(
        "--recipe",
        metavar="NAME|FILE",
        shell_complete=complete_recipes,
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
    dataset: str | DataName,
    data_dir: Path | None,
    image_size: int | None,
    resize: int | None,
    stream: bool | None,
    limit: int | None,
    fraction: float | None,
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

    A ticket's own data set, given by what its name says, is of the same size and part unless others are asked for.
    Other ``processes`` than this one alone share the machine's cores and memory.

    Raises:
        click.UsageError: If options exclude each other.
        DataError: If the recipe cuts boxes out of images that are not in files.
    """
    from ticketkit.data.naming import DataName

    check_part(limit, fraction)
    named = dataset if isinstance(dataset, DataName) else DataName(loader=dataset)
    warn_of_augmentation(named.loader, recipe)
    data = load_images(
        named,
        data_dir=data_dir,
        image_size=image_size,
        resize=resize,
        stream=stream,
        recipe=recipe,
        device=device,
        processes=processes,
    )
    if fraction is not None:
        data = data.fraction(fraction)
    else:
        for train, test in named.limits if limit is None else ((limit, None),):
            data = data.limited(train, test)
    from ticketkit.train import choose_compute

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
    named: DataName,
    *,
    data_dir: Path | None,
    image_size: int | None,
    resize: int | None,
    stream: bool | None,
    recipe: Recipe,
    device: str,
    processes: int = 1,
) -> ImageData:
    """Load a whole data set for a device, with a progress bar where that takes long; see :func:`load_setting`."""
    check_place(named.loader, data_dir)
    import torch

    from ticketkit.data import DATASETS, DataRequest, load_data
    from ticketkit.train import memory_budget
    from ticketkit.train.allocator import keep_freed_memory
    from ticketkit.train.batches import crops_error
    from ticketkit.train.compute import cores

    keep_freed_memory()
    if (image_size, resize) == (None, None):
        image_size, resize = named.image_size, named.resize
    if recipe.resized_crop:
        if stream is False or DATASETS[named.loader].facts.source != "own":
            raise crops_error(recipe, named.loader)  # before anything is downloaded
        stream = True
    # None starts no processes for a few thousand images: beside a step on the CPU, decoding takes no time to speak of.
    # A GPU would wait for one process that decodes, epoch after epoch.
    on_cuda = device != "cpu" and torch.cuda.is_available()
    with counting("reading images") as advance:
        request = DataRequest(
            data_dir=data_dir,
            image_size=image_size,
            resize=resize,
            stream=stream,
            memory_budget=memory_budget(device) // processes,
            workers=max(cores() // processes, 1) if processes > 1 or on_cuda else None,
            on_progress=advance,
            on_wait=None if is_quiet() else hint,  # what is left out is then a warning, and still said
        )
        return load_data(named.loader, request)


def check_part(limit: int | None, fraction: float | None) -> None:
    """Refuse two ways to say how many images to train on.

    Raises:
        click.UsageError: If both are given.
    """
    if limit is not None and fraction is not None:
        raise click.UsageError("--limit and --fraction exclude each other: give one")


def check_place(loader: str, data_dir: Path | None) -> None:
    """Refuse images of one's own without the folder that they lie in.

    Raises:
        click.UsageError: If it is not given.
    """
    from ticketkit.data import DATASETS

    if data_dir is None and DATASETS[loader].facts.source == "own":
        raise click.UsageError(f"data set {loader} needs --data-dir: one with train/CLASS/IMAGE and test/CLASS/IMAGE")


def warn_of_augmentation(dataset: str, recipe: Recipe) -> None:
    """Say in one line that a recipe mirrors images whose mirror images are of no class, or of another."""
    from ticketkit.data import DATASETS

    if recipe.flip and not DATASETS[dataset].facts.mirrors:
        hint(
            f"note: recipe {recipe.name} mirrors half of the images, and those of {dataset} mean something else then; "
            "--set flip=false leaves them as they are"
        )


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


def found_on(ticket: Ticket, path: Path) -> DataName:
    """The data set that a ticket was found on, by what its name says: which images of it, and of what size.

    Raises:
        click.UsageError: If it does not say.
    """
    from ticketkit.data.naming import parse_data_name

    dataset = ticket.provenance.dataset
    if dataset is None:
        raise click.UsageError(f"--dataset must be given: {path} does not say what it was found on")
    return parse_data_name(dataset.name)


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
