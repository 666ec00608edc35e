"""Alternate: drop units evenly spread over the stage (the paper's section 4.2, "alternating")."""

from __future__ import annotations

from ticketkit.stretch.policy import POLICIES, Policy, Units


def arrange(elastic: Units, _replicated: Units, count: int) -> Units:
    """Keep every so many-th unit, beginning with the first."""
    return tuple(elastic[position * len(elastic) // count] for position in range(count))


POLICIES.register(
    "alternate", Policy(direction="squeeze", summary="drop every other: B0 B1 B3 of five", arrange=arrange)
)
