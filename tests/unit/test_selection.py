import numpy as np
import pytest

from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.prune import magnitudes
from ticketkit.selection import drop_lowest


def full(*sizes: int) -> Mask:
    return Mask({f"t{i}": np.ones(size, dtype=bool) for i, size in enumerate(sizes)})


def test_the_smallest_scores_go_over_all_tensors_together():
    mask = drop_lowest({"t0": np.array([5.0, 1.0]), "t1": np.array([2.0, 9.0, 8.0])}, full(2, 3), 0.4)
    assert mask["t0"].tolist() == [True, False]
    assert mask["t1"].tolist() == [False, True, True]


def test_ties_are_broken_by_position():
    mask = drop_lowest({"t0": np.zeros(3), "t1": np.zeros(3)}, full(3, 3), 0.5)
    assert mask["t0"].tolist() == [False] * 3
    assert mask["t1"].tolist() == [True] * 3


@pytest.mark.parametrize(
    ("kept", "fraction", "dropped"), [(10, 0.2, 2), (9, 0.2, 2), (7, 0.2, 1), (5, 0.5, 2), (3, 1.0, 3)]
)
def test_exactly_the_rounded_number_goes(kept: int, fraction: float, dropped: int):
    mask = drop_lowest({"t0": np.arange(kept, dtype=float)}, full(kept), fraction)
    assert mask.kept == kept - dropped == kept - round(fraction * kept)


def test_pruned_weights_are_not_looked_at():
    before = Mask({"t0": np.array([True, False, True, True])})
    mask = drop_lowest({"t0": np.array([3.0, np.nan, 1.0, 2.0])}, before, 1 / 3)
    assert mask["t0"].tolist() == [True, False, False, True]


def test_a_score_must_be_a_number():
    with pytest.raises(MaskError, match=r"scores must be numbers \(got 1 NaN\)"):
        drop_lowest({"t0": np.array([3.0, np.nan])}, full(2), 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_a_fraction_out_of_range_is_refused(fraction: float):
    with pytest.raises(MaskError, match=r"must be in \[0, 1\]"):
        drop_lowest({"t0": np.zeros(2)}, full(2), fraction)


def test_magnitude_scores_by_absolute_value():
    scores = magnitudes({"t0": np.array([-3.0, 2.0]), "bn": np.array([0.0])}, full(2))
    assert scores.keys() == {"t0"}
    assert scores["t0"].tolist() == [3.0, 2.0]
