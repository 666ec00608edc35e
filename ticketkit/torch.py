"""Tickets in a training loop of your own: weights and masks into your model, and a ticket out of it.

The masks stay with you, as plain tensors: nothing is hooked into the model, which copies and pickles as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ticketkit.arch import ArchSpec
from ticketkit.errors import MaskError
from ticketkit.interop.assemble import fit_arch
from ticketkit.provenance import Provenance, Results, Weights
from ticketkit.ticket import Ticket

__all__ = ["apply", "ticket_from_model"]


def apply(ticket: Ticket, model: nn.Module) -> dict[str, torch.Tensor]:
    """Load a ticket's weights into a model, zeros where pruned, and give its masks.

    The model keeps its device and element types. To stay sparse while it trains, multiply each masked weight with its
    mask after every optimiser step::

        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)  # parameters = dict(model.named_parameters())

    Args:
        ticket: The ticket.
        model: A module whose ``state_dict`` has the names and shapes of the ticket's network.

    Returns:
        For each prunable tensor's name a boolean tensor of its shape on its device, True where a weight is kept.

    Raises:
        MaskError: If the model has other tensors than the ticket; it is then as it was.
    """
    own = model.state_dict()
    name = ticket.arch.name
    if missing := ticket.stored.keys() - own.keys():
        raise MaskError(f"a model must have every tensor of {name} ({min(missing)} is missing)")
    if unknown := own.keys() - ticket.stored.keys():
        raise MaskError(f"a model must have the tensors of {name} only (got {min(unknown)})")
    for tensor, stored in ticket.stored.items():
        if tuple(own[tensor].shape) != stored.shape:
            raise MaskError(f"{tensor} of the model must have shape {stored.shape} (got {tuple(own[tensor].shape)})")
    model.load_state_dict({tensor: torch.from_numpy(stored.decode()) for tensor, stored in ticket.stored.items()})
    return {tensor: torch.from_numpy(mask.copy()).to(own[tensor].device) for tensor, mask in ticket.mask.items()}


def ticket_from_model(
    model: nn.Module,
    masks: Mapping[str, Any],
    arch: ArchSpec | str,
    *,
    weights: Weights | None = None,
    provenance: Provenance | None = None,
    results: Results | None = None,
) -> Ticket:
    """Make a ticket of a model and its masks: :meth:`Ticket.from_model`, with a name fitted to the model.

    Args:
        model: A module whose ``state_dict`` has the network's tensors, on any device.
        masks: For each masked tensor's name a tensor of its shape, ones or True where a weight is kept.
        arch: The network, or its name; a name gets the model's number of classes and input channels.
        weights: Which weights these are; ``final``, of no particular step, if not given.
        provenance: How they came to be; the method ``custom`` and no more if not given.
        results: What was measured with them.

    Raises:
        ArchError: If there is no network of this name.
        MaskError: If model, masks and network do not fit each other.
    """
    if isinstance(arch, str):
        arch = fit_arch(arch, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    return Ticket.from_model(model, masks, arch, weights=weights, provenance=provenance, results=results)
