"""The torch module of ``ticketkit.arch.vgg``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.arch.vgg import STAGE_WIDTHS, UNITS, hidden_layers
from ticketkit.models.build import MODELS


class Convolution(nn.Module):
    """A 3×3 convolution with bias, its normalisation, and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.bn: nn.BatchNorm2d = nn.BatchNorm2d(out_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, H, W]."""
        return functional.relu(self.bn(self.conv(images)), inplace=True)


class VGG(nn.Module):
    """Five stages of convolutions, a pooling between each two, and linear layers; any image size works.

    For 32×32 images the average over what is left, 2×2, is open_lth's. A pooling halves upwards, so that images below
    16×16 do not vanish on the way.
    """

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = arch.in_channels
        for stage, count in enumerate(UNITS[arch.depth]):
            if stage:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for _ in range(count):
                layers.append(Convolution(channels, STAGE_WIDTHS[stage] * arch.width))
                channels = STAGE_WIDTHS[stage] * arch.width
        self.layers: nn.Sequential = nn.Sequential(*layers)
        hidden = [(nn.Linear(channels, channels), nn.ReLU()) for _ in range(hidden_layers(arch))]
        self.classifier: nn.Sequential = nn.Sequential(*(module for pair in hidden for module in pair))
        self.fc: nn.Linear = nn.Linear(channels, arch.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, in_channels, H, W] to logits [N, num_classes]."""
        features = self.layers(images).mean(dim=(2, 3))
        logits: torch.Tensor = self.fc(self.classifier(features))
        return logits


MODELS.register("vgg", VGG)
