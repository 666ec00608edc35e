"""The ticket's mask on fresh weights: is it the structure alone? Frankle and Carbin, 2019, call it random reinit."""

from __future__ import annotations

from ticketkit.models import initialise
from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """Every weight and every normalisation is drawn anew; the mask stays."""
    return Start(tensors=initialise(context.given.arch, context.seed), mask=context.given.mask)


ARMS.register("reinit", Arm(summary="the ticket's mask, fresh weights", start=start))
