"""The torch module of ``ticketkit.arch.mobilenetv1``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.arch.mobilenetv1 import parts
from ticketkit.models.build import MODELS


class Block(nn.Module):
    """A depthwise-separable block: a 3×3 convolution of each channel alone, then a 1×1 convolution of all."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1: nn.Conv2d = nn.Conv2d(
            in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False
        )
        self.bn1: nn.BatchNorm2d = nn.BatchNorm2d(in_channels)
        self.conv2: nn.Conv2d = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2: nn.BatchNorm2d = nn.BatchNorm2d(out_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]."""
        images = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        return functional.relu(self.bn2(self.conv2(images)), inplace=True)


class MobileNetV1(nn.Module):
    """Stem, depthwise-separable blocks, global average pooling and a linear layer; any image size works."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(arch.in_channels, arch.width, 3, padding=1, bias=False)
        self.bn: nn.BatchNorm2d = nn.BatchNorm2d(arch.width)
        channels = arch.width
        blocks: list[nn.Sequential] = []
        for part in parts(arch):
            blocks.append(nn.Sequential())
            for multiple, stride in part:
                blocks[-1].append(Block(channels, multiple * arch.width, stride))
                channels = multiple * arch.width
        self.layers_part1: nn.Sequential = blocks[0]
        self.layers_part2: nn.Sequential = blocks[1]
        self.layers_part3: nn.Sequential = blocks[2]
        self.fc: nn.Linear = nn.Linear(channels, arch.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, in_channels, H, W] to logits [N, num_classes]."""
        features = functional.relu(self.bn(self.conv(images)), inplace=True)
        features = self.layers_part3(self.layers_part2(self.layers_part1(features)))
        logits: torch.Tensor = self.fc(features.mean(dim=(2, 3)))
        return logits


MODELS.register("mobilenetv1", MobileNetV1)
