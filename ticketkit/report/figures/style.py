"""How every picture looks: sizes, colours, markers and lines, and how it becomes a file."""

from __future__ import annotations

import functools
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure

from ticketkit.report.comparison import TICKET

P = ParamSpec("P")
T = TypeVar("T")

WIDTH = 11.0
"""Width of every picture in inches: 1,100 pixels at 100 a inch, so that a letter is as high as on a page."""

PNG_DPI = 200
"""Twice the page's pixels, for screens that have them."""

_BASE = {
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.edgecolor": "#555555",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.markersize": 5.5,
    "lines.markeredgewidth": 1.2,
    "lines.linewidth": 1.4,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "ticketkit",
    "svg.image_inline": True,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "text.usetex": False,
    "text.parse_math": False,
}
"""Names come from files, so nothing in them is read as mathematics; text stays text, to be found and read aloud."""

BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#767676",
)
"""Okabe and Ito's palette without its yellow, which is lost on white, and a grey."""

SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 1.5, 1.2, 1.5))

Dash = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one curve looks; colour, marker and line each tell most curves apart alone.

    Attributes:
        color: Of line and marker.
        marker: matplotlib's name of it.
        dash: Of the line: solid for what IMP or a transformation found, dashed for pruning at the start (as in the
            paper's Figure 6), dash-dotted for the ticket's own controls, dotted for training that moves its mask.
        face: Of the marker's inside: an arm's second curve has it the other way round, white or filled.
        width: Of the line, in points.
    """

    color: str
    marker: str
    dash: Dash
    face: str
    width: float = 1.4


_TICKETS = ((BLACK, "o"), (BLUE, "s"), (RED, "D"), (PINK, "^"), (GREEN, "v"), (ORANGE, "h"))

_ARMS: dict[str, tuple[str, str, Dash]] = {
    "dense": (GREY, "H", SOLID),
    "imp": (GREEN, "P", SOLID),
    "lrr": (SKY, "X", SOLID),
    "random": (RED, "v", DASH_DOT),
    "reinit": (BLUE, "^", DASH_DOT),
    "random-weights": (PINK, "<", DASH_DOT),
    "random-copies": (ORANGE, ">", DASH_DOT),
    "magnitude": (BLUE, "s", DASHED),
    "snip": (RED, "o", DASHED),
    "grasp": (GREEN, "d", DASHED),
    "synflow": (ORANGE, "p", DASHED),
    "erk": (GREY, "D", DASHED),
    "extra-snip": (PINK, "h", DASHED),
    "rigl": (BLACK, "*", DOTTED),
    "set": (SKY, "8", DOTTED),
    "small-dense": (GREY, "s", DOTTED),
}
_HOLLOW = {"magnitude", "snip", "synflow", "erk", "set"}
"""Their markers are white inside, for the shape is another arm's too."""

_OTHERS = tuple((color, marker) for marker in "D>p<" for color in (BLUE, ORANGE, GREEN, RED, BLACK, SKY, PINK))


def look_of(arm: str, variant: int = 0, others: Sequence[str] = ()) -> Look:
    """How a curve looks.

    Args:
        arm: The arm that it shows.
        variant: Which of the arm's curves it is, from 0.
        others: Names of the picture's arms; those that are not ours get their looks in this order.
    """
    if arm == TICKET:
        color, marker = _TICKETS[variant % len(_TICKETS)]
        return Look(color=color, marker=marker, dash=SOLID, face=color, width=2.2)
    if arm in _ARMS:
        color, marker, dash = _ARMS[arm]
    else:
        unknown = [name for name in dict.fromkeys(others) if name != TICKET and name not in _ARMS]
        color, marker = _OTHERS[(unknown.index(arm) if arm in unknown else 0) % len(_OTHERS)]
        dash = SOLID
    second = variant % 2 == 1
    face = "white" if second != (arm in _HOLLOW) else color
    return Look(color=color, marker=marker, dash=dash, face=face, width=1.0 if second else 1.4)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorate a drawing function: it draws in our style, whatever the caller's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with _context():
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float) -> Figure:
    """An empty figure of the common width that makes room for its labels by itself; ``height`` in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a legend.

    Attributes:
        drawn: What it explains: an artist, or what ``errorbar`` gives.
        label: What it says.
        bold: Whether it stands out, as a ticket does among its baselines.
    """

    drawn: Artist | Container
    label: str
    bold: bool = False


def legend_at_right(axes: Axes, entries: Sequence[Entry]) -> None:
    """Put a legend outside at the right, where it covers nothing."""
    legend = axes.legend(
        [entry.drawn for entry in entries],
        [entry.label for entry in entries],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        handlelength=3.6,
        labelspacing=0.4,
    )
    for text, entry in zip(legend.get_texts(), entries, strict=True):
        text.set_fontweight("bold" if entry.bold else "normal")


def to_png(figure: Figure) -> bytes:
    """The picture as a PNG file's bytes, the same for the same picture."""
    buffer = io.BytesIO()
    with _context():
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The picture as an SVG file's text, the same for the same picture."""
    buffer = io.StringIO()
    with _context():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", buffer.getvalue())


def to_pdf(figure: Figure) -> bytes:
    """The picture as a PDF file's bytes, the same for the same picture."""
    buffer = io.BytesIO()
    with _context():
        figure.savefig(
            buffer, format="pdf", dpi=PNG_DPI, metadata={"Creator": None, "Producer": None, "CreationDate": None}
        )
    return buffer.getvalue()


def to_file(figure: Figure, suffix: str) -> bytes:
    """The picture as a file's bytes; ``suffix`` is one of ``.png``, ``.svg`` and ``.pdf``."""
    if suffix == ".svg":
        return to_svg(figure).encode(errors="replace")
    return {".png": to_png, ".pdf": to_pdf}[suffix](figure)


def shortened(text: str, length: int = 30) -> str:
    """A label that fits a legend."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, not even escaped."""


@contextmanager
def _context() -> Iterator[None]:
    """Draw in our style, and without a warning for each letter of a name that the font lacks."""
    with style.context(["default", _BASE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
