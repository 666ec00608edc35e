"""From scores to a mask: how many weights go, and which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ticketkit.encoding import Array
from ticketkit.errors import MaskError
from ticketkit.mask import Mask


def drop_lowest(scores: Mapping[str, Array], mask: Mask, fraction: float) -> Mask:
    """Prune a fraction of the remaining weights, those with the lowest scores over all tensors together.

    Exactly ``round(fraction · kept)`` weights go (a half rounds to even). Of equal scores the earlier weight goes
    first, in the order of the mask's tensors and of their elements.

    Args:
        scores: A score for every weight, by tensor name, in its tensor's shape.
        mask: The weights that remain.
        fraction: How many of them go, in [0, 1].

    Returns:
        A mask within ``mask``.

    Raises:
        MaskError: If the fraction is out of its range, or a score of a remaining weight is not a number.
    """
    if not 0 <= fraction <= 1:
        raise MaskError(f"the fraction of weights to prune must be in [0, 1] (got {fraction})")
    return drop_count(scores, mask, round(fraction * mask.kept))


def drop_count(scores: Mapping[str, Array], mask: Mask, count: int) -> Mask:
    """Prune a number of the remaining weights; see :func:`drop_lowest`.

    Raises:
        MaskError: If fewer weights remain, or a score of a remaining weight is not a number.
    """
    if not 0 <= count <= mask.kept:
        raise MaskError(f"the number of weights to prune must be from 0 to the {mask.kept:,} kept (got {count:,})")
    remaining = np.concatenate([scores[name][kept] for name, kept in mask.items()])
    if np.isnan(remaining).any():
        raise MaskError(f"scores must be numbers (got {int(np.isnan(remaining).sum()):,} NaN)")
    dropped = np.argsort(remaining, kind="stable")[:count]
    survives = np.ones(remaining.size, dtype=np.bool_)
    survives[dropped] = False
    arrays = {}
    start = 0
    for name, kept in mask.items():
        pruned = kept.copy()
        end = start + int(np.count_nonzero(kept))
        pruned[kept] = survives[start:end]
        arrays[name] = pruned
        start = end
    return Mask(arrays)
