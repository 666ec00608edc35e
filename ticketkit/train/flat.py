"""All parameters of a network in one buffer, so that masking, momentum and update are one operation each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ticketkit.encoding import Array
from ticketkit.mask import BoolArray


class FlatParameters:
    """Moves a module's parameters, their gradients and the mask into one buffer each; the module keeps views.

    Gradients accumulate in place into the flat buffer, so ``zero_gradients`` must be called instead of the module's or
    the optimiser's ``zero_grad``, which would drop the views.

    Args:
        model: The module; its parameters are replaced in place.
        masks: Boolean arrays of the prunable parameters, by name; the others are unmasked. Pruned weights become 0.

    Attributes:
        values: All parameters.
        gradients: Their gradients.
        mask: Ones where a weight is kept, zeros where it is pruned.
        masked: For each parameter with a mask its part of the buffers, and the number of its kept weights.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, BoolArray]) -> None:
        parameters = dict(model.named_parameters())
        device = next(iter(parameters.values())).device
        total = sum(parameter.numel() for parameter in parameters.values())
        self.values = nn.Parameter(torch.empty(total, device=device))
        self.gradients = torch.zeros(total, device=device)
        self.mask = torch.ones(total, device=device)
        self.masked: dict[str, tuple[slice, int]] = {}
        offset = 0
        for name, parameter in parameters.items():
            end = offset + parameter.numel()
            if name in masks:
                self.masked[name] = slice(offset, end), int(np.count_nonzero(masks[name]))
            with torch.no_grad():
                mask = torch.from_numpy(masks[name].copy()).to(device) if name in masks else torch.tensor(True)
                _view(self.mask[offset:end], parameter.shape).copy_(mask)
                # Selected, not multiplied: a pruned weight becomes +0, whatever it was.
                kept = torch.where(mask.to(device), parameter, 0.0)
                _view(self.values[offset:end], parameter.shape).copy_(kept)
            parameter.data = _view(self.values.detach()[offset:end], parameter.shape)
            parameter.grad = _view(self.gradients[offset:end], parameter.shape)
            offset = end
        self.values.grad = self.gradients

    def zero_gradients(self) -> None:
        """Set all gradients to zero, in place."""
        self.gradients.zero_()

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

    def set_momentum(self, optimiser: torch.optim.SGD, momentum: Array) -> None:
        """Give the optimiser the momentum that another one of the same network had."""
        if optimiser.param_groups[0]["momentum"]:
            buffer = torch.from_numpy(momentum.copy()).to(self.gradients.device)
            optimiser.state[self.values]["momentum_buffer"] = buffer

    def pruned_are_zero(self) -> bool:
        """Whether every pruned weight is exactly zero."""
        return not bool(torch.any(self.values.detach()[self.mask == 0]))


def _view(flat: Tensor, shape: torch.Size) -> Tensor:
    """See a slice of the buffer in a parameter's shape; convolution weights channels last, as their images are."""
    if len(shape) != 4:  # noqa: PLR2004 - a convolution's weight
        return flat.view(shape)
    out_channels, in_channels, height, width = shape
    return flat.view(out_channels, height, width, in_channels).permute(0, 3, 1, 2)
