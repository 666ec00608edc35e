"""GraSP: gradient flow (Wang et al., 2020)."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.scoring import pruned_at_rewind


def start(context: Context) -> Start:
    """Keep the weights that carry gradient flow; a gradient, and another one through it."""
    return pruned_at_rewind(context, "grasp", passes=9)


ARMS.register("grasp", Arm(summary="GraSP at the rewind step", start=start, depends_on="count"))
