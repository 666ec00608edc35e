"""How a study prints: each target's accuracies by sparsity, and what came of the elastic hypothesis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import click

from ticketkit.cli.output import MAX_WIDTH, printable, text_table
from ticketkit.report.cells import StudyResults
from ticketkit.report.comparison import ArmResult, Report
from ticketkit.report.connection import Connection
from ticketkit.report.grouping import Target, group_reports, has_orders, origin_label, short_name, shown_percent
from ticketkit.report.judgement import points

NAME_WIDTH, LEAST_NAME_WIDTH = 26, 8
"""How long a name may be where there is room, and how long it may always be."""


def study_lines(results: StudyResults) -> list[str]:
    """Lines that say what a study's cells gave so far, at most 80 columns wide."""
    lines: list[str] = []
    for target in group_reports(results.reports):
        title = f"{target.title}: accuracy in %, mean ± standard deviation"
        lines += ["", click.style(_shortened(title, MAX_WIDTH), bold=True)]
        for table in _side_by_side(_Accuracies(target)):
            lines += ["", *table]
        lines += _hypothesis(target)
    if results.connections:
        lines += ["", *_fitted(partial(_connections, results.connections))]
    return lines[1:]


class _Accuracies:
    """Each arm's accuracies by the ticket's sparsity, which all arms of a study have exactly."""

    def __init__(self, target: Target) -> None:
        self.labels = [curve.label for curve in target.curves]
        self.sparsities = sorted({report.sparsity for report in target.reports})
        self._arms = {(row.label, row.report.sparsity): row.arm for row in target.rows}

    def table(self, sparsities: Sequence[float], width: int) -> list[str]:
        """The columns of some sparsities."""
        rows = []
        for label in self.labels:
            arms = [self._arms.get((label, sparsity)) for sparsity in sparsities]
            if any(arms):
                cells = ["" if arm is None else _accuracy(arm) for arm in arms]
                rows.append([_shortened(label, width), *cells])
        heads = [f"{shown_percent(sparsity)} %" for sparsity in sparsities]
        return text_table(["arm", *heads], rows, left={"arm"})


def _side_by_side(accuracies: _Accuracies) -> list[list[str]]:
    """As few tables as fit beside whole names, of about equally many sparsities each."""
    sparsities = accuracies.sparsities
    for count in range(1, len(sparsities) + 1):
        each = math.ceil(len(sparsities) / count)
        parts = [sparsities[start : start + each] for start in range(0, len(sparsities), each)]
        if all(_fits(accuracies.table(part, NAME_WIDTH)) for part in parts):
            break
    return [_fitted(partial(accuracies.table, part)) for part in parts]


def _accuracy(arm: ArmResult) -> str:
    spread = "" if arm.deviation is None else f" ± {100 * arm.deviation:.2f}"
    return f"{100 * arm.mean:.2f}{spread}"


def _hypothesis(target: Target) -> Iterator[str]:
    """A line for each ticket whose reference was trained."""
    judged = [report for report in target.reports if report.hypothesis() is not None]
    if not judged:
        return
    margin, reference = 100 * judged[0].margin, judged[0].reference
    yield ""
    yield f"elastic hypothesis: no more than {margin:g} points below {reference}, 95 %"
    with_order = has_orders(target.reports)

    def table(width: int) -> list[str]:
        rows = []
        for report in judged:
            label = _shortened(origin_label(report, with_order=with_order), width)
            rows.append([f"{shown_percent(report.sparsity)} %", label, *_judged(report)])
        return text_table(["sparsity", "ticket", "difference", "interval", "verdict"], rows, left={"ticket", "verdict"})

    yield from _fitted(table)


def _judged(report: Report) -> list[str]:
    test = report.hypothesis()
    if test is None:
        return ["", "", ""]
    interval = test.interval
    if interval.low is None or interval.high is None:
        return [points(interval.mean), "", "needs more seeds"]
    between = f"{points(interval.low)} to {points(interval.high)}"
    if test.state != "not enough seeds":
        return [points(interval.mean), between, test.state]
    needed = "over 1,000" if test.seeds_needed is None else f"about {test.seeds_needed:,}"
    return [points(interval.mean), between, f"needs {needed} seeds"]


def _connections(connections: Sequence[Connection], width: int) -> list[str]:
    rows = [
        [
            _shortened(connection.name, width),
            _shortened(short_name(connection.architecture), width),
            f"{shown_percent(connection.sparsity)} %",
            str(len(connection.curves)),
            f"{100 * connection.barrier:.2f}",
            "stable" if connection.is_stable else "",
        ]
        for connection in connections
    ]
    heads = ["linear connectivity", "network", "sparsity", "pairs", "barrier, points", ""]
    return text_table(heads, rows, left={"linear connectivity", "network", ""})


def _fitted(table: Callable[[int], list[str]]) -> list[str]:
    """A table with names of as many columns as fit."""
    for width in range(NAME_WIDTH, LEAST_NAME_WIDTH, -1):
        if _fits(lines := table(width)):
            return lines
    return table(LEAST_NAME_WIDTH)


def _fits(lines: Sequence[str]) -> bool:
    return max(len(click.unstyle(line)) for line in lines) <= MAX_WIDTH


def _shortened(text: str, width: int) -> str:
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"
