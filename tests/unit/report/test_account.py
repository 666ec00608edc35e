from dataclasses import replace

import pytest

from ticketkit.report.account import Account, account
from ticketkit.report.comparison import ArmResult, Cost, Report, Run


def make_arm(name: str, *, flops: float, setup: float = 0.0, dense: float = 1000.0) -> ArmResult:
    """An arm of two runs that cost half as much and one and a half times as much."""
    runs = []
    for seed, share in enumerate((0.5, 1.5)):
        cost = Cost(
            flops=share * flops,
            dense_flops=share * dense,
            setup_flops=share * setup,
            setup_dense_flops=1e9,
            images_per_second=1.0,
        )
        runs.append(Run(seed=seed, accuracy=0.9, untrained=0.1, loss=0.5, seconds=1.0, cost=cost))
    return ArmResult(name=name, summary="", kept=10, total=100, runs=tuple(runs))


def make_report(*arms: ArmResult, find_flops: float | None = 3000.0) -> Report:
    return Report(
        ticket_id="",
        architecture="",
        sparsity=0.9,
        start_step=0,
        setting={},
        arms=(make_arm("ticket", flops=100, dense=900), *arms),
        find_flops=find_flops,
    )


IMP = make_arm("imp", flops=100, setup=2900)
RIGL = make_arm("rigl", flops=500, setup=0, dense=5000)
DENSE = make_arm("dense", flops=1000)


def test_the_account_takes_what_precedes_a_training_too():
    found = account(make_report(IMP, RIGL, DENSE))
    assert found == Account(find=3000, stretched=100, rivals={"imp": 3000, "rigl": 500}, unit=1000)


def test_without_a_dense_arm_the_unit_is_the_ticket_counted_dense():
    found = account(make_report(RIGL))
    assert found is not None
    assert found.unit == 900


def test_there_is_no_account_where_a_side_of_it_is_not_known():
    assert account(make_report(IMP, find_flops=None)) is None
    assert account(make_report(DENSE)) is None
    report = make_report(IMP)
    untold = tuple(replace(run, cost=None) for run in report.ticket.runs)
    assert account(replace(report, arms=(replace(report.ticket, runs=untold), IMP))) is None
    assert account(replace(report, arms=(report.ticket, replace(IMP, runs=untold)))) is None


@pytest.mark.parametrize("find", [0.0, 1.0, 399.0, 400.0, 401.0, 3000.0])
def test_stretching_is_cheaper_from_the_break_even_on_and_not_before(find: float):
    found = Account(find=find, stretched=100, rivals={"rigl": 500}, unit=1000)
    number = found.break_even("rigl")
    assert number is not None
    assert found.by_stretching(number) < found.by_rival("rigl", number)
    assert number == 1 or found.by_stretching(number - 1) >= found.by_rival("rigl", number - 1)


@pytest.mark.parametrize("rigl", [50.0, 100.0, 100.0001])
def test_a_cheaper_method_stays_cheaper(rigl: float):
    assert Account(find=3000, stretched=100, rivals={"rigl": rigl}, unit=1000).break_even("rigl") is None


def test_the_json_holds_the_break_even_numbers():
    found = account(make_report(IMP, RIGL))
    assert found is not None
    assert found.to_json() == {
        "find": 3000,
        "stretched": 100,
        "rivals": {"imp": 3000, "rigl": 500},
        "unit": 900,
        "break_even": {"imp": 2, "rigl": 8},
    }
