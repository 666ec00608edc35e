"""GraSP: the weights without which the gradient flow is strongest go (Wang, Zhang and Grosse, 2020).

A step along the gradient g lowers the loss at the rate ‖g‖². Moving the weights by δ changes that rate by

    2 · S(δ) + O(‖δ‖²), where S(δ) = δᵀ H g

and H is the loss's Hessian. Removing weight j alone, δ = −θ_j e_j, changes it by twice S(−θ)_j = −θ_j · (H g)_j, hence
the scores S(−θ) = −θ ⊙ H g ("Picking winning tickets before training by preserving gradient flow", ICLR 2020). The
weights with the *highest* S go: without them the flow shrinks least, or even grows. The sign matters; |S| alone says
nothing. Elsewhere in ticketkit the lowest scores go, so the score here is −S(−θ) = θ ⊙ H g.

As in the paper's algorithm, g is first computed over all images and held constant; then ⟨g, ∂L_b/∂θ⟩ is differentiated
batch by batch and added up. L is the mean cross-entropy; g and H are those of the prunable weights that remain, without
biases and normalisation. The network is in training mode: each batch is normalised by its own statistics.

Where other code departs: that of GraSP's authors divides the logits by a temperature of 200, while this follows the
paper's formula, which has none. ElasticLTH's (VITA-Group/ElasticLTH, ``pruning/grasp_global.py``) divides them too, and
drops the sign: the lowest |θ ⊙ H g| go. It works in evaluation mode, over a whole epoch at θ_r.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.prune.criterion import CRITERIA, Subject
from ticketkit.prune.gradients import (
    as_tensor,
    check_kept,
    cross_entropy_of,
    masked_network,
    mean_gradient,
    weighted,
)
from ticketkit.selection import drop_count


def flow_scores(subject: Subject) -> dict[str, Array]:
    """Score each prunable weight by θ ⊙ H g: float32 of either sign, by name, in its tensor's shape; 0 where pruned.

    Raises:
        MaskError: If there are no images.
    """
    model, named = masked_network(subject)
    weights = list(named.values())
    loss = cross_entropy_of(model)
    with sdpa_kernel(SDPBackend.MATH):  # attention's fused kernels have no second derivative
        gradient = [
            part * as_tensor(mask, part.device)
            for part, mask in zip(mean_gradient(subject, weights, loss), subject.mask.values(), strict=True)
        ]

        def along_gradient(images: Tensor, labels: Tensor) -> Tensor:
            parts = torch.autograd.grad(loss(images, labels), weights, create_graph=True)
            return torch.stack([(fixed * part).sum() for fixed, part in zip(gradient, parts, strict=True)]).sum()

        products = mean_gradient(subject, weights, along_gradient)
    return weighted(named, products)


def prune(subject: Subject, kept: int) -> Mask:
    """Keep the weights whose removal would cost the most gradient flow, over all tensors together, in one shot.

    Raises:
        MaskError: If ``kept`` is out of its range, there are no images, or a score is not a number.
    """
    check_kept(subject, kept)
    return drop_count(flow_scores(subject), subject.mask, subject.mask.kept - kept)


CRITERIA.register("grasp", prune)
