"""The pictures of a report, drawn by matplotlib: each a function that takes values and gives a ``Figure``.

``draw_…`` are for Python and the command line alike. A figure is matplotlib's own: show it in a notebook, change it, or
save it with :func:`save_figure`. matplotlib is an extra, so this module imports no other of its package before pictures
are asked for.

Examples:
    >>> from ticketkit.report.figures import draw_layer
    >>> draw_layer(ticketkit.load_ticket("resnet20.st"), "blocks.4.conv1").axes[0].get_xlabel()
    'input channel, kernels of 3×3'
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ticketkit.atomic import replacing
from ticketkit.errors import TicketkitError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ticketkit.arch import ArchSpec
    from ticketkit.report.connection import Connection
    from ticketkit.report.figures.pictures import Picture
    from ticketkit.report.grouping import Target
    from ticketkit.stretch import StageMap
    from ticketkit.ticket import Ticket

SUFFIXES: Final = (".png", ".svg", ".pdf")
"""What files a picture can be written to."""


def draw_pictures(targets: Sequence[Target], connections: Sequence[Connection]) -> tuple[Picture, ...]:
    """Draw every picture that the results have the values for.

    Args:
        targets: Reports, grouped.
        connections: What ``connect`` found.

    Raises:
        TicketkitError: If matplotlib is not installed.
    """
    require_matplotlib()
    from ticketkit.report.figures.pictures import draw

    return draw(targets, connections)


def draw_ticket(ticket: Ticket) -> Figure:
    """Draw a ticket on one page: each layer's density, dead filters and kept weights; stages, magnitudes and kernels.

    Raises:
        TicketkitError: If matplotlib is not installed.
    """
    require_matplotlib()
    from ticketkit.report.figures.ticket import ticket_page
    from ticketkit.report.sparsity import group_sparsities, layer_sparsities
    from ticketkit.report.weights import group_weights

    layers = layer_sparsities(ticket)
    groups = group_sparsities(layers, ticket.arch.stages)
    return ticket_page(ticket.arch.short_name, layers, groups, group_weights(ticket))


def draw_layer(ticket: Ticket, layer: str | int) -> Figure:
    """Draw the kept weights of one layer, filter by filter and kernel by kernel, by sign and size.

    Args:
        ticket: The ticket.
        layer: The layer's name (``blocks.4.conv1``), or its index among all layers, as ``inspect`` prints it.

    Raises:
        ArchError: If the network has no such layer, or the ticket does not mask it.
        TicketkitError: If matplotlib is not installed.
    """
    require_matplotlib()
    from ticketkit.report.figures.layer_image import layer_picture

    return layer_picture(ticket, layer)


def draw_difference(first: Ticket, other: Ticket, names: tuple[str, str] = ("first", "other")) -> Figure:
    """Draw what two tickets share, layer by layer; of different networks, their densities unit by unit.

    Args:
        first: A ticket.
        other: Another.
        names: What the picture calls the two.

    Raises:
        TicketkitError: If matplotlib is not installed.
    """
    require_matplotlib()
    from ticketkit.report.figures.overlap import overlap_page, unit_densities
    from ticketkit.report.overlap import compare

    if first.arch == other.arch:
        return overlap_page(compare(first, other), first.arch, names)
    return unit_densities(first, other, names)


def draw_layer_difference(
    first: Ticket, other: Ticket, layer: str | int, names: tuple[str, str] = ("first", "other")
) -> Figure:
    """Draw which weights of one layer either of two tickets keeps, and which both.

    Args:
        first: A ticket.
        other: Another of the same network.
        layer: The layer's name, or its index among all layers.
        names: What the picture calls the two.

    Raises:
        ArchError: If the networks differ, have no such layer, or one of the tickets does not mask it.
        TicketkitError: If matplotlib is not installed.
    """
    require_matplotlib()
    from ticketkit.report.figures.layer_image import difference_picture

    return difference_picture(first, other, layer, names)


def draw_mapping(mapping: StageMap, source: ArchSpec, target: ArchSpec) -> Figure:
    """Draw which source unit each target unit comes from.

    Args:
        mapping: The mapping; see :func:`ticketkit.plan_stretch`.
        source: The network there is a ticket of.
        target: The network wanted.

    Raises:
        TicketkitError: If matplotlib is not installed, or a stage has too many units to draw.
    """
    require_matplotlib()
    from ticketkit.report.figures.mapping import MOST_UNITS, stage_mapping

    names = {"source": source.short_name, "target": target.short_name}
    figure = stage_mapping(mapping, **names, source_units=source.stages)
    if figure is None:
        longest = max(*source.stages, *target.stages)
        raise TicketkitError(f"a stage to draw must have at most {MOST_UNITS} units (got {longest:,})")
    return figure


def save_figure(figure: Figure, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a picture in one step, in the style it was drawn in, as what its suffix says.

    Args:
        figure: The picture.
        path: The file; its suffix is one of :data:`SUFFIXES`.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        TicketkitError: If the suffix is another one.
        FileExistsError: If the file exists and ``overwrite`` is false.
    """
    path = Path(path)
    suffix = check_suffix(path)
    from ticketkit.report.figures.style import to_file

    content = to_file(figure, suffix)
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def check_suffix(path: Path) -> str:
    """The suffix of a picture's file, in lower case.

    Raises:
        TicketkitError: If it is none of :data:`SUFFIXES`.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        got = repr(suffix) if suffix else "no suffix"
        raise TicketkitError(f"a picture's file must end in one of {known} (got {got}): {path}")
    return suffix


def require_matplotlib() -> None:
    """Say how to get matplotlib where it is missing.

    Raises:
        TicketkitError: If it is.
    """
    try:
        import matplotlib as _  # noqa: F401 - only whether it is there
    except ImportError:
        raise TicketkitError("plots need matplotlib: pip install 'ticketkit[plots]'") from None
