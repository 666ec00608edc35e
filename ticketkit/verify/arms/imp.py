"""IMP on the target itself: what the elastic hypothesis compares a ticket with."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """The target's own ticket, pruned level by level to exactly as many weights (Frankle et al., 2020)."""
    pruned = context.bench.pruned_to(context.target.kept)
    return Start(tensors=pruned.tensors, mask=pruned.mask, setup=pruned.flops)


ARMS.register("imp", Arm(summary="IMP on the network itself", start=start, depends_on="count", finds="weights"))
