"""RigL: dynamic sparse training that grows by gradient (Evci et al., 2020)."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.dynamic import dynamic_start


def start(context: Context) -> Start:
    """Fresh weights under a random mask with Erdős–Rényi-kernel densities; the smallest go, large gradients come."""
    return dynamic_start(context, grow="gradient")


ARMS.register("rigl", Arm(summary="RigL, for several times as long", start=start, depends_on="count", lengthened=True))
