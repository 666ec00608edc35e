"""Many reports in order: one target, one curve an arm, each training once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from ticketkit.report.comparison import Report
from ticketkit.report.grouping import compared_with, group_reports, shown_percent, slug

Make = Callable[..., Report]


def test_sources_and_sparsities_of_one_target_stand_together(make_report: Make) -> None:
    reports = [make_report(sparsity=s, source=f"cifar-resnet{d}") for s in (0.95, 0.8) for d in (20, 14)]
    (target,) = group_reports(reports)
    assert target.title == "resnet32"
    assert [level.title for level in target.levels] == ["80 %", "95 %"]
    assert [len(level.reports) for level in target.levels] == [2, 2]
    assert [curve.label for curve in target.curves][:3] == ["ETT ← resnet14", "ETT ← resnet20", "dense"]


def test_shared_baselines_are_one_curve_and_own_ones_are_a_curve_a_source(make_report: Make) -> None:
    reports = [make_report(sparsity=s, source=f"cifar-resnet{d}") for s in (0.8, 0.9) for d in (14, 20)]
    (target,) = group_reports(reports)
    labels = [curve.label for curve in target.curves]
    assert labels.count("imp") == 1
    assert "random" not in labels
    assert {"random ← resnet14", "random ← resnet20"} <= set(labels)
    assert len(labels) == len(set(labels)) == 11 + 2 * 6
    assert all(len(curve.rows) == (1 if curve.label == "dense" else 2) for curve in target.curves)


def test_a_dense_network_holds_at_every_sparsity_and_stands_in_every_level(make_report: Make) -> None:
    (target,) = group_reports([make_report(sparsity=0.8), make_report(sparsity=0.9)])
    assert [curve.label for curve in target.curves if curve.is_flat] == ["dense"]
    assert all([row.label for row in level.rows].count("dense") == 1 for level in target.levels)


def test_dense_networks_that_were_trained_anew_are_a_curve_over_the_sparsities(make_report: Make) -> None:
    first, second = make_report(sparsity=0.8), make_report(sparsity=0.9)
    other = tuple(
        dataclasses.replace(arm, runs=tuple(dataclasses.replace(run, accuracy=0.5) for run in arm.runs))
        if arm.name == "dense"
        else arm
        for arm in second.arms
    )
    (target,) = group_reports([first, dataclasses.replace(second, arms=other)])
    dense = next(curve for curve in target.curves if curve.arm == "dense")
    assert not dense.is_flat
    assert [row.sparsity for row in dense.rows] == pytest.approx([0.8, 0.9], abs=1e-4)


def test_the_order_is_named_only_where_there_are_several(make_report: Make) -> None:
    appended, interpolated = make_report(order="append"), make_report(order="interpolate")
    assert group_reports([appended])[0].curves[0].label == "ETT ← resnet20"
    labels = [curve.label for curve in group_reports([appended, interpolated])[0].curves[:2]]
    assert labels == ["ETT ← resnet20, append", "ETT ← resnet20, interpolate"]


def test_a_ticket_that_was_not_stretched_is_the_ticket(make_report: Make) -> None:
    assert group_reports([make_report(source=None)])[0].curves[0].label == "ticket"


def test_trainings_that_disagree_are_told_apart_by_a_number(make_report: Make) -> None:
    report = make_report(source=None, arms=["ticket", "dense"])
    runs = tuple(dataclasses.replace(run, accuracy=0.5) for run in report.arms[0].runs)
    again = dataclasses.replace(report, arms=(dataclasses.replace(report.arms[0], runs=runs),))
    labels = [row.label for row in group_reports([report, again])[0].levels[0].rows]
    assert labels == ["ticket", "ticket (2)", "dense"]


@pytest.mark.parametrize(
    ("section", "values", "titles"),
    [
        ("dataset", {"name": "cifar10", "fingerprint": "sha256:1"}, ["resnet32 on digits", "resnet32 on cifar10"]),
        ("recipe", {"name": "paper-cifar"}, ["resnet32, recipe quick", "resnet32, recipe paper-cifar"]),
        (
            "recipe",
            {"name": "quick", "epochs": 16, "batch": 64, "lr": 0.2, "milestones": []},
            ["resnet32, lr 0.1", "resnet32, lr 0.2"],
        ),
        ("recipe", {"name": "quick"}, ["resnet32, setting 1", "resnet32, setting 2"]),
    ],
)
def test_what_was_not_trained_alike_is_another_target(
    make_report: Make, section: str, values: dict[str, object], titles: list[str]
) -> None:
    report = make_report()
    other = dataclasses.replace(report, setting={**report.setting, section: values})
    assert [target.title for target in group_reports([report, other])] == titles


def test_another_start_is_another_target(make_report: Make) -> None:
    report = make_report()
    targets = group_reports([report, dataclasses.replace(report, start_step=0)])
    assert [target.title for target in targets] == ["resnet32, from step 14", "resnet32, from step 0"]


def test_sparsities_that_stretching_shifted_are_one_level(make_report: Make) -> None:
    reports = [make_report(sparsity=0.8926), make_report(sparsity=0.8960, source="cifar-resnet14")]
    (level,) = group_reports(reports)[0].levels
    assert level.title == "~89.4 %"


def test_without_its_reference_a_report_compares_with_the_ticket(make_report: Make) -> None:
    report = make_report(arms=["ticket", "dense"])
    assert compared_with(report) == "ticket"
    ticket, dense = group_reports([report])[0].levels[0].rows
    assert ticket.difference is None
    assert dense.difference is not None
    assert dense.difference.mean == pytest.approx(report.arm("dense").mean - report.ticket.mean)


def test_work_is_in_dense_trainings(make_report: Make) -> None:
    rows = {row.label: row for row in group_reports([make_report(sparsity=0.9)])[0].levels[0].rows}
    assert rows["dense"].work == pytest.approx((0.0, 1.0))
    assert rows["imp"].work == pytest.approx((3.1, 0.118), abs=1e-3)


def test_texts_for_people_and_for_files() -> None:
    assert [shown_percent(value) for value in (0.8, 0.8926, 0.95604, 1.0)] == ["80", "89.26", "95.6", "100"]
    assert slug("resnet32 ← resnet20, append") == "resnet32-from-resnet20-append"
