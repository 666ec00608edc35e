"""A ticket's weights and masks into a model, and a ticket out of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ticketkit.arch import ArchSpec
from ticketkit.errors import MaskError
from ticketkit.interop.assemble import fit_arch
from ticketkit.provenance import Provenance, Results, Weights
from ticketkit.ticket import Ticket
from ticketkit.torch.names import plain_name, plain_state, unwrapped

Names = Mapping[str, str]
"""What a model calls the tensors of a network: its ``state_dict`` names by those of the network, where they differ."""


def apply(ticket: Ticket, model: nn.Module, *, names: Names | None = None) -> dict[str, Tensor]:
    """Load a ticket's weights into a model, zeros where pruned, and give its masks.

    The model keeps its device and element types. To keep it sparse while it trains, take
    :class:`~ticketkit.Masked`, or multiply each masked weight with its mask after every optimiser step yourself.

    Args:
        ticket: The ticket.
        model: A module whose ``state_dict`` has the shapes of the ticket's network, and its names but for ``names``.
        names: What the model calls the ticket's tensors, where the names differ.

    Returns:
        For each prunable tensor, by the model's name, a boolean tensor of its shape on its device, True where a weight
        is kept.

    Raises:
        MaskError: If the model has other tensors than the ticket; it is then as it was.
    """
    root = unwrapped(model)
    own = plain_state(root)
    called = model_names(ticket.arch, own, names)
    for tensor, stored in ticket.stored.items():
        found = tuple(own[called[tensor]].shape)
        if found != stored.shape:
            raise MaskError(f"{called[tensor]} of the model must have shape {stored.shape} (got {found})")
    as_wrapped = {plain_name(name): name for name in root.state_dict()}
    root.load_state_dict(
        {as_wrapped[called[name]]: torch.from_numpy(stored.decode()) for name, stored in ticket.stored.items()}
    )
    return {
        called[name]: torch.from_numpy(mask.copy()).to(own[called[name]].device) for name, mask in ticket.mask.items()
    }


def ticket_from_model(
    model: nn.Module,
    masks: Mapping[str, Any],
    arch: ArchSpec | str,
    *,
    names: Names | None = None,
    weights: Weights | None = None,
    provenance: Provenance | None = None,
    results: Results | None = None,
) -> Ticket:
    """Make a ticket of a model and its masks: :meth:`ticketkit.Ticket.from_model`, with a name fitted to the model.

    Args:
        model: A module whose ``state_dict`` has the network's tensors, on any device. What ``compile``,
            ``DistributedDataParallel`` and others wrap around it is seen through. bfloat16 becomes float32.
        masks: For each masked tensor, by the model's name, a tensor of its shape, ones or True where a weight is kept.
        arch: The network, or its name; a name gets the model's number of classes and input channels.
        names: What the model calls the network's tensors, where the names differ.
        weights: Which weights these are; ``final``, of no particular step, if not given.
        provenance: How they came to be; the method ``custom`` and no more if not given.
        results: What was measured with them.

    Raises:
        ArchError: If there is no network of this name.
        MaskError: If model, masks and network do not fit each other.
    """
    state = plain_state(model)
    theirs = {called: name for name, called in (names or {}).items()}
    renamed = {theirs.get(called, called): tensor for called, tensor in state.items()}
    if isinstance(arch, str):
        arch = fit_arch(arch, {name: tuple(tensor.shape) for name, tensor in renamed.items()})
    model_names(arch, state, names)
    return Ticket.from_model(
        _Holding({name: _of_numpys_types(tensor) for name, tensor in renamed.items()}),
        {theirs.get(called, called): mask for called, mask in masks.items()},
        arch,
        weights=weights,
        provenance=provenance,
        results=results,
    )


def model_names(arch: ArchSpec, own: Mapping[str, Tensor], names: Names | None) -> dict[str, str]:
    """What a model calls each tensor of a network.

    Args:
        arch: The network.
        own: The model's tensors by their names.
        names: The names that differ.

    Raises:
        MaskError: If the model has other tensors than the network, or ``names`` names none of the network's.
    """
    known = [entry.name for entry in arch.state()]
    if strange := (names or {}).keys() - set(known):
        raise MaskError(f"names must be of tensors of {arch.name} (got {min(strange)})")
    called = {name: (names or {}).get(name, name) for name in known}
    if missing := set(called.values()) - own.keys():
        raise MaskError(f"a model must have every tensor of {arch.name} ({min(missing)} is missing)")
    if unknown := own.keys() - set(called.values()):
        raise MaskError(f"a model must have the tensors of {arch.name} only (got {min(unknown)})")
    if len(set(called.values())) < len(called):
        raise MaskError(f"names must give each tensor of {arch.name} a tensor of its own (two share one)")
    return called


def _of_numpys_types(tensor: Tensor) -> Tensor:
    """A tensor of a type that numpy has too; float32 holds every bfloat16 exactly."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


class _Holding:
    """Tensors as :meth:`ticketkit.Ticket.from_model` takes them."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def state_dict(self) -> Mapping[str, Tensor]:
        return self._tensors
