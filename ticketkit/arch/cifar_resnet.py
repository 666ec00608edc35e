"""The ResNets for small images: He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2.

Three stages of n basic blocks at 1, 2 and 4 times the width; depth 6n + 2. Where a block changes the shape, the
shortcut is a 1×1 convolution with normalisation, as in open_lth and ElasticLTH; the variant ``pad`` takes He's
option A, sub-sampling with zero channels, which has no parameters.
"""

from __future__ import annotations

from ticketkit.arch.family import FAMILIES, Family
from ticketkit.arch.spec import ArchSpec, LayerList, LayerSpec

STAGE_WIDTHS = (1, 2, 4)


def units_per_stage(depth: int) -> int:
    """Number of basic blocks in each of the three stages."""
    return (depth - 2) // 6


def layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    """Layers in execution order; names as in ElasticLTH, whose state dicts therefore load."""
    net = LayerList()
    net.at("stem")
    net.conv2d("conv", spec.width, spec.in_channels, 3)
    net.batch_norm("bn", spec.width)
    count = units_per_stage(spec.depth)
    channels = spec.width
    for stage, multiple in enumerate(STAGE_WIDTHS):
        out_channels = multiple * spec.width
        for unit in range(count):
            block = f"blocks.{stage * count + unit}"
            net.at("unit" if unit else "entry", stage, unit)
            net.conv2d(f"{block}.conv1", out_channels, channels, 3)
            net.batch_norm(f"{block}.bn1", out_channels)
            net.conv2d(f"{block}.conv2", out_channels, out_channels, 3)
            net.batch_norm(f"{block}.bn2", out_channels)
            if channels != out_channels and spec.variant != "pad":
                net.conv2d(f"{block}.shortcut.0", out_channels, channels, 1)
                net.batch_norm(f"{block}.shortcut.1", out_channels)
            channels = out_channels
    net.at("head")
    net.linear("fc", spec.num_classes, channels)
    return tuple(net.layers)


FAMILIES.register(
    "cifar-resnet",
    Family(
        name="cifar-resnet",
        short="resnet",
        default_width=16,
        prunes_head=True,
        residual=True,
        variants=("", "pad"),
        examples=("resnet20", "resnet14-w4-pad"),
        has_depth=lambda depth: depth >= 8 and depth % 6 == 2,  # noqa: PLR2004 - 6n + 2
        depths="6n + 2, from 8",
        layers=layers,
    ),
)
