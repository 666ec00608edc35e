"""Keep early: drop units from the end of the stage; dropping many early ones hurts (the paper's section 4.2)."""

from __future__ import annotations

from ticketkit.stretch.policy import POLICIES, Policy, Units


def arrange(elastic: Units, _replicated: Units, count: int) -> Units:
    """Keep the first units."""
    return elastic[:count]


POLICIES.register(
    "keep-early", Policy(direction="squeeze", summary="drop from the end: B0 B1 B2 of five", arrange=arrange)
)
