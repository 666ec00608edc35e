"""What single arms keep of a ticket, and what they take in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.prune import CRITERIA, Subject
from ticketkit.stretch.adjust import Adjustments
from ticketkit.ticket import Ticket
from ticketkit.verify import ARMS, Bench, Context, Start, Target
from ticketkit.verify.arms.small_dense import small_network

MakeContext = Callable[..., Context]

COPIES = ("blocks.2.", "blocks.5.", "blocks.8.")
"""The third unit of each stage of a ResNet-20 stretched from a ResNet-14 is a copy of the second."""


def mask_of(start: Start) -> Mask:
    assert start.mask is not None
    return start.mask


def counts(mask: Mask) -> dict[str, int]:
    return {name: int(array.sum()) for name, array in mask.items()}


def same(left: object, right: object) -> bool:
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


@pytest.mark.parametrize("name", ["ticket", "random", "reinit", "random-weights", "random-copies"])
def test_arms_of_a_tickets_densities_keep_its_count_in_every_layer(
    name: str, stretched: Ticket, make_context: MakeContext
) -> None:
    assert counts(mask_of(ARMS[name].start(make_context(stretched)))) == counts(stretched.mask)


def test_ticket_is_the_ticket(ticket: Ticket, make_context: MakeContext) -> None:
    start = ARMS["ticket"].start(make_context(ticket))
    assert start.mask == ticket.mask
    assert same(start.tensors, ticket.tensors)


def test_dense_is_the_network_at_the_rewind_step(ticket: Ticket, make_context: MakeContext) -> None:
    context = make_context(ticket)
    start = ARMS["dense"].start(context)
    assert start.tensors is context.bench.rewound
    assert start.setup == context.bench.rewound_flops


def test_random_permutes_masks_and_keeps_the_tickets_weights_where_it_can(
    ticket: Ticket, make_context: MakeContext
) -> None:
    start = ARMS["random"].start(make_context(ticket))
    assert start.mask is not None
    assert start.mask != ticket.mask
    for name, mask in ticket.mask.items():
        both = mask & start.mask[name]
        assert np.array_equal(start.tensors[name][both], ticket.tensors[name][both])
        new = start.mask[name] & ~mask
        assert (start.tensors[name][new] != 0).all(), "a weight the ticket lacks gets a draw, not a zero"
    assert np.array_equal(start.tensors["bn.weight"], ticket.tensors["bn.weight"])
    other = ARMS["random"].start(make_context(ticket, seed=1))
    assert other.mask != start.mask


def test_reinit_keeps_the_mask_and_draws_everything_else(ticket: Ticket, make_context: MakeContext) -> None:
    start = ARMS["reinit"].start(make_context(ticket, seed=4))
    assert start.mask == ticket.mask
    assert same(start.tensors, initialise(ticket.arch, 4))


def test_random_weights_permutes_and_draws(ticket: Ticket, make_context: MakeContext) -> None:
    context = make_context(ticket, seed=4)
    start = ARMS["random-weights"].start(context)
    assert start.mask == ARMS["random"].start(context).mask != ticket.mask
    assert same(start.tensors, initialise(ticket.arch, 4))


def test_random_copies_is_what_stretch_makes(stretched: Ticket, make_context: MakeContext) -> None:
    start = ARMS["random-copies"].start(make_context(stretched, seed=8))
    third_is_a_copy = ((0, 1, 1),) * 3
    by_hand = Adjustments(random_copies=True, seed=8).applied_to(stretched.arch, stretched.stored, third_is_a_copy)
    mask = mask_of(start)
    for name, stored in by_hand.items():
        kept = mask[name] if name in mask else np.ones(stored.shape, dtype=np.bool_)
        assert np.array_equal(start.tensors[name][kept], stored.decode()[kept])
        if name in mask:
            assert np.array_equal(mask[name], stored.mask())
            changed = not np.array_equal(mask[name], stretched.mask[name])
            assert changed == name.startswith(COPIES), f"only copies are permuted: {name}"


@pytest.mark.parametrize("name", ["random", "random-copies"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_weight_that_the_ticket_lacks_is_the_dense_networks_or_a_draw(
    name: str, dtype: str, make_ticket: Callable[..., Ticket], stretched: Ticket, make_context: MakeContext
) -> None:
    arrays = {
        key: array.astype(dtype) if array.dtype == np.float32 else array for key, array in stretched.tensors.items()
    }
    ticket = Ticket.from_arrays(
        stretched.arch, arrays, stretched.mask, weights=stretched.weights, provenance=stretched.provenance
    )
    dense = initialise(ticket.arch, 99)
    known = ARMS[name].start(make_context(ticket, dense=dense))
    drawn = ARMS[name].start(make_context(ticket))
    assert known.mask == drawn.mask
    news = 0
    for key, mask in mask_of(known).items():
        new = mask & ~ticket.mask[key]
        news += int(new.sum())
        assert np.array_equal(known.tensors[key][new], dense[key].astype(dtype)[new])
        assert np.all(drawn.tensors[key][new] != 0)
        for start in (known, drawn):
            old = mask & ticket.mask[key]
            assert np.array_equal(start.tensors[key][old], ticket.tensors[key][old])
    assert news


def test_extra_snip_keeps_the_originals_and_lets_snip_choose_in_the_copies(
    stretched: Ticket, make_context: MakeContext
) -> None:
    context = make_context(stretched)
    start = ARMS["extra-snip"].start(context)
    mask = mask_of(start)
    copied = [name for name in mask if name.startswith(COPIES)]
    for name in stretched.tensors:
        origin = context.bench.rewound if name.startswith(COPIES) else stretched.tensors
        assert np.array_equal(start.tensors[name], origin[name]), name
        if name in mask and name not in copied:
            assert np.array_equal(mask[name], stretched.mask[name])
    assert any(not np.array_equal(mask[name], stretched.mask[name]) for name in copied)
    assert sum(int(mask[name].sum()) for name in copied) == sum(int(stretched.mask[name].sum()) for name in copied)
    assert start.setup.sparse > context.bench.rewound_flops.sparse > 0


@pytest.mark.parametrize("name", ["imp", "lrr"])
def test_imp_and_lrr_are_the_benchs(name: str, ticket: Ticket, make_context: MakeContext) -> None:
    context = make_context(ticket)
    start = ARMS[name].start(context)
    pruned = context.bench.pruned_to(ticket.kept, "weights" if name == "imp" else "rate")
    assert start.mask == pruned.mask
    assert same(start.tensors, pruned.tensors)
    assert start.setup == pruned.flops


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow", "magnitude", "erk"])
def test_one_shot_arms_prune_the_rewound_network_by_their_criterion(
    name: str, ticket: Ticket, make_context: MakeContext
) -> None:
    context = make_context(ticket, seed=6)
    start = ARMS[name].start(context)
    assert start.tensors is context.bench.rewound
    subject = Subject(
        arch=ticket.arch,
        tensors=context.bench.rewound,
        mask=Target.of(ticket).full_mask(),
        batches=lambda: context.batches.epoch(6, 0),  # all four batches, since they hold less than 128 images
        seed=6,
    )
    with context.compute.applied():
        assert start.mask == CRITERIA[name](subject, ticket.kept)


def test_random_arms_draw_anew_for_every_seed(ticket: Ticket, make_context: MakeContext, make_bench: object) -> None:
    bench = make_bench(ticket)
    for name in ("random", "random-weights", "erk", "rigl", "set"):
        one, other = (ARMS[name].start(make_context(ticket, seed, bench)).mask for seed in (1, 2))
        assert one != other, name


# --- the small dense network


def target_of(arch: ArchSpec, density: float) -> Target:
    whole = Target(arch=arch, prunable=arch.prunable_names(), kept=1)
    return replace(whole, kept=round(density * whole.total))


def widths_that_fit(arch: ArchSpec, depth: int, budget: int) -> list[ArchSpec]:
    """Every network of a depth that fits, one width after the other."""
    found = []
    for width in range(1, arch.width + 1):
        try:
            network = replace(arch, depth=depth, width=width)
        except ValueError:
            continue
        if network.parameters <= budget:
            found.append(network)
    return found


@pytest.mark.parametrize("density", [1.0, 0.5, 0.2, 0.05])
@pytest.mark.parametrize(
    "name", ["resnet20-w8", "resnet14-w4-pad", "mobilenetv1-7-w4", "vgg13-w4-fc3", "mlp-64-32x6-16-16-10", "vit-tiny2"]
)
def test_small_dense_is_the_widest_network_of_the_depth_that_fits(name: str, density: float) -> None:
    arch = parse_arch(name)
    target = target_of(arch, density)
    budget = arch.parameters - target.total + target.kept
    small = small_network(target)
    assert small is not None
    assert small.parameters <= budget
    if density == 1.0:
        assert small == arch
    fitting = widths_that_fit(arch, small.depth, budget)
    assert small == max(fitting, key=lambda network: network.width)
    assert small.depth == arch.depth or not widths_that_fit(arch, arch.depth, budget)
    assert (small.num_classes, small.in_channels, small.variant) == (arch.num_classes, arch.in_channels, arch.variant)


def test_a_width_that_the_family_lacks_does_not_end_the_search() -> None:
    # A ViT of 128 or more features has two heads or more to share them, and an MLP's first run must differ from its
    # second: the widths in between that are missing are no upper bound.
    vit = small_network(target_of(parse_arch("vit-tiny12"), 0.5))
    assert vit is not None
    assert vit.width == 136
    mlp = small_network(target_of(parse_arch("mlp-64-32x6-16-16-10"), 0.5))
    assert mlp is not None
    assert mlp.width == 20


def test_small_dense_takes_a_lesser_depth_only_where_no_width_fits() -> None:
    arch = parse_arch("resnet14-w4-pad")
    small = small_network(target_of(arch, 0.05))
    assert small is not None
    assert (small.depth, small.width) == (8, 1)
    assert small_network(target_of(arch, 0.01)) is None


def test_small_dense_trains_the_whole_schedule_from_fresh_weights(ticket: Ticket, make_context: MakeContext) -> None:
    start = ARMS["small-dense"].start(make_context(ticket, seed=3))
    assert start.arch is not None
    assert start.arch.width < ticket.arch.width
    assert start.first_step == 0
    assert start.mask is None
    assert same(start.tensors, initialise(start.arch, 3))


def test_a_bench_belongs_to_all_arms_of_a_run(ticket: Ticket, make_context: MakeContext, make_bench: object) -> None:
    told: list[str] = []
    bench: Bench = make_bench(ticket, on_epoch=lambda label, _: told.append(label))
    for name in ("dense", "snip", "magnitude", "erk"):
        ARMS[name].start(make_context(ticket, bench=bench))
    assert told == ["to the rewind step"], "its three steps are made once"
