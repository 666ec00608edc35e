"""The options with which commands draw, and what they have in common: which files, which layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketkit.cli.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

PLOT_OPTION = click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw it to this file: .png, .svg or .pdf. Needs the extra plots.",
)
LAYER_OPTION = click.option(
    "--layer",
    metavar="LAYER",
    help="For --plot: draw one layer, weight by weight; its name, or its number in the table.",
)
FORCE_OPTION = click.option("--force", is_flag=True, help="Replace a file that exists.")


def picture_files(plot: Path | None, page: Path | None = None, *, layer: str | None = None, force: bool) -> Files:
    """Check what can be checked before there is anything to draw.

    Args:
        plot: The picture's file.
        page: The page's file.
        layer: The layer to draw.
        force: Whether files may be replaced.

    Returns:
        The files, to be filled and written.

    Raises:
        UsageError: If a layer is named and no picture.
        TicketkitError: If a file is in the way, its suffix is that of no picture, or matplotlib is not installed.
    """
    if layer is not None and plot is None:
        raise click.UsageError("--layer says what --plot draws (it needs --plot FILE)")
    files = Files(force=force)
    if plot is None and page is None:
        return files
    from ticketkit.report.figures import check_suffix, require_matplotlib

    if plot is not None:
        check_suffix(plot)
    for path in (plot, page):
        if path is not None:
            files.check(path)
    require_matplotlib()
    return files


def add_picture(files: Files, path: Path | None, draw: Callable[[], Figure]) -> None:
    """Draw what is to be written to a path, if there is one."""
    if path is None:
        return
    from ticketkit.report.figures import check_suffix
    from ticketkit.report.figures.style import to_file

    files.add(path, to_file(draw(), check_suffix(path)))
