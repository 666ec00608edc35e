"""The ticket as it is given."""

from __future__ import annotations

from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """The ticket's mask and weights."""
    return Start(tensors=context.given.tensors, mask=context.given.mask)


ARMS.register("ticket", Arm(summary="mask and weights of the ticket", start=start))
