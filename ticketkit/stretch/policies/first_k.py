"""First k: append copies of a stage's first elastic units alone, again and again.

The paper's comparison of few units many times with many units few times (section 3.2, "which layers to replicate"). Any
other choice of units is made with ``units``.
"""

from __future__ import annotations

from functools import partial
from itertools import cycle, islice

from ticketkit.stretch.policy import POLICIES, Policy, Units


def arrange(first: int, elastic: Units, replicated: Units, count: int) -> Units:
    """Add copies of the first so many of the units that may be replicated, at the end."""
    return elastic + tuple(islice(cycle(replicated[:first]), count - len(elastic)))


for _first, _example in ((1, "B0 B1 B2 B1 B1"), (2, "B0 B1 B2 B3 B1 B2"), (3, "B0 B1 B2 B3 B4 B1 B2 B3")):
    POLICIES.register(
        f"first-{_first}",
        Policy(
            direction="stretch",
            summary=f"copies of the first {_first} alone: {_example}",
            arrange=partial(arrange, _first),
        ),
    )
