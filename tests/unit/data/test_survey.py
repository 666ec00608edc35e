import numpy as np
import pytest

from ticketkit.data.survey import Fingerprint, moments


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_fingerprint_does_not_depend_on_how_an_array_is_cut(cut):
    array = np.arange(12, dtype=np.uint8)
    labels = np.arange(3, dtype=np.int64)
    whole, parts = (Fingerprint([(12,), (3,)], ("a", "b")) for _ in range(2))
    for piece in (array, labels):
        whole.update(piece)
    for piece in (array[:cut], array[cut:], labels):
        parts.update(piece)
    assert parts.value == whole.value


@pytest.mark.parametrize("order", [">i8", "<i8"])
def test_a_fingerprint_does_not_depend_on_the_order_of_bytes(order):
    native, other = (Fingerprint([(3,)], ("a",)) for _ in range(2))
    native.update(np.arange(3, dtype=np.int64))
    other.update(np.arange(3).astype(order))
    assert native.value == other.value


def test_moments_are_exact():
    pixels = np.array([[1, 2, 4], [7, 7, 7]], dtype=np.int64)
    mean, std = moments(np.stack([pixels.sum(axis=1), (pixels**2).sum(axis=1)]), 3)
    assert mean == (7 / 3, 7.0)
    assert std == (pytest.approx(pixels[0].std(), rel=1e-15), 1.0)
