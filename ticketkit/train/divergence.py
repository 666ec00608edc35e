"""Which layer broke first, when a loss is not finite any more.

A loss that is not a number makes every weight one within a step, and an epoch's losses are read at its end, so nothing
is left to see by then. The training is therefore repeated from its last sound state, with every layer's output looked
at: what would cost too much in a training costs nothing in one that has failed.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from ticketkit.arch import ArchSpec
from ticketkit.errors import TrainingError
from ticketkit.mask import Mask
from ticketkit.train.batches import Batches
from ticketkit.train.checkpoint import TrainingState
from ticketkit.train.compute import Compute
from ticketkit.train.schedule import learning_rate
from ticketkit.train.steps import EagerSteps, Steps

INTERVAL = 10.0
"""Least seconds between two states that are kept: what has to be repeated, and less than a hundredth of its time."""


@dataclass(slots=True, kw_only=True, eq=False)
class Guard:
    """Follows one training, and stops it with the reason when it breaks.

    Attributes:
        arch: The network.
        mask: The kept weights; None if all are.
        batches: The data and the recipe.
        seed: Seed of data order and augmentation.
        compute: Where and how it is trained.
        state: The last state up to which everything was finite; None if the training cannot be repeated from one.
    """

    arch: ArchSpec
    mask: Mask | None
    batches: Batches
    seed: int
    compute: Compute
    state: TrainingState | None
    _kept_at: float = field(default_factory=time.monotonic)

    def check(self, loss: float, step: int, steps: Steps, *, ended: bool) -> None:
        """Look at an epoch's loss and, where the training has ended, at the weights that it has come to.

        Raises:
            TrainingError: If one of them is not finite.
        """
        if math.isfinite(loss) and not (ended and not steps.flat.are_finite()):
            return
        where = self._first_to_break(step)
        first = f", first in {where}" if where is not None else ""
        precision = "" if self.compute.precision == "fp32" else ", or precision fp32"
        epoch = math.ceil(step / self.batches.steps_per_epoch)
        raise TrainingError(
            f"loss and weights must stay finite in a training (after epoch {epoch} the loss is {loss:.4g}{first}); "
            f"try a lower lr or a longer warmup{precision}"
        )

    def is_due(self) -> bool:
        """Whether the last sound state is so old that it should be replaced."""
        return self.state is not None and time.monotonic() - self._kept_at >= INTERVAL

    def keep(self, state: TrainingState) -> None:
        """Keep a newer sound state."""
        if self.state is not None:
            self.state = state
            self._kept_at = time.monotonic()

    def _first_to_break(self, end: int) -> str | None:
        """What was the first that is not finite, with its step; None if it cannot be told.

        On the CPU a repeated training is the same one. On a GPU it may differ, and not break again.
        """
        if self.state is None:
            return None
        steps = EagerSteps(self.arch, self.batches, replace(self.compute, compiled=False))
        for name, module in steps.model.named_modules():
            if next(module.parameters(recurse=False), None) is not None:
                module.register_forward_hook(partial(_check_output, name))
        steps.start(self.state.tensors, self.mask, momentum=self.state.momentum)
        step, per_epoch = self.state.step, self.batches.steps_per_epoch
        try:
            while step < end:
                epoch_end = min((step // per_epoch + 1) * per_epoch, end)
                rates = [learning_rate(self.batches.recipe, later, per_epoch) for later in range(step, epoch_end)]
                steps.begin_epoch(self.seed, step // per_epoch, step % per_epoch, rates)
                while step < epoch_end:
                    steps.step()
                    step += 1
                    if not steps.flat.are_finite():
                        broken = (name for name, own in steps.model.named_parameters() if not torch.isfinite(own).all())
                        return f"step {step:,}, in the update of {next(broken)}"
        except _NotFiniteError as broken:
            return f"step {step + 1:,}, in the output of {broken}"
        return None


class _NotFiniteError(Exception):
    """Ends a forward pass at the first layer whose output is not finite; names it."""


def _check_output(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
    if not torch.isfinite(output).all():
        raise _NotFiniteError(name)
