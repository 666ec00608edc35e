"""The ResNets for small images, against counts that are known or made by hand."""

from __future__ import annotations

import pytest

from ticketkit.arch import parse_arch
from ticketkit.errors import ArchError

# He et al. 2016, table 6, give 0.27, 0.46, 0.66, 0.85 and 1.7 million; these are the exact counts of option A.
OPTION_A = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}

# The 1×1 convolutions of the two shortcuts, 32·16 + 64·32, and their normalisation, 2·32 + 2·64.
SHORTCUTS = 2_560 + 192


@pytest.mark.parametrize(("depth", "parameters"), OPTION_A.items())
def test_parameters_are_the_known_ones(depth: int, parameters: int) -> None:
    assert parse_arch(f"resnet{depth}-pad").parameters == parameters
    assert parse_arch(f"resnet{depth}").parameters == parameters + SHORTCUTS


def test_prunable_weights_of_resnet20_by_hand() -> None:
    arch = parse_arch("resnet20")
    sizes = {entry.name: entry.tensor.size for entry in arch.state()}
    stem, head = 16 * 3 * 9, 10 * 64
    stages = 6 * 16 * 16 * 9 + (32 * 16 + 5 * 32 * 32) * 9 + (64 * 32 + 5 * 64 * 64) * 9
    assert sum(sizes[name] for name in arch.prunable_names()) == stem + stages + 2_560 + head == 270_896
    assert len(arch.prunable_names()) == 20 + 2


@pytest.mark.parametrize("depth", range(8, 120, 6))
def test_depth_counts_the_layers_on_the_longest_path(depth: int) -> None:
    arch = parse_arch(f"cifar-resnet{depth}-w2-pad")
    assert len(arch.prunable_names()) == depth
    assert arch.stages == ((depth - 2) // 6,) * 3


def test_layers_run_in_execution_order_under_the_authors_names() -> None:
    names = [layer.name for layer in parse_arch("resnet8").layers()]
    block = ["conv1", "bn1", "conv2", "bn2"]
    shortcut = ["shortcut.0", "shortcut.1"]
    expected = ["conv", "bn"]
    expected += [f"blocks.{number}.{part}" for number in range(3) for part in block + shortcut * (number > 0)]
    assert names == [*expected, "fc"]


def test_option_a_has_no_shortcut_layers() -> None:
    assert not [layer.name for layer in parse_arch("resnet20-pad").layers() if "shortcut" in layer.name]


def test_the_output_layer_is_pruned_as_in_the_authors_code() -> None:
    assert "fc.weight" in parse_arch("resnet20").prunable_names()
    assert "fc.bias" not in parse_arch("resnet20").prunable_names()


@pytest.mark.parametrize(
    ("depth", "nearest"),
    [(57, "resnet56 or resnet62"), (21, "resnet20 or cifar-resnet26"), (2, "resnet8"), (7, "resnet8")],
)
def test_a_depth_between_names_its_neighbours(depth: int, nearest: str) -> None:
    message = rf"^the depth of a cifar-resnet must be 6n \+ 2, from 8 \(got resnet{depth}; nearest: {nearest}\)$"
    with pytest.raises(ArchError, match=message):
        parse_arch(f"cifar-resnet{depth}")


def test_an_unknown_variant_lists_the_known_one() -> None:
    with pytest.raises(ArchError, match=r"^the variant of a cifar-resnet must be one of 'pad' \(got 'wide'\)$"):
        parse_arch("resnet20-wide")
