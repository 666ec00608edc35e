"""Pruning criteria, one module each: what scores the weights. ``ticketkit.selection`` makes a mask of the scores."""

from ticketkit.prune.criterion import CRITERIA, Criterion

__all__ = ["CRITERIA", "Criterion"]
