"""A ticket as one HTML page that needs nothing else: facts, tables, densities, and a picture of every layer's mask."""

from __future__ import annotations

import base64
import io
from typing import Final

from PIL import Image

from ticketkit.encoding import Bitmask
from ticketkit.fractions import percent
from ticketkit.report.facts import origin_facts, sparsity_facts
from ticketkit.report.figures import draw_ticket
from ticketkit.report.figures.style import to_svg
from ticketkit.report.html import Markup, definitions, document, element, inline_svg, table_parts
from ticketkit.report.sparsity import LayerSparsity, SparsityReport
from ticketkit.report.table import Table
from ticketkit.report.tiles import LayerImage, weight_image
from ticketkit.ticket import Ticket

LARGEST: Final = 540
"""Pixels on each side that a layer's picture may take."""

MOST_BYTES: Final = 3_000_000
"""Bytes that all layers' pictures together may take; the layers that then are left are named, not drawn."""

_STYLE = """\
.layers { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 1.25rem; }
.layers figure { margin: 0; }
.layers img { width: 100%; height: auto; image-rendering: pixelated; border: 1px solid #ddd; }
"""

_PICTURE = (
    "Density of every prunable layer on a logarithmic scale, stages shaded, layers with dead filters ringed; dead "
    "filters upward and dead input channels downward, in per cent of each layer's; kept weights among all of each "
    "layer. Below: density by stage; how the magnitudes of kept weights are distributed; how many weights a kernel "
    "keeps, and how many it would if each layer kept as many at random places."
)
_MASKS = (
    "A row for each output, a column for each input, a tile for each kernel. Kept weights are blue if negative and "
    "orange if positive, the darker the larger; pruned ones are white, those of dead filters and input channels grey "
    "with a black mark in the margin. Tall layers are folded into strips, side by side. A layer that is too large is "
    "drawn in blocks, the darker the more weights are kept; its caption says so. "
    "ticketkit inspect --plot FILE --layer LAYER draws one at full size."
)


def to_page(ticket: Ticket, report: SparsityReport, name: str) -> str:
    """Describe a ticket on a page.

    Whatever comes from the ticket is escaped, and nothing is fetched or run. The same ticket gives the same bytes.

    Args:
        ticket: The ticket.
        report: What it holds.
        name: The name of its file.

    Raises:
        TicketkitError: If matplotlib is not installed.
    """
    picture = inline_svg(to_svg(draw_ticket(ticket)), "densities", f"Densities of {name}. {_PICTURE}")
    sections = [
        ("Ticket", [definitions(origin_facts(report)), definitions(sparsity_facts(report))]),
        ("Densities", [element("figure", picture, element("figcaption", _PICTURE))]),
        ("Stages", table_parts([_groups(report)])),
        ("Layers", table_parts([_layers(report)])),
        ("Masks", _masks(ticket, report)),
    ]
    summary = f"{report.architecture.name}, {percent(report.sparsity)} sparse"
    return document(name, summary, sections, style=_STYLE)


def _groups(report: SparsityReport) -> Table:
    return Table(
        title="Prunable weights by stage",
        heads=("where", "units", "kept", "of", "density", "sparsity"),
        rows=tuple(
            (
                group.name,
                "" if group.units is None else f"{group.units:,}",
                f"{group.kept:,}",
                f"{group.total:,}",
                percent(group.density),
                percent(group.sparsity),
            )
            for group in report.groups
        ),
    )


def _layers(report: SparsityReport) -> Table:
    return Table(
        title="Prunable layers, in execution order",
        heads=("layer", "#", "stage", "unit", "shape", "kept", "of", "dead filters", "dead inputs", "density"),
        rows=tuple(
            (
                layer.name,
                str(layer.index),
                "" if layer.stage is None else str(layer.stage),
                "" if layer.unit is None else str(layer.unit),
                "×".join(map(str, layer.shape)),
                f"{layer.kept:,}",
                f"{layer.total:,}",
                f"{layer.dead_filters:,}",
                f"{layer.dead_inputs:,}",
                percent(layer.density),
            )
            for layer in report.layers
        ),
    )


def _masks(ticket: Ticket, report: SparsityReport) -> list[Markup]:
    """The layers' pictures, as many as there is room for, and what was left out."""
    masked = [stored for stored in ticket.stored.values() if isinstance(stored, Bitmask)]
    figures: list[Markup] = []
    left_out: list[LayerSparsity] = []
    room = MOST_BYTES
    for layer, stored in zip(report.layers, masked, strict=True):
        image = weight_image(stored.decode(), stored.mask(), LARGEST)
        source = _data_url(image)
        if len(source) > room:
            left_out.append(layer)
            continue
        room -= len(source)
        figures.append(_figure(layer, image, source))
    parts = [element("p", _MASKS, class_="note"), element("div", *figures, class_="layers")]
    if left_out:
        names = ", ".join(layer.name for layer in left_out)
        text = f"To keep the page small, {len(left_out):,} of {len(report.layers):,} layers are not drawn: {names}."
        parts.append(element("p", text, class_="note"))
    return parts


def _figure(layer: LayerSparsity, image: LayerImage, source: str) -> Markup:
    height, width = image.layout.size
    shape = "×".join(map(str, layer.shape))
    title = f"{layer.index} {layer.name}"
    said = f"{shape}, {percent(layer.density)} kept; {image.layout.pixel}"
    alternative = f"Mask of {layer.name}, {said}"
    # The picture keeps its pixels whole up to its own size: a small layer is not blown up beyond it.
    style = f"max-width: {max(width, 40)}px"
    img = element("img", src=source, alt=alternative, width=str(width), height=str(height), style=style)
    return element("figure", img, element("figcaption", element("strong", title), f" {said}"))


def _data_url(image: LayerImage) -> str:
    """The picture as a PNG file with a palette, in the text of a page."""
    picture = Image.fromarray(image.pixels)
    picture.putpalette(image.palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
