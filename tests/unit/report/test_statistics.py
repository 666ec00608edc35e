import math

import pytest

from ticketkit.report.statistics import deviation, non_inferiority, paired_difference, t_quantile

ONES = [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("confidence", "degrees", "expected"),
    # Two-sided critical values of Student's t, NIST/SEMATECH e-Handbook, table 1.3.6.7.2.
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 9, 2.262),
        (0.95, 30, 2.042),
        (0.95, 100, 1.984),
        (0.90, 5, 2.015),
        (0.99, 2, 9.925),
        (0.99, 7, 3.499),
    ],
)
def test_t_quantiles_are_those_of_the_tables(confidence: float, degrees: int, expected: float):
    assert t_quantile(confidence, degrees) == pytest.approx(expected, abs=5.1e-4)


def test_t_quantile_of_one_degree_is_the_tangent():
    assert t_quantile(0.8, 1) == pytest.approx(math.tan(math.pi * 0.4), rel=1e-9)


def test_a_paired_difference_uses_the_pairs():
    found = paired_difference([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert found.mean == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert found.is_above_zero
    worked = paired_difference([3.0, 5.0, 4.0], [1.0, 1.0, 1.0])  # mean 3, sd 1
    assert worked.mean == pytest.approx(3)
    assert worked.high == pytest.approx(3 + 4.30265 / math.sqrt(3), abs=1e-4)
    assert worked.low == pytest.approx(3 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert worked.is_above_zero
    assert not paired_difference([3.0, 5.0, 4.0], [3.0, 1.0, 4.0]).is_above_zero


def test_one_seed_has_no_interval():
    found = paired_difference([0.9], [0.1])
    assert (found.low, found.high, found.is_above_zero) == (None, None, False)
    assert deviation([0.9]) is None
    assert deviation([1.0, 3.0]) == pytest.approx(math.sqrt(2))


def test_pairs_must_pair():
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("left", "state"),
    # All have standard deviation 0.1, so the half width is 4.303 · 0.1 / √3 = 0.248.
    [
        ([0.8, 0.9, 1.0], "held"),
        ([1.8, 1.9, 2.0], "held"),
        ([-1.2, -1.1, -1.0], "not held"),
        ([0.4, 0.5, 0.6], "not enough seeds"),
        ([0.2, 0.3, 0.4], "not enough seeds"),
    ],
)
def test_non_inferiority_is_told_by_the_whole_interval(left: list[float], state: str):
    found = non_inferiority(left, ONES, margin=0.6)
    assert found.state == state
    assert found.margin == 0.6
    assert found.interval == paired_difference(left, ONES)


@pytest.mark.parametrize("mean", [0.93, 0.45])
def test_as_many_seeds_as_are_needed_would_tell_and_one_less_would_not(mean: float):
    margin, spread = 0.2, 0.3
    found = non_inferiority([mean - spread, mean, mean + spread], ONES, margin)
    assert found.state == "not enough seeds"
    assert found.seeds_needed is not None
    distance = abs(mean - 1 + margin)

    def half_width(seeds: int) -> float:
        return t_quantile(0.95, seeds - 1) * spread / math.sqrt(seeds)

    assert half_width(found.seeds_needed) < distance <= half_width(found.seeds_needed - 1)


def test_a_wider_interval_needs_more_seeds():
    left = [0.9, 1.0, 1.1]
    needed = [non_inferiority(left, ONES, 0.1, confidence).seeds_needed for confidence in (0.9, 0.95, 0.99)]
    assert all(needed)
    assert needed == sorted(set(needed))


def test_what_is_told_needs_no_more_seeds():
    assert non_inferiority([2.0, 2.1, 2.2], ONES, 0.1).seeds_needed is None
    assert non_inferiority([0.0, 0.1, 0.2], ONES, 0.1).seeds_needed is None


def test_no_number_is_given_beyond_a_thousand_seeds_or_from_one():
    near = non_inferiority([0.899, 0.999, 1.099], ONES, 0.0)
    assert (near.state, near.seeds_needed) == ("not enough seeds", None)
    on_the_margin = non_inferiority([0.5, 1.0, 0.75], [1.0, 1.0, 1.0], 0.25)
    assert on_the_margin.interval.mean == -0.25
    assert (on_the_margin.state, on_the_margin.seeds_needed) == ("not enough seeds", None)
    one = non_inferiority([2.0], [1.0], 0.1)
    assert (one.state, one.seeds_needed, one.interval.mean) == ("not enough seeds", None, 1.0)


@pytest.mark.parametrize(
    ("left", "state"), [(1.0, "held"), (0.996, "held"), (0.995, "not enough seeds"), (0.99, "not held")]
)
def test_equal_differences_are_told_unless_they_are_the_margin_itself(left: float, state: str):
    found = non_inferiority([left, left - 0.1, left - 0.2], [1.0, 0.9, 0.8], 0.005)
    assert (found.state, found.seeds_needed) == (state, None)
