"""SNIP: connection sensitivity (Lee et al., 2019)."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.scoring import pruned_at_rewind


def start(context: Context) -> Start:
    """Keep the weights that the loss is most sensitive to; a forward and a backward pass."""
    return pruned_at_rewind(context, "snip", passes=3)


ARMS.register("snip", Arm(summary="SNIP at the rewind step", start=start, depends_on="count"))
