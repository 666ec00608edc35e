"""Batch normalisation over the parts of a batch that several ranks hold.

Each rank normalising by the statistics of its own part would make a ticket depend on the number of ranks, and a small
part's statistics are poor. On CUDA PyTorch's ``SyncBatchNorm`` does what is needed; it knows no other device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ticketkit.train.distributed import Group


def synchronise(model: nn.Module, group: Group) -> nn.Module:
    """Let every batch normalisation of a network see the whole batch; names and tensors stay.

    Args:
        model: The network, on its device; changed in place.
        group: The ranks; a network of one alone stays as it is.
    """
    if group.size == 1:
        return model
    if next(model.parameters()).is_cuda:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _SynchronisedBatchNorm2d(child, group))
    return model


class _SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation that takes over another one's tensors. All ranks must hold equally many images."""

    def __init__(self, original: nn.BatchNorm2d, group: Group) -> None:
        super().__init__(original.num_features, original.eps, original.momentum, device="meta")
        self.train(original.training)
        self._parameters.update(original._parameters)
        self._buffers.update(original._buffers)
        self._group = group

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        if not self.training:
            return super().forward(input)
        # Under autocast they come in bfloat16; torch too sums in float32 at least.
        images = input.to(torch.promote_types(input.dtype, torch.float32))
        own_variance, own_mean = torch.var_mean(images, dim=(0, 2, 3), correction=0)
        means, variances = _gathered(torch.stack([own_mean, own_variance]), self._group).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._follow(mean, variance, count=self._group.size * images.numel() // self.num_features)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return ((images - _per_channel(mean)) * _per_channel(scale) + _per_channel(self.bias)).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; the running variance is the unbiased one of ``count`` values a channel."""
        unbiased = variance * (count / max(count - 1, 1))
        for running, seen in ((self.running_mean, mean), (self.running_var, unbiased)):
            if running is not None and self.momentum is not None:  # torch's own may lack them, ours do not
                running.lerp_(seen, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def _per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]


class _Gathered(torch.autograd.Function):
    """The values of all ranks. What a rank gives enters every rank's loss, so its gradient is the sum over them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group.gathered(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        averaged = gradients[0].clone()
        ctx.group.average(averaged)
        return averaged[ctx.group.rank] * ctx.group.size, None


def _gathered(values: Tensor, group: Group) -> Tensor:
    gathered: Tensor = _Gathered.apply(values, group)  # type: ignore[no-untyped-call]
    return gathered
