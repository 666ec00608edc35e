"""GraSP: gradient flow (Wang et al., 2020)."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.scoring import pruned_at_rewind


def start(context: Context) -> Start:
    """Keep the weights that carry gradient flow: a gradient (3 passes), another one (3), and one through that (6)."""
    return pruned_at_rewind(context, "grasp", passes=12)


ARMS.register("grasp", Arm(summary="GraSP at the rewind step", start=start, depends_on="count"))
