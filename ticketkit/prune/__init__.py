"""Pruning: a criterion scores the weights, and the lowest scores go."""

from ticketkit.prune.criterion import CRITERIA, Criterion
from ticketkit.prune.select import drop_lowest

__all__ = ["CRITERIA", "Criterion", "drop_lowest"]
