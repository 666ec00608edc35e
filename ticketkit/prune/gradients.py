"""What criteria that need a gradient share: the network as it stands, and a gradient averaged over all images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ticketkit.encoding import Array
from ticketkit.errors import MaskError
from ticketkit.mask import BoolArray
from ticketkit.models import instantiate
from ticketkit.prune.criterion import Subject

Quantity = Callable[[Tensor, Tensor], Tensor]
"""Takes the images and labels of a batch; gives a number summed over its images, as a tensor with a graph."""


def check_kept(subject: Subject, kept: int) -> None:
    """Refuse to keep more weights than there are, before any work is done.

    Raises:
        MaskError: If ``kept`` is not from 0 to the number of weights that the subject's mask keeps.
    """
    most = subject.mask.kept
    if not 0 <= kept <= most:
        raise MaskError(f"the number of weights to keep must be from 0 to the {most:,} kept (got {kept:,})")


def masked_network(subject: Subject) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """Build the subject's network, its pruned weights zero, in training mode.

    Returns:
        The module, which holds copies on the subject's device, and its prunable weights by name, in the mask's order.
    """
    model = instantiate(subject.arch, subject.mask.applied_to(subject.tensors), subject.device)
    return model.train(), {name: model.get_parameter(name) for name in subject.mask}


def cross_entropy_of(model: nn.Module) -> Quantity:
    """The training loss of a network, summed over a batch."""
    return lambda images, labels: functional.cross_entropy(model(images), labels, reduction="sum")


def mean_gradient(subject: Subject, weights: Sequence[Tensor], quantity: Quantity) -> list[Tensor]:
    """Differentiate the mean of a quantity over all images of the subject's batches.

    Every image weighs the same, whatever the size of its batch. A network in training mode normalises each batch by its
    own statistics.

    Returns:
        The gradient with respect to each weight, in its shape.

    Raises:
        MaskError: If there are no images.
    """
    total = [torch.zeros_like(weight) for weight in weights]
    count = 0
    for images, labels in subject.batches():
        parts = torch.autograd.grad(quantity(images, labels), weights)
        total = [summed + part for summed, part in zip(total, parts, strict=True)]
        count += len(labels)
    if not count:
        raise MaskError("a pruning criterion that needs gradients must be given images (got none)")
    return [summed / count for summed in total]


def as_tensor(mask: BoolArray, device: torch.device | str) -> Tensor:
    """Copy one tensor's mask to a device."""
    return torch.from_numpy(mask.copy()).to(device)


def weighted(weights: Mapping[str, Tensor], gradients: Sequence[Tensor]) -> dict[str, Array]:
    """Multiply each weight by its gradient, and copy the products to where masks live."""
    return {
        name: (weight * gradient).detach().cpu().numpy()
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
