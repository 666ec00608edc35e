"""How a study prints: each target's accuracies by sparsity, and what came of the elastic hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ticketkit.cli.output import counted, text_table
from ticketkit.report.cells import StudyResults
from ticketkit.report.comparison import ArmResult, Report
from ticketkit.report.connection import Connection
from ticketkit.report.grouping import Level, Target, group_reports, has_orders, origin_label, short_name, shown_percent
from ticketkit.report.judgement import points

COLUMNS = 4
"""Sparsities that fit beside each other; more go into a further table."""

NAME_WIDTH = 26


def study_lines(results: StudyResults) -> list[str]:
    """Lines that say what a study's cells gave so far, at most 80 columns wide."""
    lines: list[str] = []
    for target in group_reports(results.reports):
        lines += ["", click.style(f"{target.title}: accuracy in %, mean ± standard deviation", bold=True)]
        for start in range(0, len(target.levels), COLUMNS):
            lines += ["", *_table(target, target.levels[start : start + COLUMNS])]
        lines += ["", *_hypothesis(target)]
    if results.connections:
        lines += ["", *_connections(results.connections)]
    return lines[1:]


def _table(target: Target, levels: Sequence[Level]) -> list[str]:
    rows = []
    for curve in target.curves:
        cells = []
        for level in levels:
            found = [row.arm for row in level.rows if row.label == curve.label]
            cells.append(_accuracy(found[0]) if found else "")
        if any(cells):
            rows.append([_fitted(curve.label), *cells])
    return text_table(["arm", *(level.title for level in levels)], rows, left={"arm"})


def _accuracy(arm: ArmResult) -> str:
    spread = "" if arm.deviation is None else f" ± {100 * arm.deviation:.2f}"
    return f"{100 * arm.mean:.2f}{spread}"


def _fitted(text: str) -> str:
    return text if len(text) <= NAME_WIDTH else text[: NAME_WIDTH - 1] + "…"


def _hypothesis(target: Target) -> Iterator[str]:
    """A line for each ticket whose reference was trained."""
    judged = [report for report in target.reports if report.hypothesis() is not None]
    if not judged:
        return
    margin, reference = 100 * judged[0].margin, judged[0].reference
    yield f"elastic hypothesis: no more than {margin:g} points below {reference}, 95 %"
    with_order = has_orders(target.reports)
    rows = [
        [shown_percent(report.sparsity) + " %", origin_label(report, with_order=with_order), *_judged(report)]
        for report in judged
    ]
    yield from text_table(["sparsity", "ticket", "difference", "", "verdict"], rows, left={"ticket", "verdict"})


def _judged(report: Report) -> list[str]:
    test = report.hypothesis()
    if test is None:
        return ["", "", ""]
    interval = test.interval
    if interval.low is None or interval.high is None:
        return [points(interval.mean), "", f"not told with {counted(interval.count, 'seed')}"]
    between = f"{points(interval.low)} to {points(interval.high)}"
    if test.state != "not enough seeds":
        return [points(interval.mean), between, test.state]
    needed = "over 1,000" if test.seeds_needed is None else f"about {test.seeds_needed:,}"
    return [points(interval.mean), between, f"not told; {needed} seeds would"]


def _connections(connections: Sequence[Connection]) -> list[str]:
    rows = [
        [
            _fitted(connection.name),
            short_name(connection.architecture),
            f"{shown_percent(connection.sparsity)} %",
            str(len(connection.curves)),
            f"{100 * connection.barrier:.2f}",
            "stable" if connection.is_stable else "",
        ]
        for connection in connections
    ]
    heads = ["linear connectivity", "network", "sparsity", "pairs", "barrier, points", ""]
    return text_table(heads, rows, left={"linear connectivity", "network", ""})
