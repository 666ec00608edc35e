"""The dense network, from its weights at the rewind step."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """Every weight, as the other arms' network has them at the rewind step: a whole training, with theirs in common."""
    return Start(tensors=context.bench.rewound, mask=None, setup=context.bench.rewound_flops)


ARMS.register("dense", Arm(summary="the whole network", start=start, depends_on="network"))
