"""The dense network, from fresh weights."""

from __future__ import annotations

from ticketkit.models import initialise
from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """Fresh weights, and no mask."""
    return Start(tensors=initialise(context.ticket.arch, context.seed), mask=None)


ARMS.register("dense", Arm(summary="the whole network, fresh weights", start=start))
