"""The torch module of ``ticketkit.arch.mlp``."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.arch.mlp import runs_of
from ticketkit.models.build import MODELS


class MLP(nn.Module):
    """Linear layers with ReLUs between them; images are flattened."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        widths = [arch.in_channels, *(width for width, count in runs_of(arch) for _ in range(count))]
        self.fc_layers: nn.ModuleList = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.fc: nn.Linear = nn.Linear(widths[-1], arch.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, C, H, W], of C·H·W = in_channels numbers, to logits [N, num_classes]."""
        features = images.flatten(1)
        for layer in self.fc_layers:
            features = functional.relu(layer(features))
        logits: torch.Tensor = self.fc(features)
        return logits


MODELS.register("mlp", MLP)
