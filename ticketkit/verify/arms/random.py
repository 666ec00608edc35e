"""A random mask of the same density in every layer, on the ticket's weights: is it the layers' densities alone?"""

from __future__ import annotations

import numpy as np

from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.seeds import derive_seed
from ticketkit.verify.arm import ARMS, Arm, Context, Start


def start(context: Context) -> Start:
    """Permute each layer's mask; keep the ticket's weights where it has them.

    A ticket's file does not hold the weights that were pruned. Where the permuted mask keeps one of those, it gets a
    fresh draw of the initial distribution, from which a rewound weight is only a few steps away. Normalisation stays
    the ticket's.
    """
    ticket = context.ticket
    fresh = initialise(ticket.arch, derive_seed(context.seed, "weights"))
    masks = {}
    tensors: dict[str, Array] = dict(ticket.tensors)
    for name, mask in ticket.mask.items():
        generator = np.random.default_rng(derive_seed(context.seed, "mask", name))
        masks[name] = generator.permutation(mask.reshape(-1)).reshape(mask.shape)
        tensors[name] = np.where(mask, tensors[name], fresh[name])
    return Start(tensors=tensors, mask=Mask(masks))


ARMS.register("random", Arm(summary="each layer's mask permuted, the ticket's weights", start=start))
