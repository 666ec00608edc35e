"""Magnitude: the smallest weights go (Han et al., 2015; Frankle and Carbin, 2019)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.prune.criterion import CRITERIA


def magnitude(tensors: Mapping[str, Array], mask: Mask) -> dict[str, Array]:
    """Score each weight by its absolute value."""
    return {name: np.abs(tensors[name]) for name in mask}


CRITERIA.register("magnitude", magnitude)
