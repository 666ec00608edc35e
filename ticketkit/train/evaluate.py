"""Test accuracy, and running statistics that fit the network they are in."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from ticketkit.train.batches import Batches
from ticketkit.train.compute import Compute

TOP5_FROM = 20
"""The least number of classes for which the five likeliest say something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How well a network classifies the test images.

    Attributes:
        accuracy: Fraction whose class is the likeliest, in [0, 1].
        top5: Fraction whose class is among the five likeliest; None for less than 20 classes.
    """

    accuracy: float
    top5: float | None


def evaluate(model: nn.Module, batches: Batches, compute: Compute) -> Scores:
    """Classify the test images, with the running statistics that the network holds.

    A ticket that was stretched holds the statistics of its source, which do not fit it: recalibrate first.
    """
    was_training = model.training
    model.eval()
    tells_top5 = batches.data.num_classes >= TOP5_FROM
    first = torch.zeros((), dtype=torch.int64, device=compute.device)
    among_five = first.clone()
    count = 0
    with torch.no_grad(), autocast(compute):
        for images, labels in batches.test():
            logits = model(images)
            first += (logits.argmax(dim=1) == labels).sum()
            if tells_top5:
                among_five += (logits.topk(5, dim=1).indices == labels[:, None]).sum()
            count += len(labels)
    model.train(was_training)
    return Scores(accuracy=int(first) / count, top5=int(among_five) / count if tells_top5 else None)


def accuracy_of(model: nn.Module, batches: Batches, compute: Compute) -> float:
    """Test accuracy in [0, 1], in evaluation mode."""
    return evaluate(model, batches, compute).accuracy


def recalibrate(model: nn.Module, batches: Batches, compute: Compute, *, images: int = 4_096) -> nn.Module:
    """Give a copy of a network the running statistics of its own activations.

    Every normalisation's running mean and variance become the averages over one pass of training images, without
    augmentation. The network itself stays as it is.

    Args:
        model: The network.
        batches: The data.
        compute: Where to compute.
        images: How many training images to pass; fewer if there are fewer.
    """
    copied = copy.deepcopy(model).train()
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average over the pass instead of a moving one
    with torch.no_grad(), autocast(compute):
        for batch, _ in batches.train_in_order(images):
            copied(batch)
    for module, original in zip(copied.modules(), model.modules(), strict=True):
        if isinstance(module, nn.BatchNorm2d) and isinstance(original, nn.BatchNorm2d):
            module.momentum = original.momentum
    return copied


def autocast(compute: Compute) -> torch.autocast:
    """The context in which the network's forward pass runs."""
    return torch.autocast(compute.device.partition(":")[0], torch.bfloat16, enabled=compute.precision == "bf16")
