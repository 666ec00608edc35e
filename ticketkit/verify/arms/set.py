"""SET: dynamic sparse training that grows at random (Mocanu et al., 2018)."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.dynamic import dynamic_start


def start(context: Context) -> Start:
    """Fresh weights under a random mask with Erdős–Rényi-kernel densities; the smallest go, random ones come."""
    return dynamic_start(context, grow="random")


ARMS.register("set", Arm(summary="SET, for several times as long", start=start, depends_on="count", lengthened=True))
