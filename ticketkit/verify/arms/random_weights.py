"""A random mask of the same density in every layer, on fresh weights: nothing of the ticket but its densities."""

from __future__ import annotations

from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.verify.arm import ARMS, Arm, Context, Start, permuted


def start(context: Context) -> Start:
    """Permute each layer's mask and draw every weight and every normalisation anew."""
    ticket = context.given
    masks = {name: permuted(mask, context.seed, name) for name, mask in ticket.mask.items()}
    return Start(tensors=initialise(ticket.arch, context.seed), mask=Mask(masks))


ARMS.register("random-weights", Arm(summary="each layer's mask permuted, fresh weights", start=start))
