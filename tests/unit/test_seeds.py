"""Seeds depend on their arguments alone, and for ever: stored runs name them."""

from __future__ import annotations

import pytest

from ticketkit.seeds import derive_seed


def test_the_derivation_never_changes() -> None:
    assert derive_seed(0, "data order", 3) == 7_601_593_957_610_589_373
    assert derive_seed(7) == 4_359_823_973_405_836_615


def test_every_argument_counts() -> None:
    seeds = [derive_seed(0), derive_seed(1), derive_seed(0, "a"), derive_seed(0, "b"), derive_seed(0, "a", 1)]
    seeds += [derive_seed(0, "a", 2), derive_seed(0, 1, "a"), derive_seed(0, "a1")]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("seed", range(50))
def test_seeds_fit_a_signed_64_bit_integer(seed: int) -> None:
    assert 0 <= derive_seed(seed, "x") < 2**63
