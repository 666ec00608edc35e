"""Linear mode connectivity: do two trainings of one ticket end in one basin, or is there a barrier between them?

A ticket is trained twice from the same weights, the second time in another data order under other augmentation; then
the network is evaluated along the straight line between the two ends. Frankle et al., "Linear Mode Connectivity and
the Lottery Ticket Hypothesis", ICML 2020; Chen et al., 2021, section 4.4, do it to stretched tickets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ticketkit.arch import ArchSpec
from ticketkit.data import ImageData
from ticketkit.encoding import Array
from ticketkit.errors import RunError, TicketkitError
from ticketkit.mask import Mask
from ticketkit.models import instantiate
from ticketkit.models.build import Tensors
from ticketkit.recipe import Recipe
from ticketkit.report.connection import Connection, Curve, Point
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, check_fits, choose_compute, recalibrate, train
from ticketkit.train.evaluate import autocast
from ticketkit.train.setting import StartAt, describe_setting, first_step_of

DEFAULT_POINTS = 30
"""As in Frankle et al., 2020."""

TRAINING_IMAGES = 4_096
"""Training images that the training loss is measured on, at most; as many as recalibration passes."""


def connect_ticket(
    ticket: Ticket,
    data: ImageData,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    points: int = DEFAULT_POINTS,
    start: StartAt = "rewind",
    device: str | Compute = "auto",
    name: str | None = None,
    on_epoch: Callable[[int, int, Progress], None] | None = None,
    on_point: Callable[[int, Point], None] | None = None,
    on_curve: Callable[[Curve], None] | None = None,
) -> Connection:
    """Train a ticket in pairs that differ in the noise of SGD alone, and evaluate the line between each two.

    Args:
        ticket: The ticket.
        data: What to train and test on.
        recipe: How to train.
        seeds: One pair of trainings for each; data order and augmentation of both follow from it.
        points: Points of the line, its two ends included.
        start: Where in the schedule every training starts: at the step that the ticket's weights were taken at, or 0.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``, or the settings in full.
        name: What to call the ticket; its network's name if not given.
        on_epoch: Called after each epoch with the seed, the end (0 or 1), and the training's progress.
        on_point: Called after each point with the seed and the point.
        on_curve: Called at the end of each pair.

    Raises:
        TicketkitError: If there is no seed, or there are fewer than two points.
        ArchError, DataError, RecipeError: If ticket, data and recipe do not fit each other.
        RunError: If there is no such device, or a training breaks.

    Examples:
        >>> data = ticketkit.load_data("digits")
        >>> recipe = ticketkit.load_recipe("quick", ["epochs=2", "warmup=0"])
        >>> ticket = ticketkit.find_ticket(ticketkit.parse_arch("mlp-64-16-10"), data, recipe, levels=1)
        >>> connection = ticketkit.connect_ticket(ticket, data, recipe, points=3)
        >>> connection.name, len(connection.curves)
        ('mlp-64-16-10', 1)
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise TicketkitError(f"seeds must be one or more different numbers (got {list(seeds)})")
    check_fits(ticket.arch, data)
    compute = device if isinstance(device, Compute) else choose_compute(device, image_size=max(data.shape[1:]))
    batches = Batches(data, recipe, compute.device)
    first_step = first_step_of(ticket, recipe, batches.steps_per_epoch, start)
    curves = []
    for seed in seeds:
        curve = connect(
            ticket.arch,
            ticket.tensors,
            ticket.mask,
            batches,
            seed=seed,
            compute=compute,
            first_step=first_step,
            points=points,
            on_epoch=None if on_epoch is None else partial(on_epoch, seed),
            on_point=None if on_point is None else partial(on_point, seed),
        )
        curves.append(curve)
        if on_curve is not None:
            on_curve(curve)
    return Connection(
        name=ticket.arch.name if name is None else name,
        ticket_id=ticket.id,
        architecture=ticket.arch.name,
        sparsity=ticket.sparsity,
        start_step=first_step,
        setting=describe_setting(data, recipe, compute),
        curves=tuple(curves),
    )


def connect(
    arch: ArchSpec,
    tensors: Tensors,
    mask: Mask | None,
    batches: Batches,
    *,
    seed: int,
    compute: Compute,
    first_step: int = 0,
    points: int = DEFAULT_POINTS,
    on_epoch: Callable[[int, Progress], None] | None = None,
    on_point: Callable[[Point], None] | None = None,
) -> Curve:
    """Train a network twice under different data order and augmentation, and evaluate the line between the ends.

    Args:
        arch: The network.
        tensors: Every tensor of its ``state_dict``, which both trainings start from.
        mask: The kept weights; None for the dense network.
        batches: The data and the recipe.
        seed: What data order and augmentation of both trainings follow from.
        compute: Where and how to compute.
        first_step: The step of the schedule to start at.
        points: Points of the line, its two ends included.
        on_epoch: Called after each epoch with the end (0 or 1) and the training's progress.
        on_point: Called after each point of the line.

    Raises:
        TicketkitError: If there are fewer than two points.
        RunError: If a training breaks, or the loss on the line is not finite.
    """
    _check_points(points)
    began = time.perf_counter()
    first, second = (
        train(
            arch,
            tensors,
            mask,
            batches,
            seed=derive_seed(seed, "connect", end),
            compute=compute,
            first_step=first_step,
            on_epoch=None if on_epoch is None else partial(on_epoch, end),
        )
        for end in (0, 1)
    )
    line = line_between(arch, first.tensors, second.tensors, batches, compute=compute, points=points, on_point=on_point)
    return Curve(
        seed=seed,
        ends=(first.accuracy, second.accuracy),
        points=line,
        distance=_distance(first.tensors, second.tensors, arch.prunable_names() if mask is None else mask),
        seconds=time.perf_counter() - began,
    )


def line_between(
    arch: ArchSpec,
    first: Tensors,
    second: Tensors,
    batches: Batches,
    *,
    compute: Compute,
    points: int = DEFAULT_POINTS,
    on_point: Callable[[Point], None] | None = None,
) -> tuple[Point, ...]:
    """Evaluate a network along the straight line between two sets of its tensors.

    The running statistics of either end fit no other point, and those between them fit none but the ends: so they are
    recomputed at every point, ends included.

    Args:
        arch: The network.
        first: Every tensor of its ``state_dict`` at the line's beginning.
        second: The same at its end.
        batches: The data.
        compute: Where and how to compute.
        points: Points of the line, evenly spaced, its two ends included.
        on_point: Called after each point.

    Raises:
        TicketkitError: If there are fewer than two points.
        RunError: If the loss is not finite somewhere.
    """
    _check_points(points)
    line = []
    with compute.applied():
        for number in range(points):
            alpha = number / (points - 1)
            model = instantiate(arch, interpolate(first, second, alpha), compute.device)
            model = recalibrate(model, batches, compute).eval()
            accuracy, loss = _measure(model, batches.test(), compute)
            _, train_loss = _measure(model, batches.train_in_order(TRAINING_IMAGES), compute)
            if not math.isfinite(loss + train_loss):
                raise RunError(f"the loss must be finite all along the line (got {loss} at alpha {alpha:.3f})")
            line.append(Point(alpha=alpha, accuracy=accuracy, loss=loss, train_loss=train_loss))
            if on_point is not None:
                on_point(line[-1])
    return tuple(line)


def interpolate(first: Tensors, second: Tensors, alpha: float) -> dict[str, Array]:
    """The point ``alpha`` of the line from one set of tensors to another: (1 − α)·first + α·second.

    At 0 and 1 it is the ends bit for bit, and between equal values it is that value: a pruned weight stays zero.
    Integers, such as how many batches running statistics have seen, are the first end's.

    Args:
        first: The tensors at 0.
        second: The tensors at 1, of the same names and shapes.
        alpha: In [0, 1].
    """
    return {name: _between(array, second[name], alpha) for name, array in first.items()}


def _between(first: Array, second: Array, alpha: float) -> Array:
    if not np.issubdtype(first.dtype, np.floating):
        return first
    # In double precision, so that rounding to the tensors' own gives equal values back.
    mixed: Array = ((1 - alpha) * first.astype(np.float64) + alpha * second.astype(np.float64)).astype(first.dtype)
    return mixed


def _check_points(points: int) -> None:
    if points < 2:  # noqa: PLR2004 - a line has two ends
        raise TicketkitError(f"a line must have at least 2 points, its ends (got {points})")


def _measure(model: nn.Module, parts: Iterable[tuple[Tensor, Tensor]], compute: Compute) -> tuple[float, float]:
    """Accuracy and mean cross-entropy over images."""
    right = torch.zeros((), dtype=torch.int64, device=compute.device)
    losses = torch.zeros((), dtype=torch.float64, device=compute.device)
    count = 0
    with torch.no_grad():
        for images, labels in parts:
            with autocast(compute):
                logits = model(images)
            right += (logits.argmax(dim=1) == labels).sum()
            losses += functional.cross_entropy(logits.float(), labels, reduction="sum")
            count += len(labels)
    return int(right) / count, float(losses) / count


def _distance(first: Tensors, second: Tensors, names: Iterable[str]) -> float:
    """L2 distance over the named tensors; pruned weights are zero at both ends and add nothing."""
    gaps = (first[name].astype(np.float64) - second[name].astype(np.float64) for name in names)
    return math.sqrt(sum(float(np.square(gap).sum()) for gap in gaps))
