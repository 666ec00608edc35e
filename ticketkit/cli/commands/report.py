"""``ticketkit report``: results as a page, pictures and tables."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketkit.cli.files import ODD, Files
from ticketkit.cli.output import counted, echo, fields
from ticketkit.cli.progress import counting

if TYPE_CHECKING:
    from ticketkit.report.collect import Results
    from ticketkit.report.figures.pictures import Picture


@click.command(short_help="Results as a page, pictures, tables.")
@click.argument("results", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML page here.")
@click.option("--png", type=click.Path(path_type=Path, file_okay=False), help="Write every picture to this folder.")
@click.option("--svg", type=click.Path(path_type=Path, file_okay=False), help="The same, as SVG.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write verdicts and tables here, with the pictures of --png or --svg where one is given.",
)
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write one row a training here."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(
    results: tuple[Path, ...],
    out: Path | None,
    png: Path | None,
    svg: Path | None,
    markdown: Path | None,
    csv_file: Path | None,
    force: bool,
) -> None:
    """Put results side by side: what verify and connect wrote with -o, folders of such files, and sweeps' folders.

    At least one output must be given. The page needs no network and runs no script. Reports on one network, trained
    alike, share their pictures: one curve an arm over the sparsity, one for each source that a ticket was stretched
    from. Pictures, and so the page, need the extra plots: pip install 'ticketkit[plots]'.

    \b
    Examples:
      ticketkit report verify.json connect.json -o report.html
          One page with verdicts, tables and pictures.
      ticketkit report results/ --png figures --markdown results.md --csv r.csv
          Pictures and tables for a paper.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.report.collect import read_results

    if not any((out, png, svg, markdown, csv_file)):
        raise click.UsageError(
            "at least one output must be given: -o FILE (HTML), --png DIR, --svg DIR, --markdown FILE, --csv FILE"
        )
    found = read_results(results)
    files = Files(force=force)
    for path in (out, markdown, csv_file):
        if path is not None:
            files.check(path)
    pictures = _drawn(found) if out or png or svg else ()
    with counting("drawing pictures") as advance:
        total = len(pictures) * sum(place is not None for place in (out, png, svg))
        numbers = itertools.count(1)

        def on_picture() -> None:
            advance(next(numbers), total)

        _add_pictures(files, pictures, png, svg, on_picture)
        if out is not None:
            from ticketkit.report.html import to_html

            files.add(out, to_html(found, pictures, on_picture).encode(errors=ODD))
    if markdown is not None:
        from ticketkit.report.markdown import to_markdown

        files.add(markdown, to_markdown(found, _references(pictures, markdown, png, svg)).encode(errors=ODD))
    if csv_file is not None:
        from ticketkit.report.csv import to_csv

        files.add(csv_file, to_csv(found.reports).encode(errors=ODD))
    files.write()
    read = [counted(len(found.reports), "comparison"), counted(len(found.connections), "connection")]
    echo(*fields([("read", ", ".join(read)), *_written(out, png, svg, markdown, csv_file, len(pictures))]))


def _drawn(found: Results) -> tuple[Picture, ...]:
    from ticketkit.report.figures import draw_pictures
    from ticketkit.report.grouping import group_reports

    return draw_pictures(group_reports(found.reports), found.connections)


def _add_pictures(
    files: Files, pictures: Sequence[Picture], png: Path | None, svg: Path | None, on_picture: Callable[[], None]
) -> None:
    if png is None and svg is None:
        return
    from ticketkit.report.figures.style import to_png, to_svg

    for picture in pictures:
        if png is not None:
            files.add(png / f"{picture.name}.png", to_png(picture.figure))
            on_picture()
        if svg is not None:
            files.add(svg / f"{picture.name}.svg", to_svg(picture.figure).encode(errors=ODD))
            on_picture()


def _references(
    pictures: Sequence[Picture], markdown: Path, png: Path | None, svg: Path | None
) -> list[tuple[str, str]]:
    """Each picture's title and where the Markdown finds it: the PNG files, or else the SVG ones."""
    folder, suffix = (png, "png") if png is not None else (svg, "svg")
    if folder is None:
        return []
    relative = Path(os.path.relpath(folder, markdown.parent)).as_posix()
    return [(picture.title, f"{relative}/{picture.name}.{suffix}") for picture in pictures]


def _written(
    out: Path | None, png: Path | None, svg: Path | None, markdown: Path | None, csv_file: Path | None, pictures: int
) -> Iterator[tuple[str, str]]:
    for label, path in (("html", out), ("markdown", markdown), ("csv", csv_file)):
        if path is not None:
            yield label, str(path)
    for label, path in (("png", png), ("svg", svg)):
        if path is not None:
            yield label, f"{path}: {counted(pictures, 'picture')}"
