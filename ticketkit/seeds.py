"""Seeds derived by name, so that adding one use of randomness changes no other."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive an independent seed for one named use of randomness.

    ``derive_seed(0, "data order", 3)`` depends on its arguments alone: not on how much randomness anything else
    drew before, which is what lets a run resume anywhere and an arm be added without moving the others.

    Args:
        seed: The user's seed.
        *names: What the randomness is for, from the general to the particular.

    Returns:
        An integer in [0, 2**63).
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
