from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ticketkit.data import ImageData
from ticketkit.recipe import Recipe
from ticketkit.ticket import Ticket
from ticketkit.train import Batches
from ticketkit.train.flops import forward_flops
from ticketkit.verify import ARMS, Bench, Context
from ticketkit.verify.scoring import pruned_at_rewind, scoring_batches, scoring_flops

MakeContext = Callable[..., Context]


@pytest.mark.parametrize(
    ("classes", "batch", "images"),
    [
        (2, 16, 128),  # SNIP's 128
        (20, 16, 208),  # ten a class are more: 200, in whole batches
        (2, 50, 150),
        (2, 400, 400),
        (50, 16, 400),  # no more than there are
    ],
)
def test_the_images_are_128_or_ten_a_class_in_whole_batches(
    ticket: Ticket,
    make_context: MakeContext,
    make_noise: Callable[..., ImageData],
    classes: int,
    batch: int,
    images: int,
) -> None:
    batches = Batches(make_noise(classes, train=400), Recipe(name="r", epochs=1, batch=batch, lr=0.1))
    context = make_context(ticket, batches=batches)
    assert sum(len(labels) for _, labels in scoring_batches(context)) == images
    forward = forward_flops(ticket.arch, (1, 4, 4))
    flops = scoring_flops(context, passes=3)
    assert flops.sparse == flops.dense == 3 * images * forward


def test_the_images_are_the_same_at_each_call_and_follow_the_arms_seed(
    ticket: Ticket, make_context: MakeContext
) -> None:
    one, again, other = (
        torch.cat([images for images, _ in scoring_batches(make_context(ticket, seed=seed))]) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_pruning_costs_the_steps_to_the_rewind_step_and_the_passes(
    ticket: Ticket, make_context: MakeContext, make_bench: Callable[..., Bench]
) -> None:
    bench = make_bench(ticket)
    forward = forward_flops(ticket.arch, (1, 8, 8))
    assert bench.rewound_flops.sparse == 3 * 3 * 16 * forward
    start = pruned_at_rewind(make_context(ticket, bench=bench), "snip", passes=3)
    assert start.setup.sparse == start.setup.dense == 3 * 3 * 16 * forward + 3 * 64 * forward
    free = pruned_at_rewind(make_context(ticket, bench=bench), "magnitude", passes=0)
    assert free.setup == bench.rewound_flops


@pytest.mark.parametrize("name", ["snip", "grasp", "magnitude", "erk"])
def test_an_arm_says_as_many_passes_as_pytorch_counts(name: str, ticket: Ticket, make_context: MakeContext) -> None:
    context = make_context(ticket)
    weights_made = context.bench.rewound_flops.sparse
    assert len(context.bench.rewound) == len(ticket.tensors), "made now, lest its training be counted"
    with FlopCounterMode(display=False) as counter:
        start = ARMS[name].start(context)
    one_pass = 64 * forward_flops(ticket.arch, (1, 8, 8))
    counted, said = counter.get_total_flops() / one_pass, (start.setup.sparse - weights_made) / one_pass
    # A little less is counted: nobody asks for the gradient of the images.
    assert 0 <= said - counted < 0.12 * said or said == counted == 0


def test_magnitude_keeps_the_largest_rewound_weights(ticket: Ticket, make_context: MakeContext) -> None:
    context = make_context(ticket)
    start = pruned_at_rewind(context, "magnitude", passes=0)
    assert start.mask is not None
    sizes = {name: np.abs(context.bench.rewound[name]) for name in start.mask}
    kept = np.concatenate([sizes[name][mask] for name, mask in start.mask.items()])
    gone = np.concatenate([sizes[name][~mask] for name, mask in start.mask.items()])
    assert len(kept) == ticket.kept
    assert gone.max() <= kept.min()
