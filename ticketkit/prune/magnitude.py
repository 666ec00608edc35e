"""Magnitude: the smallest weights go (Han et al., 2015; Frankle and Carbin, 2019)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.prune.criterion import CRITERIA, Subject
from ticketkit.selection import drop_count


def magnitudes(tensors: Mapping[str, Array], mask: Mask) -> dict[str, Array]:
    """Score each prunable weight by its absolute value."""
    return {name: np.abs(tensors[name]) for name in mask}


def prune(subject: Subject, kept: int) -> Mask:
    """Keep the largest weights, over all tensors together."""
    return drop_count(magnitudes(subject.tensors, subject.mask), subject.mask, subject.mask.kept - kept)


CRITERIA.register("magnitude", prune)
