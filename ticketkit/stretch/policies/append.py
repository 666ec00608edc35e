"""Append: the whole sequence again behind the last unit (the paper's section 3.2, "appending")."""

from __future__ import annotations

from itertools import cycle, islice

from ticketkit.stretch.policy import POLICIES, Policy, Units


def arrange(elastic: Units, replicated: Units, count: int) -> Units:
    """Add copies at the end, from the first unit on and round again: earlier units get the extra copy."""
    return elastic + tuple(islice(cycle(replicated), count - len(elastic)))


POLICIES.register("append", Policy(direction="stretch", summary="copies at the end: B0 B1 B2 B1 B2", arrange=arrange))
