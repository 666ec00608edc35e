"""CSV: one row a training."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable

import pytest

from ticketkit.report.comparison import Report
from ticketkit.report.csv import COLUMNS, to_csv


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_training_is_a_row(make_report: Callable[..., Report]) -> None:
    reports = [make_report(sparsity=s, arms=["ticket", "dense", "imp"]) for s in (0.8, 0.9)]
    rows = rows_of(to_csv(reports))
    assert len(rows) == 2 * 3 * 3
    assert tuple(rows[0]) == COLUMNS
    last, run = rows[-1], reports[1].arms[2].runs[2]
    assert (last["target"], last["source"], last["order"]) == ("cifar-resnet32", "cifar-resnet20", "append")
    assert (last["arm"], last["seed"], float(last["accuracy"])) == ("imp", "2", run.accuracy)
    assert run.cost is not None
    assert float(last["setup_flops"]) == run.cost.setup_flops
    assert float(last["sparsity"]) == pytest.approx(0.9, abs=1e-4)


def test_what_is_not_known_is_empty_and_names_are_quoted(make_report: Callable[..., Report]) -> None:
    report = make_report(source=None, arms=["ticket", "dense"], seeds=1)
    run = dataclasses.replace(report.arms[1].runs[0], cost=None)
    arm = dataclasses.replace(report.arms[1], name='a,"b"\n', runs=(run,))
    text = to_csv([dataclasses.replace(report, arms=(report.ticket, arm))])
    assert text.count("\r\n") == 3
    _, row = rows_of(text)
    assert row["arm"] == 'a,"b"\n'
    assert row["source"] == row["top5"] == row["flops"] == ""
