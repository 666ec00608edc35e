"""All parameters of a network in one buffer, so that masking, momentum and update are one operation each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ticketkit.encoding import Array
from ticketkit.mask import BoolArray

_CONVOLUTION = 4
"""Dimensions of a convolution's weight."""


class FlatParameters:
    """Moves a module's parameters, their gradients and the mask into one buffer each; the module keeps views.

    Gradients come by ``differentiate`` instead of ``backward``, and the parameters' own ``grad`` stays None: one
    operation gathers them all, where accumulating them takes one each.

    Args:
        model: The module; its parameters are replaced in place.
        masks: See :meth:`set_masks`.

    Attributes:
        values: All parameters.
        gradients: Their gradients.
        mask: Ones where a weight is kept, zeros where it is pruned.
        masked: For each parameter with a mask its part of the buffers, and the number of its kept weights.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, BoolArray] | None = None) -> None:
        parameters = dict(model.named_parameters())
        device = next(iter(parameters.values())).device
        total = sum(parameter.numel() for parameter in parameters.values())
        self.values: nn.Parameter = nn.Parameter(torch.empty(total, device=device))
        self.gradients: Tensor = torch.zeros(total, device=device)
        self.mask: Tensor = torch.ones(total, device=device)
        self.masked: dict[str, tuple[slice, int]] = {}
        self._places: dict[str, tuple[slice, torch.Size]] = {}
        offset = 0
        for name, parameter in parameters.items():
            part = slice(offset, offset + parameter.numel())
            _view(self.values.detach()[part], parameter.shape).copy_(parameter.detach())
            parameter.data = _view(self.values.detach()[part], parameter.shape)
            self._places[name] = part, parameter.shape
            offset = part.stop
        self._parameters = list(parameters.values())
        self.values.grad = self.gradients
        self.set_masks(masks or {})

    def set_masks(self, masks: Mapping[str, BoolArray]) -> None:
        """Take other masks, in place; pruned weights become 0.

        Args:
            masks: Boolean arrays of the prunable parameters, by name; the others are unmasked.
        """
        self.masked = {}
        self.mask.fill_(1)
        for name, (part, shape) in self._places.items():
            if name in masks:
                self.masked[name] = part, int(np.count_nonzero(masks[name]))
                _view(self.mask[part], shape).copy_(torch.from_numpy(masks[name].copy()))
        # Filled, not multiplied: a pruned weight becomes +0, whatever it was.
        self.values.detach().masked_fill_(self.mask == 0, 0)

    def differentiate(self, loss: Tensor) -> None:
        """Compute the gradients of all weights, pruned ones included.

        Args:
            loss: What depends on every parameter, a number.
        """
        found = torch.autograd.grad(loss, self._parameters)
        torch.cat([_flattened(gradient) for gradient in found], out=self.gradients)

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero.

        A weight that is zero, with zero gradient, has zero weight decay and zero momentum: nothing can revive it.
        """
        self.gradients.mul_(self.mask)

    def momentum(self, optimiser: torch.optim.SGD) -> Array:
        """Copy the optimiser's momentum over the flat values; zeros before its first step or without momentum."""
        buffer = optimiser.state[self.values].get("momentum_buffer")
        flat = torch.zeros_like(self.gradients) if buffer is None else buffer
        copied: Array = flat.cpu().numpy().copy()
        return copied

    def set_momentum(self, optimiser: torch.optim.SGD, momentum: Array | None) -> None:
        """Give the optimiser the momentum that another one of the same network had, in place where it has one.

        Args:
            optimiser: The optimiser.
            momentum: The momentum over the flat values; zeros if None.
        """
        if not optimiser.param_groups[0]["momentum"]:
            return
        buffer = optimiser.state[self.values].setdefault("momentum_buffer", torch.zeros_like(self.gradients))
        if momentum is None:
            buffer.zero_()
        else:
            buffer.copy_(torch.from_numpy(momentum.copy()))

    def are_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return bool(torch.isfinite(self.values.detach()).all())

    def pruned_are_zero(self) -> bool:
        """Whether every pruned weight is exactly zero."""
        return not bool(torch.any(self.values.detach()[self.mask == 0]))


def _view(flat: Tensor, shape: torch.Size) -> Tensor:
    """See a slice of the buffer in a parameter's shape; convolution weights channels last, as their images are."""
    if len(shape) != _CONVOLUTION:
        return flat.view(shape)
    out_channels, in_channels, height, width = shape
    return flat.view(out_channels, height, width, in_channels).permute(0, 3, 1, 2)


def _flattened(gradient: Tensor) -> Tensor:
    """A gradient in the buffer's order; without a copy where it lies in memory as its parameter does."""
    return (gradient.permute(0, 2, 3, 1) if gradient.ndim == _CONVOLUTION else gradient).reshape(-1)
