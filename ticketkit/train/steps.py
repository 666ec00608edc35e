"""How a training step is made: operator by operator, or captured once as a CUDA graph and replayed.

Both keep everything on the device and wait for it nowhere: the loss adds up there, and the order of images, their
augmentation and the learning rates of a whole epoch are known before it begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.models.build import Tensors, build_empty, load_tensors
from ticketkit.recipe import Recipe
from ticketkit.train.batches import Batches, EpochPlan
from ticketkit.train.compute import Compute
from ticketkit.train.distributed import ALONE, Group
from ticketkit.train.evaluate import autocast
from ticketkit.train.flat import FlatParameters
from ticketkit.train.synchronised import synchronise

WARM_UP = 3
"""Steps made before one is captured, in which libraries choose kernels and reserve memory (PyTorch, "CUDA Graphs")."""

Forward = Callable[[Tensor], Tensor]


class Steps(Protocol):
    """A network on its device, and how its steps are made.

    Attributes:
        model: The network.
        flat: Its parameters in one buffer.
        optimiser: What updates them.
        losses: Sum of the losses of this epoch's steps so far, float32 [], on the device.
    """

    model: nn.Module
    flat: FlatParameters
    optimiser: torch.optim.SGD
    losses: Tensor

    def start(self, tensors: Tensors, mask: Mask | None, momentum: Array | None = None) -> None:
        """Take weights, mask and momentum to begin a training with, copied; the momentum is zero if None."""

    def begin_epoch(self, seed: int, epoch: int, first: int, rates: Sequence[float]) -> None:
        """Get ready for the steps of one epoch.

        Args:
            seed: Seed of order and augmentation.
            epoch: The epoch's number, from 0.
            first: The step in the epoch to begin with.
            rates: The learning rate of each step to come.
        """

    def step(self) -> None:
        """Make one optimiser step."""

    def gradients(self) -> None:
        """Make all of a step but the update: the gradients are those of all weights, pruned ones included."""


class EagerSteps:
    """Steps made operator by operator. Implements :class:`Steps`.

    Args:
        arch: The network.
        batches: The data and the recipe; of several ranks, this one's part.
        compute: Where and how to compute.
        group: The ranks that make the steps together.
    """

    def __init__(self, arch: ArchSpec, batches: Batches, compute: Compute, group: Group = ALONE) -> None:
        self.model: nn.Module
        self.flat: FlatParameters
        self.model, self.flat, self._forward = _built(arch, compute, group)
        self._group = group
        self.optimiser: torch.optim.SGD = sgd(self.flat, batches.recipe)
        self.losses: Tensor = torch.zeros((), device=compute.device)
        self._source = batches
        self._compute = compute
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self._rates: Iterator[float] = iter(())

    def start(self, tensors: Tensors, mask: Mask | None, momentum: Array | None = None) -> None:
        """See :class:`Steps`."""
        load_tensors(self.model, tensors)
        self.flat.set_masks(mask or {})
        self.optimiser.state.clear()
        if momentum is not None:
            self.flat.set_momentum(self.optimiser, momentum)

    def begin_epoch(self, seed: int, epoch: int, first: int, rates: Sequence[float]) -> None:
        """See :class:`Steps`."""
        self._batches = self._source.epoch(seed, epoch, first, steps=len(rates))
        self._rates = iter(rates)
        self.losses = torch.zeros((), device=self._compute.device)

    def step(self) -> None:
        """See :class:`Steps`."""
        self.gradients()
        self.flat.mask_gradients()
        self.optimiser.step()

    def gradients(self) -> None:
        """See :class:`Steps`."""
        images, labels = next(self._batches)
        self.optimiser.param_groups[0]["lr"] = next(self._rates)
        self.losses += gradients_of(self._forward, self.flat, images, labels, self._source.recipe, self._compute)
        self._group.average(self.flat.gradients)


class CapturedSteps:
    """Steps made by replaying one captured step. Implements :class:`Steps`.

    Everything that a step reads lies at a fixed place: the weights, the mask, the momentum, the plan of the epoch, its
    learning rates, and a counter that each step reads and raises. So one capture serves every training of its network
    with this data and optimiser, whatever weights and mask it starts from, and a step costs the host one call.

    Args:
        arch: The network.
        batches: The data and the recipe.
        compute: Where and how to compute.
        capture: Makes of a function one that does the same on the device each time it is called.
    """

    def __init__(
        self,
        arch: ArchSpec,
        batches: Batches,
        compute: Compute,
        capture: Callable[[Callable[[], None]], Callable[[], None]],
    ) -> None:
        self.model: nn.Module
        self.flat: FlatParameters
        self.model, self.flat, self._forward = _built(arch, compute)
        self._source = batches
        self._compute = compute
        self._rate = torch.zeros((), device=compute.device)
        self._rates = torch.zeros(batches.steps_per_epoch, device=compute.device)
        self._position = torch.zeros(1, dtype=torch.int64, device=compute.device)
        self._plan: EpochPlan = batches.plan(0, 0)
        self.losses: Tensor = torch.zeros((), device=compute.device)
        self.optimiser: torch.optim.SGD = sgd(self.flat, batches.recipe, rate=self._rate)
        self.flat.set_momentum(self.optimiser, None)
        self._replay = capture(self._make_step)

    def start(self, tensors: Tensors, mask: Mask | None, momentum: Array | None = None) -> None:
        """See :class:`Steps`."""
        load_tensors(self.model, tensors)
        self.flat.set_masks(mask or {})
        self.flat.set_momentum(self.optimiser, momentum)

    def begin_epoch(self, seed: int, epoch: int, first: int, rates: Sequence[float]) -> None:
        """See :class:`Steps`."""
        plan = self._source.plan(seed, epoch)
        for name in ("order", "shifts", "mirrored"):
            getattr(self._plan, name).copy_(getattr(plan, name))
        self._rates[first : first + len(rates)] = torch.tensor(rates)
        self._position.fill_(first)
        self.losses.zero_()

    def step(self) -> None:
        """See :class:`Steps`."""
        self._replay()

    def gradients(self) -> None:
        """See :class:`Steps`."""
        at, plan = self._position, self._plan
        chosen, shifts, mirrored = (
            planned.index_select(0, at).squeeze(0) for planned in (plan.order, plan.shifts, plan.mirrored)
        )
        self._rate.copy_(self._rates.index_select(0, at).squeeze(0))
        images, labels = self._source.batch(chosen, shifts, mirrored)
        self.losses += gradients_of(self._forward, self.flat, images, labels, self._source.recipe, self._compute)
        # Around at the end: the steps made to warm up may be more than an epoch has.
        self._position.add_(1).remainder_(len(self._rates))

    def _make_step(self) -> None:
        self.gradients()
        self.flat.mask_gradients()
        self.optimiser.step()


def as_cuda_graph(device: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Capture functions as CUDA graphs on a device; see :class:`CapturedSteps`.

    Returns:
        Runs a function a few times, captures it, and gives what replays it on the stream that is then current.
    """

    def capture(function: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # One capture at a time: it is the one thing here that other threads' captures could disturb.
        with _CAPTURING, torch.cuda.device(device):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    function()
            torch.cuda.current_stream().wait_stream(stream)
            # The other threads go on with their own streams meanwhile, allocating too.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                function()
        return graph.replay

    return capture


_CAPTURING = threading.Lock()


@contextmanager
def steps_for(arch: ArchSpec, batches: Batches, compute: Compute, group: Group = ALONE) -> Iterator[Steps]:
    """Lend what makes a network's steps on this device, captured or compiled before if it was needed before."""
    # A streamed batch lies elsewhere each time, and a graph that waits for other ranks could not be given up.
    captures = compute.captures and not batches.streamed and group.size == 1
    if not captures and not compute.compiled:
        yield EagerSteps(arch, batches, compute, group)
        return
    recipe = batches.recipe
    kind = arch, compute, group, recipe.momentum, recipe.nesterov, recipe.weight_decay, recipe.label_smoothing

    def make() -> Steps:
        if captures:
            if _is_scarce(compute.device):
                batches.captured.clear()
            return CapturedSteps(arch, batches, compute, as_cuda_graph(compute.device))
        return EagerSteps(arch, batches, compute, group)

    with batches.captured.lent(kind, make) as steps:
        yield steps


def _is_scarce(device: str) -> bool:
    """Whether more than half of a GPU's memory is taken, by captures that wait for their like among others."""
    free, total = torch.cuda.mem_get_info(device)
    return free < total / 2


def sgd(flat: FlatParameters, recipe: Recipe, *, rate: Tensor | None = None) -> torch.optim.SGD:
    """The recipe's optimiser over the flat buffer: PyTorch's own, one fused update a step.

    Args:
        flat: The parameters.
        recipe: Momentum, weight decay, and the learning rate to begin with.
        rate: A tensor [] on the device from which each step reads its learning rate instead.
    """
    return torch.optim.SGD(
        [flat.values],
        lr=recipe.lr if rate is None else rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def gradients_of(
    forward: Forward, flat: FlatParameters, images: Tensor, labels: Tensor, recipe: Recipe, compute: Compute
) -> Tensor:
    """Compute the gradients of all weights, pruned ones included; gives the loss, on the device."""
    with autocast(compute):
        loss = functional.cross_entropy(forward(images), labels, label_smoothing=recipe.label_smoothing)
    flat.differentiate(loss)
    return loss.detach()


def _built(arch: ArchSpec, compute: Compute, group: Group = ALONE) -> tuple[nn.Module, FlatParameters, Forward]:
    """A network in training mode, its parameters in one buffer, and its forward pass, compiled if asked for."""
    model = synchronise(build_empty(arch, compute.device), group).train()
    flat = FlatParameters(model)
    return model, flat, torch.compile(model) if compute.compiled else model
