"""The plots of ``scale.py``: time against size, both on logarithmic scales."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ticketkit.report.figures.style import BLUE, GREEN, GREY, RED, new_figure, styled, to_png, to_svg

LOOKS = {"find": (BLUE, "o"), "verify": (RED, "s"), "stretch": (GREEN, "^")}
LABELS = {
    "find": "find, one pruning",
    "verify": "verify, ticket and dense",
    "stretch": "stretch, file to file",
}
AT_ONCE = "trainings at once"


def draw(name: str, points: Sequence[dict[str, Any]], where: str, folder: Path) -> None:
    """Draw a series as SVG and PNG.

    Args:
        name: What is varied.
        points: Its value and the times at each.
        where: The device, for the title.
        folder: Where ``scale-NAME.svg`` and ``.png`` go.
    """
    figure = figure_of(name, points, where)
    stem = f"scale-{name.replace(' ', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(f"{stem}.svg").write_text(to_svg(figure), encoding="utf-8")
    folder.joinpath(f"{stem}.png").write_bytes(to_png(figure))


@styled
def figure_of(name: str, points: Sequence[dict[str, Any]], where: str) -> Figure:
    """The picture of a series; see :func:`draw`."""
    figure = new_figure(4.2)
    axes = figure.add_subplot()
    values = [point[name] for point in points]
    for done in (key for key in (points[0] if points else {}) if key != name):
        color, marker = LOOKS[done]
        times = [point[done] for point in points]
        label = "one training of them" if name == AT_ONCE else LABELS[done]
        axes.plot(values, times, color=color, marker=marker, label=label)
    if points:
        first = next(time for key, time in points[0].items() if key != name)
        # Several at once at no cost would take each training its share of one's time.
        power = -1 if name == AT_ONCE else 1
        guide = [first * (value / values[0]) ** power for value in values]
        axes.plot(values, guide, color=GREY, linestyle=":", linewidth=1.0, label="in proportion")
        axes.legend(loc="best")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(name)
    axes.set_ylabel("seconds")
    axes.set_title(f"Time by {name}, {where}", loc="left")
    return figure
