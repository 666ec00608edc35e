"""What a criterion is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ticketkit.encoding import Array
from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.registry import Registry

Criterion = Callable[[Mapping[str, Array], Mask], Mapping[str, Array]]
"""Takes a network's tensors and its mask; gives a score for every prunable weight, in its tensor's shape.

The weights with the lowest scores are pruned. Scores of weights that are pruned already are not looked at.
"""

CRITERIA: Registry[Criterion] = Registry("pruning criterion", "ticketkit.prune", MaskError)
"""The criteria by name; each is one module of this package."""
