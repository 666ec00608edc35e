"""IMP with learning-rate rewinding: weights go on from where they are, only the schedule starts again.

Renda et al., "Comparing Rewinding and Fine-tuning in Neural Network Pruning", ICLR 2020. Not a ticket, since it never
goes back to early weights, but the strongest known way to prune level by level, at the same cost.
"""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """The weights at the end of the last level, pruned to exactly as many."""
    pruned = context.bench.pruned_to(context.target.kept, rewinding="rate")
    return Start(tensors=pruned.tensors, mask=pruned.mask, setup=pruned.flops)


ARMS.register(
    "lrr", Arm(summary="IMP, rewinding the learning rate alone", start=start, depends_on="count", finds="rate")
)
