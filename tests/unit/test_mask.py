from __future__ import annotations

import numpy as np
import pytest

from ticketkit.errors import MaskError
from ticketkit.mask import Mask


def mask(**arrays: list[int]) -> Mask:
    return Mask({name: np.array(array, dtype=np.bool_) for name, array in arrays.items()})


def test_counts_and_fractions() -> None:
    found = mask(a=[1, 0, 0], b=[1])
    assert (found.kept, found.total) == (2, 4)
    assert (found.density, found.sparsity) == (0.5, 0.5)
    assert repr(found) == "Mask(2 tensors, 2 of 4 kept, sparsity 50.00%)"


def test_is_a_mapping_in_the_order_given() -> None:
    found = mask(b=[1], a=[0])
    assert list(found) == ["b", "a"]
    assert len(found) == 2
    assert found["b"].tolist() == [True]
    assert "c" not in found


def test_equality_is_by_content_and_not_by_order() -> None:
    assert mask(a=[1], b=[0]) == mask(b=[0], a=[1])
    assert mask(a=[1]) != mask(a=[0])
    assert mask(a=[1]) != mask(b=[1])
    assert mask(a=[1]) != mask(a=[1], b=[1])
    assert mask(a=[1]) != {"a": np.array([True])}
    with pytest.raises(TypeError, match="unhashable"):
        hash(mask(a=[1]))


def test_arrays_are_frozen_and_apart_from_their_source() -> None:
    source = np.array([True, False])
    found = Mask({"a": source})
    source[0] = False
    assert found["a"].tolist() == [True, False]
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0] = False


def test_a_read_only_array_is_not_copied() -> None:
    source = np.array([True])
    source.flags.writeable = False
    assert Mask({"a": source})["a"] is source


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_only_booleans_are_masks(dtype: str) -> None:
    with pytest.raises(MaskError, match=rf"the mask of a must be a boolean array \(got {dtype}\)"):
        Mask({"a": np.ones(2, dtype=dtype)})


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(MaskError, match="at least one tensor"):
        Mask({})


def test_within_means_that_no_pruned_weight_came_back() -> None:
    assert mask(a=[1, 0]).within(mask(a=[1, 1]))
    assert mask(a=[1, 0]).within(mask(a=[1, 0]))
    assert not mask(a=[1, 1]).within(mask(a=[1, 0]))
    assert not mask(a=[1]).within(mask(b=[1]))
