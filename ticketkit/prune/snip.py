"""SNIP: the connections to which the loss is least sensitive go (Lee, Ajanthan and Torr, 2019).

With a switch c_j before every weight, the sensitivity of connection j is

    s_j = |∂L(c ⊙ θ) / ∂c_j| at c = 1, which is |θ_j · ∂L/∂θ_j|

("SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019, section 4.1). The paper divides by the
sum over all connections; that changes no rank and is left out. L is the mean cross-entropy over the subject's images,
and the network is in training mode: each batch is normalised by its own statistics, as in the training to come.

ElasticLTH's code (VITA-Group/ElasticLTH, ``pruning/snip_global.py``) has the same score, but takes it in evaluation
mode, with running statistics, over a whole epoch at θ_r.
"""

from __future__ import annotations

import numpy as np

from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.prune.criterion import CRITERIA, Subject
from ticketkit.prune.gradients import check_kept, cross_entropy_of, masked_network, mean_gradient, weighted
from ticketkit.selection import drop_count


def sensitivities(subject: Subject) -> dict[str, Array]:
    """Score each prunable weight by |θ ⊙ ∂L/∂θ|: float32, by name, in its tensor's shape; 0 where pruned.

    Raises:
        MaskError: If there are no images.
    """
    model, weights = masked_network(subject)
    gradients = mean_gradient(subject, list(weights.values()), cross_entropy_of(model))
    return {name: np.abs(score) for name, score in weighted(weights, gradients).items()}


def prune(subject: Subject, kept: int) -> Mask:
    """Keep the connections to which the loss is most sensitive, over all tensors together, in one shot.

    Raises:
        MaskError: If ``kept`` is out of its range, there are no images, or a score is not a number.
    """
    check_kept(subject, kept)
    return drop_count(sensitivities(subject), subject.mask, subject.mask.kept - kept)


CRITERIA.register("snip", prune)
