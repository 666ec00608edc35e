"""The ticket's units where the source has them, SNIP's choice in the added ones: does replication carry anything?"""

from __future__ import annotations

from ticketkit.mask import Mask
from ticketkit.prune import CRITERIA, Subject
from ticketkit.verify.arm import ARMS, Arm, Context, Start, Target
from ticketkit.verify.lineage import Stages, copies_in, stages_of
from ticketkit.verify.scoring import scoring_batches, scoring_flops


def start(context: Context) -> Start:
    """Replace each copy by the target's own weights at the rewind step, pruned by SNIP (Chen et al., 2021, figure 3).

    The added units keep together as many weights as the ticket keeps in them, so the count over all is the ticket's.
    """
    ticket = context.given
    added = copies_in(stages_of(ticket))
    own = {entry.name for entry in ticket.arch.state() if (entry.layer.stage, entry.layer.unit) in added}
    tensors = {name: context.bench.rewound[name] if name in own else array for name, array in ticket.tensors.items()}
    everything = context.target.full_mask()
    subject = Subject(
        arch=ticket.arch,
        tensors=tensors,
        mask=Mask({name: everything[name] for name in everything if name in own}),
        batches=lambda: scoring_batches(context),
        device=context.compute.device,
        seed=context.seed,
    )
    with context.compute.applied():
        chosen = CRITERIA["snip"](subject, sum(int(mask.sum()) for name, mask in ticket.mask.items() if name in own))
    return Start(
        tensors=tensors,
        mask=Mask({name: chosen[name] if name in own else mask for name, mask in ticket.mask.items()}),
        setup=context.bench.rewound_flops + scoring_flops(context, passes=3),
    )


def obstacle(_target: Target, stages: Stages | None) -> str | None:
    """A ticket without copies has no added units."""
    return None if copies_in(stages) else "replicated units in the ticket (it has none)"


ARMS.register("extra-snip", Arm(summary="the ticket's units, SNIP in the added ones", start=start, obstacle=obstacle))
