"""SynFlow: the weights through which least flows go, in 100 rounds and without data (Tanaka et al., 2020).

The synaptic flow of a network of L layers and a weight's part in it are

    R = 1ᵀ (∏ |θ^[l]|, l = 1 … L) 1    and    S = ∂R/∂θ ⊙ θ

("Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020, Algorithm 1). R is
the sum over all paths from input to output of the product of the magnitudes along a path, and S the part of it that
goes through a weight. Each round scores what remains and prunes the lowest; after round k of 100 the fraction
d^(k / 100) is left, d being the one wanted in the end.

R is computed as the summed output for an image of ones, with every weight replaced by its magnitude, biases zero and
normalisation the identity; ReLUs and pooling leave such a network homogeneous in each layer. Numbers are float64, since
R is a product over all layers: 10^230 in a ResNet-200. The code of the paper's authors keeps normalisation, in
evaluation mode with the magnitudes of its parameters. At PyTorch's own initialisation that is the identity too; at
others, and at rewind points, it is not, and then R is not the paper's product.

No flow is lost by accident. A round takes away at most the sum of the scores that it prunes; while that is below R,
some flow remains. So the paper proves that no layer is emptied as long as that is possible (Theorem 3, Maximal Critical
Compression). With 100 rounds this nearly always holds, but equal scores can break it: among weights of one magnitude a
round may take a whole layer. Such a round is split into smaller ones. A residual branch may still be emptied at extreme
sparsities; there the flow goes through the shortcut.

What ElasticLTH's code calls SynFlow (VITA-Group/ElasticLTH, ``pruning/synflow_global.py``) is SNIP under another name:
|θ ⊙ ∂L/∂θ| of the cross-entropy on the training images, with signed weights, in one round, in evaluation mode over a
whole epoch at θ_r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ticketkit.encoding import Array
from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.prune.criterion import CRITERIA, Subject
from ticketkit.prune.gradients import as_tensor, check_kept, masked_network, weighted
from ticketkit.selection import drop_count

ROUNDS = 100

LAYER_KINDS = {"conv2d", "linear", "batch_norm"}
"""Layers of which the flow is a product."""

ROUNDING = 1e-9
"""How near to R, relatively, the scores of a whole layer may come by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SynapticFlow:
    """A network made ready to measure its flow under one mask after another.

    Attributes:
        model: The network in float64, all its weights non-negative, without biases or normalisation.
        weights: Its prunable weights by name; a measurement overwrites them.
        magnitudes: |θ| of each of these.
        image: The image of ones, [1, C, H, W].
    """

    model: nn.Module
    weights: dict[str, nn.Parameter]
    magnitudes: dict[str, Tensor]
    image: Tensor

    @classmethod
    def of(cls, subject: Subject) -> Self:
        """Make a subject's network ready; of its images only the shape is used.

        Raises:
            MaskError: If the network has layers of which the flow is not a product, or there is no image.
        """
        if others := sorted({layer.kind for layer in subject.arch.layers()} - LAYER_KINDS):
            raise MaskError(
                f"synflow must be given a network of convolutions, linear layers and batch normalisation "
                f"(got {subject.arch.short_name} with {', '.join(others)})"
            )
        batch = next(iter(subject.batches()), None)
        if batch is None:
            raise MaskError("synflow must be given an image for its shape (got none)")
        model, weights = masked_network(subject)
        _linearise(model)
        return cls(
            model=model,
            weights=weights,
            magnitudes={name: weight.detach().clone() for name, weight in weights.items()},
            image=torch.ones(1, *batch[0].shape[1:], dtype=torch.float64, device=subject.device),
        )

    def measure(self, mask: Mask) -> tuple[float, dict[str, Array]]:
        """Compute R and S under a mask.

        Returns:
            R, and S by tensor name, each in its tensor's shape: float64, not negative, 0 where the mask prunes.

        Raises:
            MaskError: If R is beyond float64.
        """
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(self.magnitudes[name] * as_tensor(mask[name], weight.device))
        total = self.model(self.image).sum()
        flow = total.item()
        if not math.isfinite(flow):
            raise MaskError(f"the synaptic flow must be finite, in float64 (got {flow})")
        return flow, weighted(self.weights, torch.autograd.grad(total, list(self.weights.values())))


def prune(subject: Subject, kept: int) -> Mask:
    """Keep the weights through which most flows, over all tensors together, in 100 rounds.

    Raises:
        MaskError: If ``kept`` is out of its range, the network has layers of which the flow is not a product (layer
            normalisation, attention), there is no image, or R is beyond float64.
    """
    check_kept(subject, kept)
    flow = SynapticFlow.of(subject)
    mask = subject.mask
    for target in schedule(mask.kept, kept):
        while mask.kept > target:
            mask = _drop_towards(target, mask, *flow.measure(mask))
    return mask


def schedule(start: int, kept: int) -> list[int]:
    """Say how many weights are left after each round: start · (kept / start)^(k / 100), rounded; none if none are."""
    if not start:
        return []
    return [round(start * (kept / start) ** (number / ROUNDS)) for number in range(1, ROUNDS)] + [kept]


def _drop_towards(target: int, mask: Mask, flow: float, scores: dict[str, Array]) -> Mask:
    """Prune down to the target, or only part of the way if no flow might be left."""
    count = mask.kept - target
    while True:
        pruned = drop_count(scores, mask, count)
        lost = sum(float(np.sum(scores[name][mask[name] & ~pruned[name]])) for name in mask)
        if lost < flow * (1 - ROUNDING) or flow == 0 or count == 1:
            return pruned
        count //= 2


def _linearise(model: nn.Module) -> None:
    model.double()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.abs_()


CRITERIA.register("synflow", prune)
