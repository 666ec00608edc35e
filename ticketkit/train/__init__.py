"""Training: one masked training as a function of network, weights, mask, data, recipe and seed."""

from ticketkit.train.batches import Batches, check_fits
from ticketkit.train.compute import Compute, choose_compute
from ticketkit.train.evaluate import accuracy_of, recalibrate
from ticketkit.train.loop import Progress, Trained, train
from ticketkit.train.streaming import memory_budget

__all__ = [
    "Batches",
    "Compute",
    "Progress",
    "Trained",
    "accuracy_of",
    "check_fits",
    "choose_compute",
    "memory_budget",
    "recalibrate",
    "train",
]
