"""FLOPs beside those worked out by hand, torchvision's published ones, and PyTorch's own counter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.errors import ArchError, MaskError
from ticketkit.mask import Mask
from ticketkit.models import build_model
from ticketkit.ticket import Ticket
from ticketkit.torchvision_compat import import_torchvision
from ticketkit.train.flops import forward_flops, training_flops

EXAMPLES = [name for family in FAMILIES.values() for name in family.examples]


def image_shape(arch: ArchSpec) -> tuple[int, int, int]:
    family = FAMILIES[arch.family]
    size = family.image_size(arch) or 16
    shape = (arch.in_channels, size, size)
    return shape if family.image_channels(shape) == arch.in_channels else (arch.in_channels, 1, 1)


def test_resnet20_by_hand() -> None:
    stem = 3 * 16 * 9 * 32**2
    stages = [6 * 16 * 16 * 9 * 32**2, (16 + 5 * 32) * 32 * 9 * 16**2, (32 + 5 * 64) * 64 * 9 * 8**2]
    macs = stem + sum(stages) + 64 * 10
    assert forward_flops(parse_arch("resnet20-pad"), (3, 32, 32)) == 2 * macs == 81_102_080
    projections = 16 * 32 * 16**2 + 32 * 64 * 8**2
    assert forward_flops(parse_arch("resnet20"), (3, 32, 32)) == 2 * (macs + projections)


def test_an_odd_image_halves_upwards() -> None:
    by_hand = 9 * 81 + 2 * 9 * 81 + (1 + 2) * 2 * 9 * 25 + (2 + 4) * 4 * 9 * 9 + 4 * 10
    assert forward_flops(parse_arch("resnet8-w1-pad", in_channels=1), (1, 9, 9)) == 2 * by_hand


def test_mlp_and_mobilenet_by_hand() -> None:
    assert forward_flops(parse_arch("mlp-784-300-100-10"), (1, 28, 28)) == 2 * (784 * 300 + 300 * 100 + 100 * 10)
    depthwise_run = (9 * 512 + 512 * 512) * 4 * 4
    shallow, deep = (forward_flops(parse_arch(f"mobilenetv1-{depth}"), (3, 32, 32)) for depth in (5, 6))
    assert deep - shallow == 2 * depthwise_run, "one block of the run at 4×4: a depthwise and a pointwise convolution"


def test_a_transformers_block_by_hand() -> None:
    tokens, width = 4 * 4 + 1, 16
    weights = (3 + 1 + 4 + 4) * width**2 * tokens
    products = 2 * tokens**2 * width
    one, two = (forward_flops(parse_arch(f"vit{depth}-w16-p2-i8"), (3, 8, 8)) for depth in (1, 2))
    assert two - one == 2 * (weights + products)
    assert one == 2 * (weights + products + 3 * 2 * 2 * width * 4 * 4 + width * 10)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_imagenets_networks_cost_what_torchvision_says(depth: int) -> None:
    published = getattr(import_torchvision().models, f"ResNet{depth}_Weights").IMAGENET1K_V1.meta["_ops"]
    flops = forward_flops(parse_arch(f"resnet{depth}", num_classes=1000), (3, 224, 224))
    assert round(flops / 2e9, 3) == published, "torchvision counts a multiplication and its addition as one"


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_family_costs_what_pytorchs_counter_says(name: str) -> None:
    arch = parse_arch(name)
    shape = image_shape(arch)
    with torch.device("meta"):
        model, image = build_model(arch).eval(), torch.empty(1, *shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert forward_flops(arch, shape) == counter.get_total_flops() > 0


@pytest.mark.parametrize("name", ["resnet14-w4-pad", "mobilenetv1-7-w2", "mlp-64-32x6-16-16-10"])
def test_half_the_weights_of_every_layer_cost_half(name: str) -> None:
    arch = parse_arch(name)
    every_weight = {entry.name: np.arange(entry.tensor.size) % 2 == 0 for entry in arch.state() if entry.prunable}
    shapes = {entry.name: entry.tensor.shape for entry in arch.state()}
    mask = Mask({key: array.reshape(shapes[key]) for key, array in every_weight.items()})
    assert all(array.size % 2 == 0 for array in every_weight.values())
    assert 2 * forward_flops(arch, image_shape(arch), mask) == forward_flops(arch, image_shape(arch))


def test_products_between_activations_are_never_pruned() -> None:
    arch = parse_arch("vit2-w16-p2-i8")
    none = {entry.name: 0 for entry in arch.state() if entry.prunable}
    assert forward_flops(arch, (3, 8, 8), none) == 2 * (2 * 2 * 17**2 * 16)
    assert forward_flops(parse_arch("resnet8-w2"), (3, 8, 8), {}) == forward_flops(parse_arch("resnet8-w2"), (3, 8, 8))


def test_a_pruned_weight_saves_its_output_positions() -> None:
    arch = parse_arch("resnet8-w2")
    dense = forward_flops(arch, (3, 8, 8))
    assert dense - forward_flops(arch, (3, 8, 8), {"conv.weight": 3 * 2 * 9 - 5}) == 2 * 5 * 8 * 8
    assert dense - forward_flops(arch, (3, 8, 8), {"fc.weight": 8 * 10 - 7}) == 2 * 7


def test_a_mask_and_its_counts_are_the_same(make_ticket: Callable[..., Ticket]) -> None:
    ticket = make_ticket("resnet14-w2", density=0.3)
    counts = {name: int(array.sum()) for name, array in ticket.mask.items()}
    assert forward_flops(ticket.arch, (3, 8, 8), ticket.mask) == forward_flops(ticket.arch, (3, 8, 8), counts)


def test_a_training_costs_three_forward_passes_an_image(make_ticket: Callable[..., Ticket]) -> None:
    ticket = make_ticket("resnet8-w2")
    sparse, dense = (forward_flops(ticket.arch, (3, 8, 8), mask) for mask in (ticket.mask, None))
    training = training_flops(ticket.arch, (3, 8, 8), ticket.mask, 640)
    assert (training.sparse, training.dense) == (3 * 640 * sparse, 3 * 640 * dense)
    assert training.sparse < training.dense
    unpruned = training_flops(ticket.arch, (3, 8, 8), None, 640, passes=1)
    assert unpruned.sparse == unpruned.dense == 640 * dense


def test_what_does_not_fit_is_refused() -> None:
    arch = parse_arch("resnet8-w2")
    with pytest.raises(ArchError, match=r"images of cifar-resnet8-w2 must have 3 input channels \(got 1×8×8\)"):
        forward_flops(arch, (1, 8, 8))
    with pytest.raises(ArchError, match=r"must be 8×8 \(got 3×8×16\)"):
        forward_flops(parse_arch("vit2-w16-p2-i8"), (3, 8, 16))
    with pytest.raises(MaskError, match=r"weights of cifar-resnet8-w2 only \(got bn\.weight\)"):
        forward_flops(arch, (3, 8, 8), {"bn.weight": 1})
    with pytest.raises(MaskError, match=r"kept weights of fc\.weight must be from 0 to its 80 \(got 81\)"):
        forward_flops(arch, (3, 8, 8), {"fc.weight": 81})
    with pytest.raises(MaskError, match=r"the mask of fc\.weight must cover its 80 weights \(got 4\)"):
        forward_flops(arch, (3, 8, 8), Mask({"fc.weight": np.ones((2, 2), dtype=bool)}))
