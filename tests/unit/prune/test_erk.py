from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ticketkit.arch import parse_arch
from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.prune import Subject
from ticketkit.prune.erk import erk_counts, prune

MakeSubject = Callable[..., Subject]

SHAPES = {"conv1": (4, 3, 3, 3), "conv2": (8, 4, 3, 3), "fc": (10, 8)}
"""108, 288 and 80 weights; the sides add up to 13, 18 and 18."""


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    arch = parse_arch(name)
    names = set(arch.prunable_names())
    return {entry.name: entry.tensor.shape for entry in arch.state() if entry.name in names}


@pytest.mark.parametrize(
    ("kept", "counts"),
    [
        (0, (0, 0, 0)),
        (1, (0, 1, 0)),  # 13/49, 18/49, 18/49: of equal remainders the earlier layer's
        (98, (26, 36, 36)),  # twice the sides
        (99, (26, 37, 36)),  # 26.27, 36.37, 36.37
        (245, (69, 96, 80)),  # 90 for fc would exceed its 80, so 165 go to 13:18
        (400, (108, 212, 80)),  # now conv1 is full too
        (476, (108, 288, 80)),
    ],
)
def test_counts_worked_out_by_hand(kept: int, counts: tuple[int, int, int]) -> None:
    assert tuple(erk_counts(SHAPES, kept).values()) == counts


@pytest.mark.parametrize("network", ["resnet20-w8", "vgg16-w4", "mobilenetv1-3-w4", "mlp-64-32x6-16-16-10", "vit2-w16"])
@pytest.mark.parametrize("density", [0.003, 0.02, 0.1, 0.5, 0.9, 0.999])
def test_counts_add_up_and_densities_follow_the_rule(network: str, density: float) -> None:
    shapes = shapes_of(network)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    kept = round(density * sum(sizes.values()))
    counts = erk_counts(shapes, kept)
    assert list(counts) == list(shapes)
    assert sum(counts.values()) == kept
    assert all(0 <= counts[name] <= size for name, size in sizes.items())

    rule = {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}
    open_ = [name for name in shapes if counts[name] < sizes[name]]
    assert open_
    lowest = max((counts[name] - 1) / sizes[name] / rule[name] for name in open_)
    highest = min((counts[name] + 1) / sizes[name] / rule[name] for name in open_)
    assert lowest < highest, "one factor gives the density of every layer that is not full, up to one weight"
    for name in set(shapes) - set(open_):
        assert highest * rule[name] * sizes[name] > sizes[name] - 1, "only layers that would exceed density 1 are full"


def test_a_depthwise_convolution_has_one_input() -> None:
    counts = erk_counts({"depthwise": (12, 1, 3, 3), "pointwise": (16, 12, 1, 1)}, 49)
    assert counts == {"depthwise": 19, "pointwise": 30}  # 12 + 1 + 3 + 3 and 16 + 12 + 1 + 1


def test_a_layer_gets_no_more_than_is_available() -> None:
    available = {"conv1": 5, "conv2": 288, "fc": 80}
    assert erk_counts(SHAPES, 77, available=available) == {"conv1": 5, "conv2": 36, "fc": 36}


@pytest.mark.parametrize("kept", [-1, 477])
def test_a_number_out_of_range_is_refused(kept: int) -> None:
    with pytest.raises(MaskError, match=rf"must be from 0 to the 476 available \(got {kept}\)$"):
        erk_counts(SHAPES, kept)


def test_the_layers_of_a_mask_keep_what_the_rule_says(make_subject: MakeSubject) -> None:
    subject = make_subject("mobilenetv1-2-w2")
    pruned = prune(subject, 500)
    shapes = {name: mask.shape for name, mask in subject.mask.items()}
    assert {name: int(mask.sum()) for name, mask in pruned.items()} == erk_counts(shapes, 500)


def test_the_seed_decides_alone(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2")
    pruned = prune(subject, 300)
    assert prune(replace(subject, tensors={}, batches=list), 300) == pruned
    assert prune(replace(subject, seed=1), 300) != pruned


def test_layers_of_one_shape_are_drawn_apart(make_subject: MakeSubject) -> None:
    pruned = prune(make_subject("mlp-8-8-8-4"), 64)
    first, second = pruned["fc_layers.0.weight"], pruned["fc_layers.1.weight"]
    assert first.sum() == second.sum() == 32
    assert not np.array_equal(first, second)


def test_places_are_uniform_among_those_that_remain(make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-4-3-2")
    mask = Mask({"fc_layers.0.weight": np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]], dtype=bool)})
    draws, kept = 600, 4
    hits = np.zeros((3, 4))
    for seed in range(draws):
        hits += prune(replace(subject, mask=mask, seed=seed), kept)["fc_layers.0.weight"]
    assert not hits[~mask["fc_layers.0.weight"]].any()
    share = kept / mask.kept
    deviation = math.sqrt(share * (1 - share) / draws)
    assert np.abs(hits[mask["fc_layers.0.weight"]] / draws - share).max() < 4 * deviation
