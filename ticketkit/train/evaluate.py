"""Test accuracy, and running statistics that fit the network they are in."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ticketkit.train.batches import Batches
from ticketkit.train.compute import Compute


def accuracy_of(model: nn.Module, batches: Batches, compute: Compute) -> float:
    """Test accuracy in [0, 1], with the running statistics that the network holds.

    A ticket that was stretched holds the statistics of its source, which do not fit it: recalibrate first.
    """
    was_training = model.training
    model.eval()
    correct: Tensor | int = 0
    count = 0
    with torch.no_grad(), autocast(compute):
        for images, labels in batches.test():
            correct = correct + (model(images).argmax(dim=1) == labels).sum()
            count += len(labels)
    model.train(was_training)
    return int(correct) / count


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
