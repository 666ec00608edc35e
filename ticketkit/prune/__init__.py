"""Pruning criteria, one module each: which weights of a network to keep, given how many."""

from ticketkit.prune.criterion import CRITERIA, Criterion, Subject
from ticketkit.prune.magnitude import magnitudes

__all__ = ["CRITERIA", "Criterion", "Subject", "magnitudes"]
