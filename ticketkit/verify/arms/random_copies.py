"""The ticket with the masks of its copies permuted, those of the original units as they are: what do copies carry?"""

from __future__ import annotations

import numpy as np

from ticketkit.encoding import Bitmask
from ticketkit.mask import Mask
from ticketkit.stretch.adjust import Adjustments
from ticketkit.verify.arm import ARMS, Arm, Context, Start, Target
from ticketkit.verify.lineage import Stages, copies_in, stages_of


def start(context: Context) -> Start:
    """Permute each mask of each copy, as ``stretch --random-copies`` does (Chen et al., 2021, figure 4).

    Where a permuted mask keeps a weight that the ticket lacks, it gets the dense network's if that is known, else a
    fresh draw.
    """
    ticket = context.given
    adjustments = Adjustments(random_copies=True, seed=context.seed)
    stored = adjustments.applied_to(ticket.arch, ticket.stored, stages_of(ticket) or ())
    tensors = {name: tensor.decode() for name, tensor in stored.items()}
    masks = {name: tensor.mask() for name, tensor in stored.items() if isinstance(tensor, Bitmask)}
    if context.dense is not None:
        for name, mask in ticket.mask.items():
            tensors[name] = np.where(mask, ticket.tensors[name], context.dense[name].astype(tensors[name].dtype))
    return Start(tensors=tensors, mask=Mask(masks))


def obstacle(_target: Target, stages: Stages | None) -> str | None:
    """A ticket without copies has none to permute."""
    return None if copies_in(stages) else "replicated units in the ticket (it has none)"


ARMS.register("random-copies", Arm(summary="the ticket, masks of its copies permuted", start=start, obstacle=obstacle))
