"""How a comparison prints: within 80 columns, whatever the arms are called and do."""

from dataclasses import replace
from typing import Any

import pytest
from click import unstyle

from ticketkit.cli.comparison import account_table, accuracy_table, cost_table, duration, flops, verdict_lines
from ticketkit.report.comparison import ArmResult, Cost, Report, Run, verdict

NAMES = [
    "ticket",
    "dense",
    "imp",
    "lrr",
    "random",
    "reinit",
    "random-weights",
    "random-copies",
    "magnitude",
    "snip",
    "grasp",
    "synflow",
    "erk",
    "extra-snip",
    "rigl",
    "set",
    "small-dense",
    "ticket<-resnet20",
    "resnet20-to-resnet56-rescaled",
]
COST = Cost(
    flops=1.2e13,
    dense_flops=1.23e14,
    setup_flops=9.99e17,
    setup_dense_flops=1e18,
    images_per_second=123_456.0,
    peak_memory=1023 * 2**20,
)


def make_report(
    names: list[str] | None = None,
    *,
    seeds: int = 3,
    wide: bool = False,
    run: dict[str, Any] | None = None,
    **others: Any,
) -> Report:
    """A report; ``wide`` makes accuracies swing over the whole range, which gives the widest numbers."""

    def arm(number: int, name: str) -> ArmResult:
        runs = []
        for seed in range(seeds):
            accuracy = float((number + seed) % 2) if wide else 0.9 + 0.01 * ((number * 7 + seed * 3) % 5)
            values = {"accuracy": accuracy, "untrained": 1.0, "loss": 1.0, "seconds": 7190.0} | (run or {})
            runs.append(Run(seed=seed, **values))
        return ArmResult(name=name, summary="", kept=100, total=100, runs=tuple(runs))

    arms = tuple(arm(number, name) for number, name in enumerate(names or NAMES))
    fields = {"ticket_id": "", "architecture": "", "sparsity": 0.0, "start_step": 0, "setting": {}}
    return Report(**fields | {"arms": arms} | others)


def plain(lines: list[str]) -> list[str]:
    return [unstyle(line) for line in lines]


@pytest.mark.parametrize("reference", [None, "imp", "resnet20-to-resnet56-rescaled"])
@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("top5", [None, 1.0])
def test_every_table_fits(reference: str | None, seeds: int, wide: bool, top5: float | None) -> None:
    cost = replace(COST, dense_flops=1.23e13, setup_flops=9.99e16, peak_memory=99 * 10**9)
    run = {"top5": top5, "cost": cost, "seconds": 4000.0}
    report = make_report(seeds=seeds, wide=wide, run=run, reference=reference, find_flops=1e18)
    arms = [replace(arm, architecture="imagenet-resnet200-w1024" * 4) for arm in report.arms]
    arms[3] = replace(arms[3], runs=arms[3].runs[:1])
    report = replace(report, arms=tuple(arms))
    for lines in (accuracy_table(report), cost_table(report), account_table(report), verdict_lines(report)):
        assert lines
        assert max(map(len, plain(lines))) <= 80
    for table in (accuracy_table(report), cost_table(report)):
        assert len({line.split()[0] for line in plain(table)[1 : len(NAMES) + 1]}) == len(NAMES)


def test_a_long_name_keeps_its_end() -> None:
    lines = plain(accuracy_table(make_report(["ticket", NAMES[-1]])))
    assert lines[1].startswith("ticket  ")
    assert lines[2].startswith("resnet2…rescaled  100.00")


def test_each_seed_is_shown_while_there_are_few() -> None:
    two = ["ticket", "dense"]
    assert plain(accuracy_table(make_report(two)))[2].endswith("92.0 90.0 93.0")
    assert "each seed" not in accuracy_table(make_report(two, seeds=4))[0]
    assert "each seed" not in accuracy_table(make_report(two, seeds=1))[0]


def test_one_seed_has_no_spread_and_no_legend() -> None:
    lines = accuracy_table(make_report(seeds=1))
    assert not any("±" in line for line in lines)
    assert len(lines) == 1 + len(NAMES)


def test_differences_are_to_the_reference_or_the_tickets_lead() -> None:
    report = make_report(["ticket", "dense", "imp"], seeds=1)
    heads, ticket, dense, imp, *_ = plain(accuracy_table(report))
    assert "ticket's lead" in heads
    assert [line.split()[4:] for line in (ticket, dense, imp)] == [[], ["−2.00"], ["−4.00"]]
    heads, ticket, dense, imp, *_ = plain(accuracy_table(replace(report, reference="imp")))
    assert "above imp" in heads
    assert [line.split()[4:] for line in (ticket, dense, imp)] == [["−4.00"], ["−2.00"], []]


def test_arms_without_a_common_seed_have_no_difference() -> None:
    report = make_report(["ticket", "dense", "imp"], seeds=1)
    run = replace(report.arms[1].runs[0], seed=7)
    report = replace(report, arms=(report.arms[0], replace(report.arms[1], runs=(run,)), report.arms[2]))
    assert plain(accuracy_table(report))[2].endswith("–")


def test_the_number_of_seeds_is_shown_where_arms_differ_in_it() -> None:
    report = make_report(["ticket", "dense"])
    assert "seeds" not in accuracy_table(report)[0]
    partial = replace(report.arms[1], runs=report.arms[1].runs[:2])
    assert "seeds" in accuracy_table(replace(report, arms=(report.arms[0], partial)))[0]


def test_top5_is_shown_where_runs_have_it() -> None:
    names = ["ticket", "dense"]
    assert "top-5" not in accuracy_table(make_report(names))[0]
    lines = plain(accuracy_table(make_report(names, run={"top5": 0.875})))
    assert "top-5" in lines[0]
    assert "87.50 ± 0.00" in lines[1]


def test_another_network_is_named() -> None:
    report = make_report(["ticket", "small-dense"])
    small = replace(report.arms[1], architecture="cifar-resnet20-w4")
    assert accuracy_table(replace(report, arms=(report.arms[0], small)))[-1] == "small-dense is cifar-resnet20-w4"


def test_costs_are_shown_in_human_units() -> None:
    lines = plain(cost_table(make_report(["ticket"], run={"cost": COST})))
    assert lines[0].split() == ["arm", "sparse", "dense", "setup", "time", "images/s", "memory"]
    assert lines[1].split("  ")[0] == "ticket"
    for shown in ("12.0 TFLOP", "123 TFLOP", "999 PFLOP", "120 min", "123 k", "1.00 GiB"):
        assert f"  {shown}" in lines[1]


def test_a_cost_that_nobody_knows_has_no_column_and_one_that_some_know_a_dash() -> None:
    unknown = make_report(["ticket", "dense"])
    assert plain(cost_table(unknown)) == ["arm        time", "ticket  120 min", "dense   120 min"]
    known = make_report(["ticket", "dense"], run={"cost": replace(COST, peak_memory=None)})
    lines = plain(cost_table(replace(known, arms=(known.arms[0], unknown.arms[1]))))
    assert "memory" not in lines[0]
    assert lines[2].split() == ["dense", "–", "–", "–", "120", "min", "–"]


def test_the_account_shows_dense_trainings_and_who_wins_when() -> None:
    report = make_report(["ticket", "imp", "rigl"], run={"cost": COST}, find_flops=1.23e14)
    cheap = tuple(replace(run, cost=replace(COST, setup_flops=0.0)) for run in report.arms[0].runs)
    ticket, imp, rigl = (replace(arm, runs=cheap) for arm in report.arms)
    dear = tuple(replace(run, cost=replace(COST, setup_flops=1.11e14)) for run in cheap)
    lines = plain(account_table(replace(report, arms=(ticket, replace(imp, runs=dear), rigl))))
    assert lines[0].split() == ["targets", "find", "once,", "stretch", "imp", "rigl"]
    assert [line.split() for line in lines[1:6:4]] == [["1", "1.10", "1.00", "0.10"], ["5", "1.49", "5.00", "0.49"]]
    assert lines[6:] == [
        "in dense trainings of the target, 123 TFLOP each; pruned weights skipped",
        "Stretching is cheaper than imp from 2 targets on.",
        "Stretching is never cheaper than rigl.",
    ]
    assert account_table(make_report()) == []


def test_the_verdict_is_broken_between_words() -> None:
    report = make_report(reference="imp")
    lines = verdict_lines(report)
    assert lines[0].startswith("The ticket loses to lrr, magnitude, extra-snip")
    assert any(line.startswith("Elastic hypothesis against imp") for line in lines)
    assert " ".join(lines) == verdict(report)
    assert not any(line.startswith("%") for line in lines)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 FLOP"), (1, "1.00 FLOP"), (1.2e13, "12.0 TFLOP"), (9.996e14, "1.00 PFLOP"), (99.96e9, "100 GFLOP")],
)
def test_flops_have_three_digits(count: float, shown: str) -> None:
    assert flops(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.5, "0.50 s"), (83.24, "83.2 s"), (120, "2.00 min"), (7199, "120 min"), (7200, "2.00 h"), (5e6, "1,389 h")],
)
def test_times_have_the_unit_that_suits_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
