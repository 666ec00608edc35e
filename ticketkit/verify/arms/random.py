"""A random mask of the same density in every layer, on the ticket's weights: is it the layers' densities alone?"""

from __future__ import annotations

from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.seeds import derive_seed
from ticketkit.verify.arm import ARMS, Arm, Context, Start, filled, permuted


def start(context: Context) -> Start:
    """Permute each layer's mask; keep the ticket's weights where it has them.

    A ticket's file does not hold the weights that were pruned. Where the permuted mask keeps one of those, it gets the
    dense network's if that is known, else a fresh draw of the initial distribution, from which a rewound weight is only
    a few steps away. Normalisation stays the ticket's.
    """
    ticket = context.given
    fresh = initialise(ticket.arch, derive_seed(context.seed, "weights"))
    masks = {name: permuted(mask, context.seed, name) for name, mask in ticket.mask.items()}
    return Start(tensors=filled(context, fresh), mask=Mask(masks))


ARMS.register("random", Arm(summary="each layer's mask permuted, the ticket's weights", start=start))
