"""The torch module of ``ticketkit.arch.vit``."""

from __future__ import annotations

import torch
from torch import nn

from ticketkit.arch import ArchSpec
from ticketkit.arch.vit import MLP_RATIO, heads, patch_and_image
from ticketkit.models.build import MODELS
from ticketkit.torchvision_compat import import_torchvision


class ClassToken(nn.Module):
    """The learnt token that gathers what the output layer sees; a module, so that its tensor has a layer's name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight: nn.Parameter = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Put the token before the patches: [N, L, width] to [N, L + 1, width]."""
        return torch.cat([self.weight.expand(len(patches), -1, -1), patches], dim=1)


class VisionTransformer(nn.Module):
    """Patches, a class token, torchvision's encoder, and a linear layer."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        patch, image = patch_and_image(arch.variant)
        self.conv_proj: nn.Conv2d = nn.Conv2d(arch.in_channels, arch.width, patch, stride=patch)
        self.class_token: ClassToken = ClassToken(arch.width)
        self.encoder: nn.Module = import_torchvision().models.vision_transformer.Encoder(
            seq_length=(image // patch) ** 2 + 1,
            num_layers=arch.depth,
            num_heads=heads(arch.width),
            hidden_dim=arch.width,
            mlp_dim=MLP_RATIO * arch.width,
            dropout=0.0,
            attention_dropout=0.0,
        )
        self.head: nn.Linear = nn.Linear(arch.width, arch.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, in_channels, H, W], of the variant's height and width, to logits [N, num_classes]."""
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        features = self.encoder(self.class_token(patches))
        logits: torch.Tensor = self.head(features[:, 0])
        return logits

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw initial weights as torchvision does, which is not as it does for its convolutional networks.

        Attention and hidden layers are Xavier uniform, patches truncated normal, positions normal with deviation 0.02;
        the class token, the output layer and nearly all biases are zero, normalisation is the identity.
        """
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.MultiheadAttention):
                nn.init.xavier_uniform_(module.in_proj_weight, generator=generator)
                nn.init.zeros_(module.in_proj_bias)
                nn.init.kaiming_uniform_(module.out_proj.weight, a=5**0.5, generator=generator)
                nn.init.zeros_(module.out_proj.bias)
        for name, module in self.encoder.named_modules():
            if isinstance(module, nn.Linear) and ".mlp." in name:
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.normal_(module.bias, std=1e-6, generator=generator)
        fan_in = self.conv_proj.weight[0].numel()
        nn.init.trunc_normal_(self.conv_proj.weight, std=fan_in**-0.5, generator=generator)
        nn.init.normal_(self.encoder.get_parameter("pos_embedding"), std=0.02, generator=generator)
        for constant in (self.conv_proj.bias, self.class_token.weight, self.head.weight, self.head.bias):
            if constant is not None:
                nn.init.zeros_(constant)


MODELS.register("vit", VisionTransformer)
