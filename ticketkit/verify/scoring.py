"""Arms that a criterion prunes in one go, at the network's rewind weights, and the images that it looks at."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ticketkit.provenance import Flops
from ticketkit.prune import CRITERIA, Subject
from ticketkit.train.flops import training_flops
from ticketkit.verify.arm import Context, Start

LEAST_IMAGES = 128
IMAGES_PER_CLASS = 10
"""SNIP scores a batch of 128 images (Lee et al., 2019), GraSP ten a class (Wang et al., 2020): whichever is more."""


def scoring_batches(context: Context) -> Iterator[tuple[Tensor, Tensor]]:
    """Training images enough for the criteria, of an epoch that no training sees."""
    batches = context.batches
    return batches.epoch(context.seed, 0, steps=_batch_count(context))


def scoring_flops(context: Context, passes: float) -> Flops:
    """What so many passes over those images take."""
    images = _batch_count(context) * context.batches.recipe.batch
    return training_flops(context.target.arch, context.batches.data.shape, None, images, passes=passes)


def _batch_count(context: Context) -> int:
    wanted = max(LEAST_IMAGES, IMAGES_PER_CLASS * context.batches.data.num_classes)
    return min(-(-wanted // context.batches.recipe.batch), context.batches.steps_per_epoch)


def pruned_at_rewind(context: Context, criterion: str, *, passes: float) -> Start:
    """Prune the network's weights at the rewind step by a criterion, to exactly the ticket's count.

    At the rewind step, as the paper does (Chen et al., 2021, section 4), and not at initialisation, which SNIP, GraSP
    and SynFlow were proposed for.

    Args:
        context: What the arm may look at.
        criterion: Name of one of the criteria.
        passes: What the criterion costs, in forward passes of the dense network over the images it scores.
    """
    bench = context.bench
    subject = Subject(
        arch=context.target.arch,
        tensors=bench.rewound,
        mask=context.target.full_mask(),
        batches=lambda: scoring_batches(context),
        device=context.compute.device,
        seed=context.seed,
    )
    with context.compute.applied():
        mask = CRITERIA[criterion](subject, context.target.kept)
    return Start(tensors=bench.rewound, mask=mask, setup=bench.rewound_flops + scoring_flops(context, passes=passes))
