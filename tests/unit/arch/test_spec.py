"""Architectures as data: names, limits, layers and their places."""

from __future__ import annotations

import dataclasses

import pytest

from ticketkit.arch import FAMILIES, ArchSpec, LayerList, parse_arch
from ticketkit.errors import ArchError

ALL = [parse_arch(name) for family in FAMILIES.values() for name in family.examples]


@pytest.mark.parametrize("arch", ALL, ids=lambda arch: arch.name)
def test_layers_are_numbered_named_once_and_placed(arch: ArchSpec) -> None:
    layers = arch.layers()
    assert [layer.index for layer in layers] == list(range(len(layers)))
    assert len({layer.name for layer in layers}) == len(layers)
    for layer in layers:
        assert (layer.stage is None) == (layer.unit is None)
        assert (layer.role in {"entry", "unit"}) == (layer.stage is not None)
        if layer.stage is not None:
            assert (layer.role == "entry") == (layer.unit == 0 and arch.entries[layer.stage])
    # The input layer is the first with weights: a stem, or the entry of the first stage.
    assert layers[0].prunable
    assert layers[0].role == "stem" or (layers[0].role, layers[0].stage) == ("entry", 0)
    assert [layer.role for layer in layers].count("head") == 1
    assert layers[-1].role == "head"


@pytest.mark.parametrize("arch", ALL, ids=lambda arch: arch.name)
def test_both_names_read_back(arch: ArchSpec) -> None:
    assert parse_arch(arch.name) == arch
    assert parse_arch(arch.short_name) == arch
    assert parse_arch(f"  {arch.name.upper()} ") == arch


@pytest.mark.parametrize("arch", ALL, ids=lambda arch: arch.name)
def test_state_names_are_unique_and_prunable_ones_are_weights(arch: ArchSpec) -> None:
    state = {entry.name: entry for entry in arch.state()}
    assert len(state) == sum(len(layer.tensors) for layer in arch.layers())
    kinds = {state[name].layer.kind for name in arch.prunable_names()}
    assert kinds <= {"conv2d", "linear", "attention"}
    assert all(name.endswith("weight") and len(state[name].tensor.shape) > 1 for name in arch.prunable_names())
    assert all(state[name].tensor.trainable for name in arch.prunable_names())


@pytest.mark.parametrize("arch", ALL, ids=lambda arch: arch.name)
def test_stages_count_their_units(arch: ArchSpec) -> None:
    places = {(layer.stage, layer.unit) for layer in arch.layers() if layer.stage is not None}
    assert places == {(stage, unit) for stage, count in enumerate(arch.stages) for unit in range(count)}


def test_the_default_width_is_not_part_of_a_name() -> None:
    assert parse_arch("resnet20-w16").name == "cifar-resnet20"
    assert parse_arch("resnet20-w8-pad").name == "cifar-resnet20-w8-pad"
    assert parse_arch("resnet20", default_width=8).short_name == "resnet20-w8"
    assert parse_arch("resnet20-w16", default_width=8).short_name == "resnet20"


def test_classes_and_channels_are_passed_on() -> None:
    arch = parse_arch("resnet8", num_classes=7, in_channels=1)
    assert (arch.num_classes, arch.in_channels) == (7, 1)
    assert arch.layers()[0].tensors[0].shape == (16, 1, 3, 3)
    assert arch.layers()[-1].tensors[0].shape == (7, 64)


def test_a_spec_is_a_frozen_value() -> None:
    arch = parse_arch("resnet8")
    assert hash(arch) == hash(parse_arch("cifar-resnet8"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        arch.depth = 14  # type: ignore[misc]


@pytest.mark.parametrize("text", ["", "20", "resnet", "20resnet", "resnet20 w8", "resnet20-", "résnet20", "resnet²"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ArchError, match="an architecture must be a family and a depth, such as resnet"):
        parse_arch(text)


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(ArchError, match=r"family must be one of .*cifar-resnet, .*resnet.* \(got 'resnot' in"):
        parse_arch("resnot20")
    with pytest.raises(ArchError, match=r"architecture family must be one of .*did you mean 'cifar-resnet'"):
        ArchSpec(family="cifar-resnets", depth=20, width=16)


@pytest.mark.parametrize("field", ["depth", "width", "num_classes", "in_channels"])
@pytest.mark.parametrize("number", [0, -1, 10_000_000])
def test_numbers_have_limits(field: str, number: int) -> None:
    fields = {"depth": 20, "width": 16, "num_classes": 10, "in_channels": 3} | {field: number}
    with pytest.raises(ArchError, match=f"^{field} of a cifar-resnet must be from 1 to "):
        ArchSpec(family="cifar-resnet", **fields)


def test_a_layer_list_places_what_is_added() -> None:
    net = LayerList()
    net.at("stem")
    net.conv2d("a", 4, 3, 5, bias=True)
    net.at("unit", 1, 2)
    net.batch_norm("b", 4)
    net.at("head")
    net.linear("c", 2, 4, bias=False)
    conv, norm, linear = net.layers
    assert [tensor.shape for tensor in conv.tensors] == [(4, 3, 5, 5), (4,)]
    assert (norm.role, norm.stage, norm.unit, norm.prunable) == ("unit", 1, 2, None)
    assert [tensor.trainable for tensor in norm.tensors] == [True, True, False, False, False]
    assert norm.tensors[-1].dtype == "I64"
    assert norm.tensors[-1].size == 1
    assert (linear.index, linear.stage, linear.prunable) == (2, None, "weight")
    assert [tensor.name for tensor in linear.tensors] == ["weight"]


def test_a_layer_list_knows_the_layers_of_a_transformer() -> None:
    net = LayerList()
    net.layer_norm("ln", 8)
    net.attention("attention", 8)
    net.embedding("token", "weight", (1, 1, 8))
    norm, projection, output, token = net.layers
    assert [(tensor.name, tensor.shape) for tensor in norm.tensors] == [("weight", (8,)), ("bias", (8,))]
    assert [tensor.shape for tensor in projection.tensors] == [(24, 8), (24,)]
    assert (projection.prunable, norm.prunable, token.prunable) == ("in_proj_weight", None, None)
    assert (output.name, output.kind, output.tensors[0].shape) == ("attention.out_proj", "linear", (8, 8))
    assert token.tensor_name(token.tensors[0]) == "token.weight"
