"""VGG for small images: Simonyan and Zisserman, 2015, table 1, with batch normalisation, as in open_lth.

Five stages of 3×3 convolutions at 1, 2, 4, 8 and 8 times the width, a pooling between each two; the unit is one
convolution with its normalisation. A stage's first convolution, which changes the channels, never moves.

One linear layer follows, as in open_lth's ``cifar_vgg``, and not the three that the depth counts. The variant ``fcN``
has N of them, as ElasticLTH's ``cifar_vggnfc``: N - 1 hidden ones as wide as the last stage, and the output layer. The
hidden ones are a stage of their own and all alike, so each of them may move: the paper stretches VGG-13-2 to VGG-13-3.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ticketkit.arch.family import FAMILIES, Family, Named, read_plain
from ticketkit.arch.spec import ArchSpec, LayerList, LayerSpec

UNITS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stage."""

STAGE_WIDTHS = (1, 2, 4, 8, 8)

_LINEAR = re.compile("fc(1[0-9]{1,2}|[2-9][0-9]{0,2})")


def hidden_layers(spec: ArchSpec) -> int:
    """Number of linear layers before the output layer."""
    return int(spec.variant.removeprefix("fc")) - 1 if spec.variant else 0


def layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    """Layers in execution order; names as in open_lth, which numbers convolutions and poolings together."""
    net = LayerList()
    channels, number = spec.in_channels, 0
    for stage, count in enumerate(UNITS[spec.depth]):
        out_channels = STAGE_WIDTHS[stage] * spec.width
        for unit in range(count):
            net.at("unit" if unit else "entry", stage, unit)
            net.conv2d(f"layers.{number}.conv", out_channels, channels, 3, bias=True)
            net.batch_norm(f"layers.{number}.bn", out_channels)
            channels = out_channels
            number += 1
        number += 1  # the pooling
    for unit in range(hidden_layers(spec)):
        net.at("unit", len(STAGE_WIDTHS), unit)
        net.linear(f"classifier.{2 * unit}", channels, channels)  # ReLUs have the odd numbers
    net.at("head")
    net.linear("fc", spec.num_classes, channels)
    return tuple(net.layers)


def read(text: str) -> Named | None:
    """Read a depth, a width and a variant; ``fc1`` is the plain network."""
    named = read_plain(text)
    return replace(named, variant="") if named is not None and named.variant == "fc1" else named


FAMILIES.register(
    "vgg",
    Family(
        name="vgg",
        short="vgg",
        default_width=64,
        prunes_head=False,
        variants=("", "fcN"),
        examples=("vgg16", "vgg13-w4-fc3"),
        has_depth=UNITS.__contains__,
        has_variant=lambda variant: not variant or _LINEAR.fullmatch(variant) is not None,
        depths=", ".join(map(str, UNITS)),
        layers=layers,
        read=read,
        design=lambda spec: "hidden linear layers" if spec.variant else "no hidden linear layer",
    ),
)
