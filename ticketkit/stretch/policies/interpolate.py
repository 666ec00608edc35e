"""Interpolate: each copy right behind its original (the paper's section 3.2, "interpolation")."""

from __future__ import annotations

from ticketkit.stretch.policy import POLICIES, Policy, Units


def arrange(elastic: Units, replicated: Units, count: int) -> Units:
    """Repeat each unit in place, earlier units once more where the copies do not divide."""
    each, rest = divmod(count - len(elastic), len(replicated))
    copies = {unit: each + (position < rest) for position, unit in enumerate(replicated)}
    return tuple(unit for unit in elastic for _ in range(1 + copies.get(unit, 0)))


POLICIES.register(
    "interpolate", Policy(direction="stretch", summary="copies in place: B0 B1 B1 B2 B2", arrange=arrange)
)
