"""A report as Markdown: verdicts, tables and where everything came from; pictures by reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ticketkit.report.collect import Results
from ticketkit.report.grouping import Target, group_reports
from ticketkit.report.judgement import verdict_sentences
from ticketkit.report.table import (
    Table,
    account_table,
    accuracy_table,
    connection_provenance,
    connection_table,
    cost_table,
    hypothesis_summary,
    provenance,
    subject_of,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")


def to_markdown(results: Results, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The results as GitHub's Markdown.

    Args:
        results: Reports and connections.
        pictures: What to show: each picture's title and its path, relative to the Markdown file.
    """
    targets = group_reports(results.reports)
    blocks = ["# ticketkit report", *_verdicts(targets)]
    if pictures:
        blocks += ["## Pictures", *(f"![{escaped(title)}](<{path}>)" for title, path in pictures)]
    blocks += _section("Accuracy", [accuracy_table(target, level) for target in targets for level in target.levels])
    if results.connections:
        blocks += _section("Linear mode connectivity", [connection_table(results.connections)])
    costs = [cost_table(target, level) for target in targets for level in target.levels]
    blocks += _section("Cost of one network", costs)
    blocks += _section("Cost of many targets", [account_table(target) for target in targets])
    blocks += _provenance(targets, results)
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    """A text in which nothing is Markdown."""
    return _SPECIAL.sub(r"\\\1", text).replace("\n", " ")


def _verdicts(targets: Sequence[Target]) -> Iterator[str]:
    if not targets:
        return
    yield "## Verdict"
    if summary := hypothesis_summary([report for target in targets for report in target.reports]):
        yield summary
    lines = [
        f"- **{escaped(subject_of(target, report))}:** {escaped(' '.join(verdict_sentences(report)))}"
        for target in targets
        for report in target.reports
    ]
    yield "\n".join(lines)


def _section(title: str, tables: Sequence[Table | None]) -> Iterator[str]:
    found = [table for table in tables if table is not None]
    if found:
        yield f"## {title}"
    for table in found:
        yield f"### {escaped(table.title)}"
        yield _set(table)
        if table.note:
            yield escaped(table.note)


def _set(table: Table) -> str:
    ruler = (":--" if column in table.left else "--:" for column in range(len(table.heads)))
    lines = [_line(table.heads), f"| {' | '.join(ruler)} |"]
    for place, row in enumerate(table.rows):
        name = f"**{escaped(row[0])}**" if place in table.bold else escaped(row[0])
        lines.append(f"| {' | '.join([name, *map(escaped, row[1:])])} |")
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def _provenance(targets: Sequence[Target], results: Results) -> Iterator[str]:
    yield "## Provenance"
    for target in targets:
        for report in target.reports:
            yield f"### {escaped(subject_of(target, report))}"
            yield "\n".join(f"- {label}: {_code(text)}" for label, text in provenance(report))
    for connection in results.connections:
        yield f"### {escaped(connection.name)}, connectivity"
        yield "\n".join(f"- {label}: {_code(text)}" for label, text in connection_provenance(connection))


def _code(text: str) -> str:
    """A text as code, whatever back-ticks are in it."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"
