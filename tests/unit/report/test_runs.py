from dataclasses import replace

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.runs import ArmResult, Cost, Run

COST = Cost(
    flops=1e9, dense_flops=4e9, setup_flops=2e9, setup_dense_flops=8e9, images_per_second=100, peak_memory=1_000
)
RUN = Run(seed=0, accuracy=0.5, untrained=0.1, loss=1.0, seconds=10, top5=0.8, cost=COST)
OTHER = Run(
    seed=1,
    accuracy=0.7,
    untrained=0.3,
    loss=1.0,
    seconds=20,
    top5=0.9,
    cost=replace(COST, flops=3e9, images_per_second=300, peak_memory=500),
)


def arm(*runs: Run) -> ArmResult:
    return ArmResult(name="imp", summary="", kept=1, total=2, runs=runs)


def test_an_arm_has_the_means_of_its_runs():
    both = arm(RUN, OTHER)
    assert both.mean == pytest.approx(0.6)
    assert both.deviation == pytest.approx(0.2 / 2**0.5)
    assert both.untrained == pytest.approx(0.2)
    assert both.top5 == pytest.approx(0.85)
    assert both.seconds == 15
    assert both.by_seed == {0: 0.5, 1: 0.7}


def test_an_arms_cost_is_the_mean_and_the_most_memory():
    cost = arm(RUN, OTHER).cost
    assert cost == replace(COST, flops=2e9, images_per_second=200, peak_memory=1_000)


def test_what_one_run_does_not_tell_the_arm_does_not():
    assert arm(RUN, replace(OTHER, cost=None)).cost is None
    assert arm(RUN, replace(OTHER, top5=None)).top5 is None
    assert arm(RUN, replace(OTHER, top5=None)).top5_deviation is None
    cost = arm(RUN, replace(OTHER, cost=replace(COST, peak_memory=None))).cost
    assert cost is not None
    assert cost.peak_memory is None


def test_one_run_has_no_spread():
    assert arm(RUN).deviation is arm(RUN).top5_deviation is None


@pytest.mark.parametrize("runs", [(), (RUN, RUN)])
def test_an_arm_needs_runs_of_different_seeds(runs: tuple[Run, ...]):
    with pytest.raises(TicketkitError, match="the runs of arm 'imp' must be one or more, of different seeds"):
        arm(*runs)
