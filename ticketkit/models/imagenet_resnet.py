"""The torch module of ``ticketkit.arch.imagenet_resnet``: torchvision's own."""

from __future__ import annotations

import torch
from torch import nn

from ticketkit.arch import ArchSpec
from ticketkit.arch.imagenet_resnet import BASIC, UNITS, expansion
from ticketkit.models.build import MODELS
from ticketkit.torchvision_compat import import_torchvision

TORCHVISION_WIDTH = 64
TORCHVISION_CHANNELS = 3


def build(arch: ArchSpec) -> nn.Module:
    """Build torchvision's ``ResNet``; images [N, in_channels, H, W] give logits [N, num_classes].

    Its constructor knows one width and three input channels. For any other network it makes the outline, without
    memory, and every layer with parameters is then replaced by one of the right size.
    """
    resnet = import_torchvision().models.resnet
    block = resnet.BasicBlock if arch.depth in BASIC else resnet.Bottleneck
    units = UNITS[arch.depth]
    model: nn.Module
    if (arch.width, arch.in_channels) == (TORCHVISION_WIDTH, TORCHVISION_CHANNELS):
        model = resnet.ResNet(block, list(units), num_classes=arch.num_classes)
        return model
    with torch.device("meta"):
        outline = resnet.ResNet(block, list(units), num_classes=arch.num_classes)
    outline.conv1 = nn.Conv2d(arch.in_channels, arch.width, 7, stride=2, padding=3, bias=False)
    outline.bn1 = nn.BatchNorm2d(arch.width)
    outline.inplanes = arch.width
    for stage, count in enumerate(units):
        layer = outline._make_layer(block, arch.width << stage, count, stride=2 if stage else 1)
        setattr(outline, f"layer{stage + 1}", layer)
    outline.fc = nn.Linear((arch.width << (len(units) - 1)) * expansion(arch.depth), arch.num_classes)
    model = outline
    return model


MODELS.register("imagenet-resnet", build)
