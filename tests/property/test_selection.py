import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketkit.mask import Mask
from ticketkit.selection import drop_lowest

# Few distinct scores, so that ties are the rule.
arrays = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=20), min_size=1, max_size=4)


@settings(derandomize=True, deadline=None)
@given(arrays, st.floats(0, 1), st.integers(1, 4))
def test_masks_nest_and_drop_exactly_the_rounded_number(values: list[list[int]], fraction: float, rounds: int):
    scores = {f"t{i}": np.array(row, dtype=np.float64) for i, row in enumerate(values)}
    mask = Mask({name: np.ones(array.shape, dtype=bool) for name, array in scores.items()})
    for _ in range(rounds):
        smaller = drop_lowest(scores, mask, fraction)
        assert smaller.kept == mask.kept - round(fraction * mask.kept)
        assert smaller.within(mask)
        dropped = [scores[n][mask[n] & ~smaller[n]] for n in mask]
        kept = [scores[n][smaller[n]] for n in mask]
        if np.concatenate(dropped).size and np.concatenate(kept).size:
            assert np.concatenate(dropped).max() <= np.concatenate(kept).min()
        mask = smaller
