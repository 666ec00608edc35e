"""Keep late: drop units from behind the stage's first; for comparison, since it loses the early units."""

from __future__ import annotations

from ticketkit.stretch.policy import POLICIES, Policy, Units


def arrange(elastic: Units, _replicated: Units, count: int) -> Units:
    """Keep the last units."""
    return elastic[len(elastic) - count :]


POLICIES.register(
    "keep-late", Policy(direction="squeeze", summary="drop from the start: B0 B3 B4 of five", arrange=arrange)
)
