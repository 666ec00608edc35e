"""What each arm costs, and what many targets cost: sparse FLOPs in units of one dense training of the target."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ticketkit.report.account import SHOWN_TARGETS, Account, account
from ticketkit.report.comparison import TICKET
from ticketkit.report.figures.panels import PANELS_ABREAST, level_panels, sorted_labels
from ticketkit.report.figures.style import Entry, Look, legend_at_right, look_of, new_figure, shortened, styled
from ticketkit.report.grouping import Level, Row, Target

MOST_TARGETS = 12
"""The account is drawn up to where stretching wins, but for no more targets than this."""


@styled
def costs(target: Target) -> Figure | None:
    """Sparse FLOPs of each arm, a panel a level: its training, what comes before it, and both together.

    None if no training says what it cost.
    """
    shown = [(level, pairs) for level in target.levels if (pairs := _known(level))]
    if not shown:
        return None
    every = [pair for _, pairs in shown for pair in pairs]
    labels = sorted_labels((row.label, -sum(work)) for row, work in every)
    levels = [level for level, _ in shown]
    title = "cost of one network; filled: its training, hollow: what comes before it, bar: both together"
    figure, panels = level_panels(target, levels, labels, title)
    arms = [row.arm.name for row, _ in every]
    for axes, (_, pairs) in zip(panels, shown, strict=True):
        axes.axvline(1, color="#333333", linewidth=1.0, zorder=1.5)
        for row, work in pairs:
            _draw(axes, labels.index(row.label), work, look_of(row.arm.name, row.variant, arms).color)
    _cost_axis(panels[0], [part for _, work in every for part in (*work, sum(work)) if part > 0])
    figure.supxlabel("sparse FLOPs, in dense trainings of the target (the line is one); logarithmic", fontsize=9)
    return figure


@styled
def accounts(target: Target) -> Figure | None:
    """What n targets cost by stretching one ticket and by the other methods, a panel a level.

    None if no report knows what finding its ticket cost.
    """
    shown = [(level, found) for level in target.levels if (found := _accounts(level))]
    if not shown:
        return None
    targets = _targets([one for _, found in shown for _, one in found])
    abreast = min(len(shown), PANELS_ABREAST)
    deep = -(-len(shown) // abreast)
    figure = new_figure(3.4 * deep + 0.4)
    panels = list(figure.subplots(deep, abreast, sharex=True, sharey=True, squeeze=False).flat)
    entries: dict[str, Entry] = {}
    for axes, (level, found) in zip(panels, shown, strict=False):
        axes.set_title(f"{level.title} sparse", loc="left")
        axes.tick_params(axis="x", labelbottom=True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for row, one in found:
            line = _line(
                axes, [one.by_stretching(n) / one.unit for n in targets], targets, look_of(TICKET, row.variant)
            )
            entries.setdefault(row.label, Entry(drawn=line, label=shortened(row.label), bold=True))
        _, one = found[0]
        for name in one.rivals:
            line = _line(axes, [one.by_rival(name, n) / one.unit for n in targets], targets, look_of(name))
            entries.setdefault(name, Entry(drawn=line, label=name))
    for spare in panels[len(shown) :]:
        spare.set_axis_off()
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.suptitle(
        f"{target.title}: sparse FLOPs of finding once and stretching, and of others", x=0.01, ha="left", fontsize=10
    )
    figure.supxlabel("number of targets", fontsize=9)
    figure.supylabel("dense trainings of the target; logarithmic", fontsize=9)
    legend_at_right(panels[abreast - 1], list(entries.values()))
    return figure


def _known(level: Level) -> list[tuple[Row, tuple[float, float]]]:
    return [(row, work) for row in level.rows if (work := row.work) is not None]


def _draw(axes: Axes, place: int, work: tuple[float, float], color: str) -> None:
    before, training = work
    if before > 0:
        axes.plot([before], [place], "D", color=color, markerfacecolor="white", markersize=5.5, zorder=3)
        axes.plot([before + training], [place], "|", color=color, markersize=13, markeredgewidth=2.2, zorder=2)
        ends = sorted((before, training, before + training))
        axes.plot([ends[0], ends[-1]], [place, place], color=color, linewidth=1.2, zorder=1.8)
    axes.plot([training], [place], "o", color=color, markersize=6.5, zorder=4)


def _cost_axis(axes: Axes, values: Sequence[float]) -> None:
    """Whole decades, and what lies between them where there are few."""
    axes.set_xscale("log")
    low, high = min([*values, 1.0]), max([*values, 1.0])
    axes.set_xlim(low / 1.4, high * 1.4)
    few = high / low < 30  # noqa: PLR2004 - less than a decade and a half shows too few whole ones
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _accounts(level: Level) -> list[tuple[Row, Account]]:
    """The accounts of a level's tickets."""
    found = [(row, account(row.report)) for row in level.rows if row.is_ticket]
    return [(row, one) for row, one in found if one is not None and one.unit > 0]


def _targets(found: Sequence[Account]) -> range:
    wins = [wins for one in found for name in one.rivals if (wins := one.break_even(name)) is not None]
    return range(1, min(max([SHOWN_TARGETS, *(win + 1 for win in wins)]), MOST_TARGETS) + 1)


def _line(axes: Axes, values: Sequence[float], targets: Sequence[int], look: Look) -> Line2D:
    (line,) = axes.plot(
        targets,
        values,
        color=look.color,
        marker=look.marker,
        markerfacecolor=look.face,
        linestyle=look.dash,
        linewidth=look.width,
    )
    return line
