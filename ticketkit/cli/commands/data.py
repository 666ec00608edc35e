"""``ticketkit data``: the data sets there are, and what is known of one.

Nothing is downloaded, and no image is read unless ``--read`` asks for it; ``formats/data-v1.md`` describes ``--json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketkit.cli.output import counted, echo, echo_json, fields, text_table
from ticketkit.cli.training import SIZE_OPTIONS, check_place, with_options
from ticketkit.recipe import load_recipe

if TYPE_CHECKING:
    from ticketkit.data import Facts, ImageData
    from ticketkit.data.presence import Presence

_MANY_CLASSES = 20
"""More classes than this are cut short where people read them; ``--json`` has all."""


@click.command(short_help="List the data sets, and what is there.")
@click.argument("name", required=False)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to look in: where downloads go (default: data), and where the folder data set lies.",
)
@with_options(*SIZE_OPTIONS)
@click.option("--read", is_flag=True, help="Read one that is there: mean, standard deviation and fingerprint.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    name: str | None,
    data_dir: Path | None,
    *,
    image_size: int | None,
    resize: int | None,
    read: bool,
    as_json: bool,
) -> None:
    """List the data sets that --dataset takes: which are there, how large they are, how to get them.

    With a NAME it shows one in detail. Nothing is downloaded.

    \b
    Examples:
      ticketkit data
          All of them, in one table.
      ticketkit data cifar10
          One in detail.
      ticketkit data folder --data-dir flowers --image-size 64 --read
          Your own images: mean, standard deviation and fingerprint.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.data import DATASETS
    from ticketkit.data.presence import presence_of

    if read and name is None:
        raise click.UsageError("--read needs the NAME of the data set to read")
    if not read and (image_size, resize) != (None, None):
        raise click.UsageError("--image-size and --resize need --read, which reads the images in that size")
    if read and name is not None:
        check_place(name, data_dir)
    wanted = list(DATASETS) if name is None else [name]
    found = [presence_of(DATASETS[one].facts, data_dir) for one in wanted]
    data = _read(found[0].facts, data_dir, image_size, resize) if read else None
    if as_json:
        listed = [one.to_json() | {"read": None if data is None else _numbers(data)} for one in found]
        echo_json({"format": {"name": "ticketkit-data", "version": "1.0"}, "datasets": listed})
    elif name is None:
        echo(*_table(found), "", *_closing(found))
    else:
        echo(*fields(_details(found[0], data)))


def _read(facts: Facts, data_dir: Path | None, image_size: int | None, resize: int | None) -> ImageData:
    from ticketkit.cli.output import hint
    from ticketkit.cli.progress import counting
    from ticketkit.data import DATASETS, DataRequest

    with counting("reading images") as advance:
        request = DataRequest(
            data_dir=data_dir,
            image_size=image_size,
            resize=resize,
            download=False,
            stream=True,  # one pass over a folder tells all there is to say, and holds none of it
            on_progress=advance,
            on_wait=hint,
        )
        return DATASETS[facts.name].load(request)


def _numbers(data: ImageData) -> dict[str, Any]:
    return {
        "name": data.name,
        "train": len(data.train_labels),
        "test": len(data.test_labels),
        "shape": [*data.shape],
        "classes": [*data.classes],
        "mean": [*data.mean],
        "std": [*data.std],
        "fingerprint": data.fingerprint,
    }


def _table(found: list[Presence]) -> list[str]:
    columns = ("name", "there", "training", "test", "image", "classes", "MB on disk")
    rows = [
        (
            one.facts.name,
            one.state,
            _count(one.train),
            _count(one.test),
            _times(one.facts.shape),
            _count(None if one.classes is None else len(one.classes)),
            f"{one.bytes / 1e6:,.2f}" if one.bytes else "",
        )
        for one in found
    ]
    return text_table(columns, rows, left={"name", "there"})


def _closing(found: list[Presence]) -> list[str]:
    """What the table leaves open: where it looked, and how to get what is not there."""
    folders = list(dict.fromkeys(str(one.folder) for one in found if one.folder is not None))
    lacking = [one for one in found if one.state in ("no", "partly")]
    pairs = [("in", ", ".join(folders))] if folders else []
    for source, how in (
        ("download", "downloaded when first used"),
        ("own", "your own images: --dataset folder --data-dir FOLDER"),
    ):
        if names := [one.facts.name for one in lacking if one.facts.source == source]:
            pairs.append(("" if pairs and pairs[-1][0] == "to get" else "to get", f"{', '.join(names)}: {how}"))
    return fields([*pairs, ("more", "ticketkit data NAME")])


def _details(one: Presence, data: ImageData | None) -> Iterator[tuple[str, str]]:
    facts = one.facts
    yield "data set", f"{facts.name}: {facts.title}"
    yield "there", one.reason or one.state
    if one.folder is not None:
        yield "where", ", ".join(str(one.folder / path) for path in facts.megabytes) or str(one.folder)
    if one.bytes:
        yield "on disk", f"{one.bytes:,} bytes"
    if one.train is not None:
        yield "images", f"{one.train:,} training, {_count(one.test)} test"
    shape = facts.shape if data is None else data.shape
    yield "size", _times(shape) or "as the images are; --image-size, with or without --resize, makes them alike"
    if one.classes is not None:
        shown = one.classes[:_MANY_CLASSES]
        more = f", and {len(one.classes) - len(shown):,} more" if len(shown) < len(one.classes) else ""
        yield "classes", f"{len(one.classes):,}: {', '.join(shown)}{more}"
    if data is None:
        yield "scaled", "by mean and standard deviation of each channel over the training images"
    else:
        yield "scaled", f"by mean {_channels(data.mean)} and standard deviation {_channels(data.std)}"
        yield "hash", data.fingerprint
    recipe = load_recipe(facts.recipe, facts.overrides)
    shifted = f"shifted by up to {counted(recipe.crop, 'pixel')}" if recipe.crop else "not shifted"
    mirrored = "mirrored" if recipe.flip else "not mirrored"
    yield "recipe", f"{recipe.name} by default: {recipe.epochs} epochs, images {shifted}, {mirrored}"
    yield "mirror", "images mean the same" if facts.mirrors else "images mean something else: take flip=false"
    if facts.needs:
        yield "needs", f"pip install '{facts.needs}'"
    if facts.source == "download":
        yield "to get", f"downloaded when first used, {sum(facts.megabytes.values())} MB; or {facts.how_to}"
    elif facts.source == "own":
        yield "to get", facts.how_to


def _channels(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _times(shape: tuple[int, int, int] | None) -> str:
    return "" if shape is None else "×".join(map(str, shape))
