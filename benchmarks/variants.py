"""Our trainer and a plain loop in all their ways, each as something to time beside the others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import torch
from elsewhere import Elsewhere
from plain import How, PlainTraining, plain_rates
from stacked import StackedTrainings
from torch import Tensor

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.errors import RunError
from ticketkit.mask import Mask
from ticketkit.train import Batches, Compute, flat
from ticketkit.train.compute import Precision
from ticketkit.train.parallel import Stop, together
from ticketkit.train.steps import Steps, steps_for

BASELINE = "plain fp32"
"""The name that ratios are taken against; with workers or without, whichever is faster."""

NO_WORKERS = "plain fp32, no workers"

PLAIN_STEPS = 100
"""Steps of a plain loop's block, at most: enough to tell, where an epoch would take long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained.

    Attributes:
        arch: The network.
        tensors: Its initial weights.
        mask: The kept ones.
        batches: Images and recipe, on the device.
        steps: Steps of a block, one measurement; at most an epoch's.
        seconds: On the CPU no step of a block begins after so long: beside others, steps can take ten times as long.
    """

    arch: ArchSpec
    tensors: dict[str, Array]
    mask: Mask
    batches: Batches
    steps: int
    seconds: float = 4.0

    @property
    def rates(self) -> list[float]:
        """Learning rates of a block's steps."""
        return [self.batches.recipe.lr] * self.steps


class ContiguousBatches(Batches):
    """Batches laid out channel by channel, as PyTorch does unless told otherwise."""

    def _normalised(self, images: Tensor) -> Tensor:
        return super()._normalised(images).contiguous()


@contextmanager
def contiguous_weights() -> Iterator[None]:
    """Lay out the weights of networks that are built inside the block as PyTorch does unless told otherwise."""
    with mock.patch.object(flat, "_view", Tensor.view):
        yield


class OurTraining:
    """Our trainer, block by block.

    Args:
        task: What to train.
        compute: Where and how.
        layout: Inside which the network is built.
    """

    def __init__(self, task: Task, compute: Compute, layout: AbstractContextManager[None] | None = None) -> None:
        self._task, self._compute = task, compute
        self._lent = steps_for(task.arch, task.batches, compute)
        with compute.applied(), layout or nullcontext():
            self._steps = self._lent.__enter__()
        self._steps.start(task.tensors, task.mask)
        self._epoch = 0

    def rate(self) -> float:
        """Images a second over a block, its plan and its one synchronisation included."""
        with self._compute.applied():
            began = time.perf_counter()
            images = run_block(self._steps, self._task, self._compute, seed=0, epoch=self._epoch)
            seconds = time.perf_counter() - began
        self._epoch += 1
        return images / seconds

    def losses(self, count: int) -> list[float]:
        """The losses of the first steps from the initial weights, one synchronisation each."""
        steps = self._steps
        found, before = [], 0.0
        with self._compute.applied():
            steps.start(self._task.tensors, self._task.mask)
            steps.begin_epoch(0, 0, 0, [self._task.batches.recipe.lr] * count)
            for _ in range(count):
                steps.step()
                total = float(steps.losses)
                found.append(total - before)
                before = total
        return found


def run_block(steps: Steps, task: Task, compute: Compute, *, seed: int, epoch: int) -> int:
    """Make the steps of a block as an epoch of training makes them; gives the number of their images.

    Raises:
        RunError: If the loss is not finite.
    """
    began = time.perf_counter()
    steps.begin_epoch(seed, epoch, 0, task.rates)
    done = 0
    # On CUDA the host runs ahead, so its clock says nothing.
    while done < task.steps and (not done or compute.is_cuda or time.perf_counter() - began < task.seconds):
        steps.step()
        done += 1
    loss = float(steps.losses)  # waits for the device
    if not math.isfinite(loss):
        raise RunError(f"the loss of a benchmark must be finite (got {loss})")
    return done * task.batches.recipe.batch


def plain_ways(compute: Compute, workers: int) -> dict[str, How]:
    """The plain loops: in float32 and under autocast, as users have them, and with what helps them."""
    base = How(device=compute.device, threads=compute.threads, workers=workers)
    ways = {
        BASELINE: base,
        NO_WORKERS: replace(base, workers=0),
        "plain bf16": replace(base, bf16=True),
        "plain bf16, channels last": replace(base, bf16=True, channels_last=True),
    }
    if not compute.is_cuda:
        ways["plain fp32, channels last"] = replace(base, channels_last=True)
    return ways


def precisions_of(compute: Compute) -> tuple[Precision, ...]:
    """The precisions that a device has."""
    return ("fp32", "tf32", "bf16") if compute.is_cuda else ("fp32", "bf16")


def our_ways(compute: Compute) -> dict[str, Compute]:
    """Our trainer's precisions, step by step, compiled, captured, and both."""
    ways = {}
    for precision in precisions_of(compute):
        for graphs in (True, False) if compute.is_cuda else (False,):
            # Compiling takes half a minute each time: the default precision is enough to tell whether it pays.
            for compiled in (False, True) if precision == compute.precision else (False,):
                how = "+".join([*(["compiled"] if compiled else []), *(["graph"] if graphs else [])]) or "eager"
                ways[f"ours {precision}, {how}"] = replace(
                    compute, precision=precision, compiled=compiled, graphs=graphs
                )
    return ways


@contextmanager
def single_blocks(
    task: Task, compute: Compute, *, workers: int, every: bool, compiled: bool = True
) -> Iterator[dict[str, Callable[[], float]]]:
    """One training at a time, in every way or in those that people choose among.

    Args:
        task: What to train.
        compute: The device, its default precision, and threads.
        workers: Of the plain loop's ``DataLoader``.
        every: Whether to take every way; else the two plain precisions, and ours as they are by default.
        compiled: Whether compiled steps are among all ways.
    """
    plain = plain_ways(compute, workers)
    ours = our_ways(compute)
    if not compiled:
        ours = {name: way for name, way in ours.items() if not way.compiled}
    if not every:
        plain = {name: plain[name] for name in (BASELINE, "plain bf16")}
        ours = {name: way for name, way in ours.items() if way.graphs == compute.captures and not way.compiled}
    there, blocks = plain_blocks(task, plain)
    with closing(there):
        for name, way in ours.items():
            blocks[name] = OurTraining(task, way).rate
        if every:
            flipped = replace(task, batches=ContiguousBatches(task.batches.data, task.batches.recipe, compute.device))
            blocks[f"ours {compute.precision}, contiguous"] = OurTraining(flipped, compute, contiguous_weights()).rate
        yield blocks


def plain_blocks(task: Task, ways: Mapping[str, How]) -> tuple[Elsewhere[str, float], dict[str, Callable[[], float]]]:
    """Plain loops in a process of their own, as their users have them; gives it too, for it has to be closed."""
    batches = task.batches
    steps = min(task.steps, PLAIN_STEPS)
    there: Elsewhere[str, float] = Elsewhere(
        plain_rates, task.arch, task.tensors, task.mask, batches.data, batches.recipe, dict(ways), steps, task.seconds
    )
    return there, {name: partial(there, name) for name in ways}


def parallel_block(task: Task, compute: Compute, count: int) -> Callable[[], float]:
    """Several trainings at once by threads, and on CUDA streams, as ``verify --parallel`` runs them."""
    # Each one's steps are captured once, and stay so from block to block.
    task.batches.captured.capacity = max(task.batches.captured.capacity, count)

    def job(seed: int) -> int:
        with steps_for(task.arch, task.batches, compute) as steps:
            steps.start(task.tensors, task.mask)
            return run_block(steps, task, compute, seed=seed, epoch=0)

    def rate() -> float:
        jobs = [lambda seed=seed: job(seed) for seed in range(count)]
        began = time.perf_counter()
        with compute.applied():
            images = sum(done for _, done in together(jobs, count, compute, Stop()))
        return images / (time.perf_counter() - began)

    return rate


def stacked_block(task: Task, compute: Compute, count: int) -> Callable[[], float]:
    """The same trainings with their parameters stacked; see :mod:`stacked`."""
    stacked = StackedTrainings(task.arch, task.tensors, task.mask, task.batches, compute, count)
    return lambda: stacked.rate(task.steps, task.seconds)


def loss_curves(task: Task, compute: Compute, count: int) -> dict[str, list[float]]:
    """The losses of the first steps on the very same batches: plain, ours, and of the first of two stacked trainings.

    Args:
        task: What to train.
        compute: Where and how; the plain loop runs in fp32.
        count: How many steps.
    """
    batches = task.batches
    how = How(device=compute.device, threads=compute.threads)
    training = PlainTraining(task.arch, task.tensors, task.mask, batches.data, batches.recipe, how)
    with how.applied(), _full_precision():
        plain = [training.step(*batch) for batch, _ in zip(batches.epoch(0, 0), range(count), strict=False)]
    stacked = StackedTrainings(task.arch, task.tensors, task.mask, batches, compute, 2)
    stacked.plan(range(2), 0)
    sums = [0.0, *(float(stacked.steps(1)[0]) for _ in range(count))]
    return {
        "plain": plain,
        "ours": OurTraining(task, compute).losses(count),
        "stacked": [after - before for before, after in pairwise(sums)],
    }


@contextmanager
def _full_precision() -> Iterator[None]:
    """Convolutions on CUDA in float32, where PyTorch's default is tf32."""
    convolution: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # torch puts it there at run time
    before, convolution.fp32_precision = convolution.fp32_precision, "ieee"
    try:
        yield
    finally:
        convolution.fp32_precision = before
