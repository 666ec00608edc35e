"""The ResNets for ImageNet: He et al., "Deep Residual Learning for Image Recognition", 2016, table 1.

Four stages at 1, 2, 4 and 8 times the width, of basic blocks up to depth 34 and of bottlenecks, four times as wide at
their ends, from depth 50. The networks are torchvision's, under torchvision's names, so its checkpoints load. Depth 26,
[2, 3, 4, 3] basic blocks, is that of ElasticLTH; depth 200, [3, 24, 36, 3] bottlenecks, is that of He et al.,
"Identity Mappings in Deep Residual Networks", 2016, and of ElasticLTH.
"""

from __future__ import annotations

from ticketkit.arch.family import FAMILIES, Family
from ticketkit.arch.spec import ArchSpec, LayerList, LayerSpec

BASIC = {18: (2, 2, 2, 2), 26: (2, 3, 4, 3), 34: (3, 4, 6, 3)}
"""Units of each stage, where the unit is a basic block: two 3×3 convolutions."""

BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
"""Units of each stage, where the unit is a bottleneck: convolutions of 1×1, 3×3 and 1×1."""

UNITS = BASIC | BOTTLENECK


def expansion(depth: int) -> int:
    """How many times wider a unit's output is than its inner convolution."""
    return 4 if depth in BOTTLENECK else 1


def layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    """Layers in the order of torchvision's ``state_dict``: a unit's shortcut stands behind its convolutions."""
    net = LayerList()
    net.at("stem")
    net.conv2d("conv1", spec.width, spec.in_channels, 7)
    net.batch_norm("bn1", spec.width)
    channels = spec.width
    for stage, count in enumerate(UNITS[spec.depth]):
        inner = spec.width << stage
        out_channels = inner * expansion(spec.depth)
        for unit in range(count):
            block = f"layer{stage + 1}.{unit}"
            net.at("unit" if unit else "entry", stage, unit)
            convolutions = [(inner, channels, 3), (inner, inner, 3)]
            if spec.depth in BOTTLENECK:
                convolutions = [(inner, channels, 1), (inner, inner, 3), (out_channels, inner, 1)]
            for number, (new, old, size) in enumerate(convolutions, start=1):
                net.conv2d(f"{block}.conv{number}", new, old, size)
                net.batch_norm(f"{block}.bn{number}", new)
            if channels != out_channels:
                net.conv2d(f"{block}.downsample.0", out_channels, channels, 1)
                net.batch_norm(f"{block}.downsample.1", out_channels)
            channels = out_channels
    net.at("head")
    net.linear("fc", spec.num_classes, channels)
    return tuple(net.layers)


FAMILIES.register(
    "imagenet-resnet",
    Family(
        name="imagenet-resnet",
        short="resnet",
        precedence=1,  # ResNet-50 is ImageNet's, though 50 = 6·8 + 2
        default_width=64,
        prunes_head=True,
        residual=True,
        examples=("resnet18", "imagenet-resnet26-w8", "resnet50-w8"),
        has_depth=UNITS.__contains__,
        depths=", ".join(map(str, UNITS)),
        layers=layers,
        design=lambda spec: "basic blocks" if spec.depth in BASIC else "bottlenecks",
    ),
)
