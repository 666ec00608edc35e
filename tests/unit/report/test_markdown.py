"""Markdown: verdicts, tables, provenance, and pictures by reference."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from ticketkit.report.collect import Results
from ticketkit.report.comparison import Report
from ticketkit.report.connection import Connection
from ticketkit.report.judgement import verdict_sentences
from ticketkit.report.markdown import escaped, to_markdown


def tables_of(text: str) -> list[list[list[str]]]:
    """The cells of each table."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block] for block in blocks]


def test_verdicts_come_first_then_a_row_an_arm(make_report: Callable[..., Report]) -> None:
    report = make_report()
    text = to_markdown(Results(reports=(report,)))
    assert text.index("## Verdict") < text.index("## Accuracy") < text.index("## Cost") < text.index("## Provenance")
    assert all(sentence in text.replace("\\", "") for sentence in verdict_sentences(report))
    accuracies, costs, accounts = tables_of(text)
    assert len(accuracies) == len(costs) == 2 + len(report.arms)
    assert accuracies[2][0].strip() == "**ETT ← resnet20**"
    assert accuracies[4][3].strip() == "–"
    assert f"{100 * report.arm('snip').mean:.2f} ± {100 * (report.arm('snip').deviation or 0):.2f}" in text
    assert len(accounts) == 2 + 3
    assert "The elastic hypothesis held for" not in text
    assert report.ticket_id in text
    assert f"`{report.command}`" in text


def test_of_several_tickets_the_verdict_says_for_how_many_the_hypothesis_held(
    make_report: Callable[..., Report],
) -> None:
    reports = tuple(make_report(sparsity=s, arms=["ticket", "imp"]) for s in (0.8, 0.9, 0.95))
    states = [test.state for report in reports if (test := report.hypothesis()) is not None]
    assert (
        f"The elastic hypothesis held for {states.count('held')} of 3 tickets, did not hold for "
        f"{states.count('not held')}, and cannot be told with these seeds for {states.count('not enough seeds')}."
    ) in to_markdown(Results(reports=reports))


def test_every_row_has_as_many_cells_as_its_head(
    make_report: Callable[..., Report], make_connection: Callable[..., Connection]
) -> None:
    report = make_report(arms=["ticket", "dense"])
    hostile = dataclasses.replace(report.arms[1], name="a|b*`<script>")
    results = Results(
        reports=(dataclasses.replace(report, arms=(report.arms[0], hostile)),), connections=(make_connection("x|y"),)
    )
    text = to_markdown(results)
    assert all(len({len(row) for row in table}) == 1 for table in tables_of(text))
    assert "<script>" not in text.replace("\\<script\\>", "")


def test_a_label_is_text() -> None:
    assert escaped("a|b_c\n<d>&amp;") == r"a\|b\_c \<d\>\&amp;"


def test_pictures_stand_there_by_reference(make_report: Callable[..., Report]) -> None:
    results = Results(reports=(make_report(arms=["ticket"]),))
    assert "![One](<figures/one.png>)" in to_markdown(results, [("One", "figures/one.png")])
    assert "![" not in to_markdown(results)
