"""Results as a tidy table: one row a training, to be read by whatever draws or computes further."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from ticketkit.report.comparison import Report

COLUMNS = (
    "target",
    "sparsity",
    "source",
    "order",
    "arm",
    "seed",
    "accuracy",
    "top5",
    "untrained",
    "loss",
    "seconds",
    "flops",
    "dense_flops",
    "setup_flops",
    "kept",
    "total",
    "ticket_id",
)
"""Names of the columns. Accuracies and sparsity are in [0, 1]; what is not known is an empty field."""


def to_csv(reports: Iterable[Report]) -> str:
    """Every training of every report as CSV (RFC 4180), with a head line.

    Trainings that several reports share, such as a sweep's baselines, stand there for each of them: ``ticket_id`` tells
    the reports apart.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for report in reports:
        writer.writerows(_rows(report))
    return buffer.getvalue()


def _rows(report: Report) -> Iterator[tuple[object, ...]]:
    origin = report.origin
    for arm in report.arms:
        for run in arm.runs:
            cost = run.cost
            yield (
                report.architecture,
                report.sparsity,
                origin.architecture if origin else None,
                origin.order if origin else None,
                arm.name,
                run.seed,
                run.accuracy,
                run.top5,
                run.untrained,
                run.loss,
                run.seconds,
                cost.flops if cost else None,
                cost.dense_flops if cost else None,
                cost.setup_flops if cost else None,
                arm.kept,
                arm.total,
                report.ticket_id,
            )
