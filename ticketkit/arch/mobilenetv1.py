"""MobileNetV1 for small images: Howard et al., "MobileNets", 2017, table 1, as in ElasticLTH's ``cifar_mobilenetv1``.

A stem of ``width`` channels (32), 13 depthwise-separable blocks, and a linear layer; unlike the network for ImageNet,
the stem does not down-sample. The width multiplier of the paper is width / 32: 0.5 is ``mobilenetv1-w16``.

Five of the blocks, at 512 channels, are alike; ``depth`` is how many there are, and they are the one elastic stage. The
block that down-samples to 512 channels stands before the run, and is fixed like all others outside it; so no block
of the run is an entry, and each of them may move, as in ElasticLTH, whose unit numbers are the same.
"""

from __future__ import annotations

import re

from ticketkit.arch.family import FAMILIES, Family, Named
from ticketkit.arch.spec import ArchSpec, LayerList, LayerSpec

USUAL_RUN = 5

BEFORE = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2))
"""Output channels, in widths, and stride of each block before the run."""

RUN_WIDTH = 16
"""Channels of the run, in widths."""

AFTER = ((32, 2), (32, 1))
"""Output channels, in widths, and stride of each block behind the run."""

_NAME = re.compile(r"(?:-(?P<depth>[0-9]{1,6}))?(?:-w(?P<width>[0-9]{1,7}))?")


def layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    """Layers in execution order; names as in ElasticLTH, whose state dicts therefore load."""
    net = LayerList()
    net.at("stem")
    net.conv2d("conv", spec.width, spec.in_channels, 3)
    net.batch_norm("bn", spec.width)
    channels = spec.width
    for part, multiples in enumerate(parts(spec), start=1):
        for number, (multiple, _) in enumerate(multiples):
            block = f"layers_part{part}.{number}"
            if part == 2:  # noqa: PLR2004 - the run, which lies in the middle
                net.at("unit", 0, number)
            else:
                net.at("fixed")
            out_channels = multiple * spec.width
            net.conv2d(f"{block}.conv1", channels, 1, 3)
            net.batch_norm(f"{block}.bn1", channels)
            net.conv2d(f"{block}.conv2", out_channels, channels, 1)
            net.batch_norm(f"{block}.bn2", out_channels)
            channels = out_channels
    net.at("head")
    net.linear("fc", spec.num_classes, channels)
    return tuple(net.layers)


def parts(spec: ArchSpec) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Output channels, in widths, and stride of each block: before the run, in it, and behind."""
    return BEFORE, ((RUN_WIDTH, 1),) * spec.depth, AFTER


def read(text: str) -> Named | None:
    """Read a run's length and a width, both optional: ``-7-w16``."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    return Named(
        depth=int(match["depth"] or USUAL_RUN),
        width=int(match["width"]) if match["width"] else None,
    )


def write(spec: ArchSpec) -> str:
    """Write what :func:`read` reads; the usual run and width are left out."""
    run = "" if spec.depth == USUAL_RUN else f"-{spec.depth}"
    return run + ("" if spec.width == FAMILIES[spec.family].default_width else f"-w{spec.width}")


FAMILIES.register(
    "mobilenetv1",
    Family(
        name="mobilenetv1",
        short="mobilenetv1",
        default_width=32,
        prunes_head=True,
        examples=("mobilenetv1", "mobilenetv1-7-w2"),
        has_depth=lambda depth: depth >= 1,
        depths="the number of blocks in its run, from 1",
        layers=layers,
        read=read,
        write=write,
    ),
)
