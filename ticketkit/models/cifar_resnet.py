"""The torch module of ``ticketkit.arch.cifar_resnet``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.arch.cifar_resnet import STAGE_WIDTHS, units_per_stage
from ticketkit.models.build import MODELS


class PadShortcut(nn.Module):
    """He's option A: every second pixel, and zeros for the channels that are new."""

    def __init__(self, new_channels: int) -> None:
        super().__init__()
        self.new_channels = new_channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [N, C, H, W] to [N, C + new_channels, ⌈H/2⌉, ⌈W/2⌉]."""
        return functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new_channels))


class Block(nn.Module):
    """A basic block: two 3×3 convolutions with normalisation, and a shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, *, pad_shortcut: bool) -> None:
        super().__init__()
        stride = 1 if in_channels == out_channels else 2
        self.conv1: nn.Conv2d = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1: nn.BatchNorm2d = nn.BatchNorm2d(out_channels)
        self.conv2: nn.Conv2d = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2: nn.BatchNorm2d = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module
        if in_channels == out_channels:
            self.shortcut = nn.Identity()
        elif pad_shortcut:
            self.shortcut = PadShortcut(out_channels - in_channels)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, H', W'], H' half of H where the channels double."""
        residual = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        residual = self.bn2(self.conv2(residual))
        return functional.relu(residual.add_(self.shortcut(images)), inplace=True)


class CifarResNet(nn.Module):
    """Stem, three stages of basic blocks, global average pooling and a linear layer; any image size works."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(arch.in_channels, arch.width, 3, padding=1, bias=False)
        self.bn: nn.BatchNorm2d = nn.BatchNorm2d(arch.width)
        blocks: list[nn.Module] = []
        channels = arch.width
        for multiple in STAGE_WIDTHS:
            for _ in range(units_per_stage(arch.depth)):
                blocks.append(Block(channels, multiple * arch.width, pad_shortcut=arch.variant == "pad"))
                channels = multiple * arch.width
        self.blocks: nn.Sequential = nn.Sequential(*blocks)
        self.fc: nn.Linear = nn.Linear(channels, arch.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, in_channels, H, W] to logits [N, num_classes]."""
        features = functional.relu(self.bn(self.conv(images)), inplace=True)
        features = self.blocks(features).mean(dim=(2, 3))
        logits: torch.Tensor = self.fc(features)
        return logits


MODELS.register("cifar-resnet", CifarResNet)
