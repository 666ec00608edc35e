"""From an architecture or a ticket to a torch module, and back to arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.errors import ArchError
from ticketkit.registry import Registry
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket

Tensors = Mapping[str, Array]


@runtime_checkable
class DrawsItsWeights(Protocol):
    """A network whose initial weights are not drawn as the authors' code draws those of convolutional networks."""

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw every parameter in place, from this generator alone."""


@runtime_checkable
class BeginsItself(Protocol):
    """A builder whose networks begin as their own constructors leave them, weights and all."""

    def __call__(self, arch: ArchSpec) -> nn.Module:
        """Build a network on the current default device."""

    def begun(self, arch: ArchSpec, seed: int) -> nn.Module:
        """Build a network on the CPU, every random number drawn from this seed, and leave no trace elsewhere."""


MODELS: Registry[Callable[[ArchSpec], nn.Module] | BeginsItself] = Registry(
    "model family", "ticketkit.models", ArchError
)


def build_model(arch: ArchSpec) -> nn.Module:
    """Build a network, initialised as PyTorch does by default.

    Its ``state_dict`` has the names, shapes and order of ``arch.state()``.

    Examples:
        >>> model = ticketkit.build_model(ticketkit.parse_arch("resnet20"))
        >>> sum(parameter.numel() for parameter in model.parameters())
        272474
    """
    return MODELS[arch.family](arch)


def instantiate(arch: ArchSpec, tensors: Tensors, device: torch.device | str = "cpu") -> nn.Module:
    """Build a network that holds copies of the given tensors, without drawing any random number.

    Args:
        arch: The network.
        tensors: Every tensor of its ``state_dict``.
        device: Where the network is to live.

    Raises:
        RuntimeError: (torch's) if a tensor is missing, unknown or of another shape.
    """
    model = build_empty(arch, device)
    load_tensors(model, tensors)
    return model


def build_empty(arch: ArchSpec, device: torch.device | str = "cpu") -> nn.Module:
    """Build a network whose tensors hold whatever was in memory, without drawing any random number."""
    builder = MODELS[arch.family]
    if isinstance(builder, BeginsItself):  # it may hold more than its tensors, which memory would not give
        return builder.begun(arch, 0).to(device)
    with torch.device("meta"):
        model = build_model(arch)
    model.to_empty(device=device)
    return model


def load_tensors(model: nn.Module, tensors: Tensors) -> None:
    """Copy tensors into a network, in place.

    Args:
        model: The network, on any device.
        tensors: Every tensor of its ``state_dict``.

    Raises:
        RuntimeError: (torch's) if a tensor is missing, unknown or of another shape.
    """
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})


def export_tensors(model: nn.Module) -> dict[str, Array]:
    """Copy a network's ``state_dict`` into numpy arrays."""
    return {name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in model.state_dict().items()}


def load_model(ticket: Ticket) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Build a ticket's network with its weights, zeros where pruned, and its masks.

    Returns:
        The module, and for each prunable tensor's name a boolean tensor, True where a weight is kept. Multiply the
        weights' gradients with it before each optimiser step, or the weights after, to keep the network sparse.

    Examples:
        >>> model, masks = ticketkit.load_model(ticketkit.load_ticket("resnet20.st"))
        >>> masked = ticketkit.Masked(model, masks)
        >>> masked.holds()
        True
    """
    model = instantiate(ticket.arch, ticket.tensors)
    return model, {name: torch.from_numpy(mask.copy()) for name, mask in ticket.mask.items()}


def initialise(arch: ArchSpec, seed: int) -> dict[str, Array]:
    """Draw a network's initial weights, as the authors' code does.

    Convolution and linear weights are Kaiming normal, their biases PyTorch's default (uniform within 1/√fan-in);
    normalisation weights are uniform in [0, 1], their biases 0 (open_lth, ``models/initializers.py`` and
    ``models/bn_initializers.py``). A network with rules of its own, a transformer, draws its weights itself, and one
    that ``register_network`` made known begins as its constructor leaves it. The draw depends on the seed and the order
    of the network's tensors alone.
    """
    builder = MODELS[arch.family]
    if isinstance(builder, BeginsItself):
        return export_tensors(builder.begun(arch, derive_seed(seed, "initialisation")))
    model = build_empty(arch)
    generator = torch.Generator().manual_seed(derive_seed(seed, "initialisation"))
    with torch.no_grad():
        if isinstance(model, DrawsItsWeights):
            model.draw_weights(generator)
            return export_tensors(model)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, generator=generator)
                if module.bias is not None:
                    fan_in, _ = nn.init._calculate_fan_in_and_fan_out(module.weight)
                    nn.init.uniform_(module.bias, -(fan_in**-0.5), fan_in**-0.5, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                nn.init.uniform_(module.weight, 0, 1, generator=generator)
                nn.init.zeros_(module.bias)
    return export_tensors(model)
