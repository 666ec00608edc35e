"""The other way to train several networks at once: their parameters stacked, each operator doing all of them.

``torch.func.vmap`` makes of N networks one, whose convolutions are grouped. It is measured beside what the trainer
does, which runs several trainings on threads and streams (``ticketkit.train.parallel``).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import torch
from rounds import synchronise
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.models.build import build_empty, load_tensors
from ticketkit.train import Batches, Compute
from ticketkit.train.evaluate import autocast
from ticketkit.train.steps import as_cuda_graph


class StackedTrainings:
    """Several trainings of one network in one set of kernels, each with its own weights, mask and batches.

    Args:
        arch: The network.
        tensors: Every tensor of it, that all trainings start from.
        mask: The kept weights of all of them.
        batches: The data and the recipe, whose learning rate stays as it is.
        compute: Where and how to compute; on CUDA the step is captured, unless it says not to.
        count: How many trainings.

    Attributes:
        losses: Sum of the losses of the steps so far, float32 [count], on the device.
    """

    def __init__(
        self, arch: ArchSpec, tensors: dict[str, Array], mask: Mask, batches: Batches, compute: Compute, count: int
    ) -> None:
        model = build_empty(arch, compute.device).train()
        load_tensors(model, mask.applied_to(tensors))
        self._model = copy.deepcopy(model).to("meta")
        total = sum(parameter.numel() for parameter in model.parameters())
        self._values = torch.nn.Parameter(torch.empty(count * total, device=compute.device))
        self._gradients = torch.zeros_like(self._values)
        self._mask = torch.ones_like(self._gradients)
        self._parameters: dict[str, Tensor] = {}
        offset = 0
        for name, parameter in model.named_parameters():
            part = slice(offset, offset + count * parameter.numel())
            stacked = self._values.detach()[part].view(count, *parameter.shape)
            stacked.copy_(parameter.detach())
            leaf = stacked.requires_grad_()
            leaf.grad = self._gradients[part].view_as(leaf)
            if name in mask:
                self._mask[part].view_as(leaf).copy_(torch.from_numpy(mask[name].copy()))
            self._parameters[name] = leaf
            offset = part.stop
        self._buffers = {name: torch.stack([buffer] * count) for name, buffer in model.named_buffers()}
        self._values.grad = self._gradients
        recipe = batches.recipe
        self._optimiser = torch.optim.SGD(
            [self._values],
            lr=torch.tensor(recipe.lr, device=compute.device) if compute.captures else recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._optimiser.state[self._values]["momentum_buffer"] = torch.zeros_like(self._gradients)
        self._count, self._batches, self._compute = count, batches, compute
        self._position = torch.zeros(1, dtype=torch.int64, device=compute.device)
        self.losses = torch.zeros(count, device=compute.device)
        self.plan(range(count), 0)
        self._forward = vmap(self._call, randomness="error")
        with compute.applied():
            self._step = as_cuda_graph(compute.device)(self._make_step) if compute.captures else self._make_step

    def plan(self, seeds: Sequence[int], epoch: int) -> None:
        """Take the images of an epoch, in place: each training those of its own seed."""
        drawn = [self._batches.plan(seed, epoch) for seed in seeds]
        plans = [
            torch.stack([getattr(plan, name) for plan in drawn], dim=1) for name in ("order", "shifts", "mirrored")
        ]
        if not hasattr(self, "_plans"):
            self._plans = plans
        for held, plan in zip(self._plans, plans, strict=True):
            held.copy_(plan)
        self._position.zero_()
        self.losses.zero_()

    def steps(self, count: int) -> Tensor:
        """Make steps of the planned epoch; gives the sum of their losses, one a training."""
        with self._compute.applied():
            for _ in range(count):
                self._step()
        return self.losses

    def rate(self, steps: int, seconds: float) -> float:
        """Images a second of all trainings together, over the first steps of an epoch.

        Args:
            steps: How many, at most.
            seconds: On the CPU no step begins after so long.
        """
        synchronise(self._compute.device)
        began = time.perf_counter()
        self.plan(range(self._count), 1)
        done = 0
        with self._compute.applied():
            while done < steps and (not done or self._compute.is_cuda or time.perf_counter() - began < seconds):
                self._step()
                done += 1
        synchronise(self._compute.device)
        return self._count * done * self._batches.recipe.batch / (time.perf_counter() - began)

    def _call(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        logits: Tensor = functional_call(self._model, (parameters, buffers), (images,))
        return logits

    def _make_step(self) -> None:
        chosen, shifts, mirrored = (plan.index_select(0, self._position).squeeze(0) for plan in self._plans)
        images, labels = self._batches.batch(chosen.flatten(), shifts.flatten(0, 1), mirrored.flatten())
        self._gradients.zero_()
        with autocast(self._compute):
            logits = self._forward(self._parameters, self._buffers, images.view(self._count, -1, *images.shape[1:]))
            losses = functional.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
        losses = losses.view(self._count, -1).mean(dim=1)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.losses += losses.detach()
        self._gradients.mul_(self._mask)
        self._optimiser.step()
        self._position += 1
