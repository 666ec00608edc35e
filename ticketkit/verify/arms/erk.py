"""A random mask whose layers' densities follow their shapes alone: Erdős–Rényi-kernel (Evci et al., 2020)."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.scoring import pruned_at_rewind


def start(context: Context) -> Start:
    """Draw a random mask; on the weights of the rewind step."""
    return pruned_at_rewind(context, "erk", passes=0)


ARMS.register("erk", Arm(summary="random, densities by Erdős–Rényi-kernel", start=start, depends_on="count"))
