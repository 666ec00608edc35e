"""One-shot magnitude pruning: the strong and simple baseline of Frankle et al., 2021."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.scoring import pruned_at_rewind


def start(context: Context) -> Start:
    """Keep the largest weights at the rewind step."""
    return pruned_at_rewind(context, "magnitude", passes=0)


ARMS.register("magnitude", Arm(summary="one-shot magnitude at the rewind step", start=start, depends_on="count"))
