import math

import pytest

from ticketkit.report.statistics import deviation, paired_difference, t_quantile


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
