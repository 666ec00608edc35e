"""One training of one masked network, from a given step of the schedule to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.errors import RunError
from ticketkit.mask import Mask
from ticketkit.models import export_tensors
from ticketkit.models.build import Tensors
from ticketkit.train.batches import Batches
from ticketkit.train.checkpoint import Checkpoint, TrainingState
from ticketkit.train.compute import Compute
from ticketkit.train.distributed import ALONE, Group, part_of
from ticketkit.train.divergence import Guard
from ticketkit.train.evaluate import evaluate
from ticketkit.train.rewiring import Rewiring, rewire
from ticketkit.train.schedule import learning_rate
from ticketkit.train.steps import Steps, steps_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is.

    Attributes:
        epoch: Epochs done.
        epochs: Epochs of the whole training.
        step: Optimiser steps done since step 0 of the schedule.
        loss: Mean training loss of the last epoch.
        steps: Optimiser steps of the last epoch.
        seconds: Wall time of these steps.
        learning_rate: Learning rate of the last of them.
    """

    epoch: int
    epochs: int
    step: int
    loss: float
    steps: int
    seconds: float
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where the time of trainings went, in seconds.

    Attributes:
        steps: Making steps, waiting for images included.
        waiting: Of that, waiting for the images of a step; 0 where they are in memory.
        evaluation: Classifying the test images.
        rest: Building the network, moving tensors, checkpoints.
    """

    steps: float = 0.0
    waiting: float = 0.0
    evaluation: float = 0.0
    rest: float = 0.0

    @property
    def whole(self) -> float:
        """All of it."""
        return self.steps + self.evaluation + self.rest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What a training gave.

    Attributes:
        tensors: Every tensor of the network at the end, pruned weights exactly zero.
        accuracy: Test accuracy at the end, in [0, 1].
        loss: Mean training loss of the last epoch.
        seconds: Wall time.
        images_per_second: Training images a second, evaluation aside.
        top5: Fraction of the test images whose class is among the five likeliest; None for less than 20 classes.
        captured: The tensors at the step that was asked for, if any.
        spent: Where the time went.
    """

    tensors: dict[str, Array]
    accuracy: float
    loss: float
    seconds: float
    images_per_second: float
    top5: float | None = None
    captured: Tensors | None = None
    spent: Spent = Spent()


def train(
    arch: ArchSpec,
    tensors: Tensors,
    mask: Mask | None,
    batches: Batches,
    *,
    seed: int,
    compute: Compute,
    first_step: int = 0,
    last_step: int | None = None,
    capture_step: int | None = None,
    rewiring: Rewiring | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
    group: Group = ALONE,
) -> Trained:
    """Train a network to the end of its recipe, or to a step of it.

    Args:
        arch: The network.
        tensors: Every tensor of its ``state_dict`` to start from; pruned weights are set to zero first.
        mask: The kept weights; None trains the dense network.
        batches: The data and the recipe, whole, however many ranks there are.
        seed: Seed of data order and augmentation.
        compute: Where and how to compute.
        first_step: The step of the schedule to start at.
        last_step: How many steps of the schedule to do; all of them if None.
        rewiring: How connections are exchanged; None trains the mask as it is.
        capture_step: A step whose tensors are to be returned too, taken before it is made.
        checkpoint: Where the state is kept between epochs, and taken up from if there is one. It holds no mask, so a
            training that rewires cannot have one. Only rank 0's is used.
        on_epoch: Called after each epoch.
        group: The ranks that train the network together, each calling this function with the same arguments.

    Raises:
        TrainingError: If the loss of an epoch or a weight at the end is not finite; says which layer was the first to
            break, where one process trains a fixed mask.
        RunError: If the network does not start from the given weights bit for bit, a pruned weight is not zero at the
            end, there are both rewiring and a checkpoint, or a rank is lost or has other weights than the first.
        DataError: If the ranks cannot share a batch evenly.
    """
    if rewiring is not None and checkpoint is not None:
        raise RunError("a training must rewire or keep a checkpoint, not both (a checkpoint holds no mask)")
    began = time.perf_counter()
    recipe = batches.recipe
    per_epoch = batches.steps_per_epoch
    saved = group.of_first(lambda: checkpoint.load() if checkpoint is not None else None)
    step = first_step if saved is None else saved.step
    captured: Tensors | None = None if saved is None else saved.captured
    loss = math.nan
    total = recipe.total_steps(per_epoch)
    end = total if last_step is None else min(last_step, total)
    waited = batches.waited
    with compute.applied(), steps_for(arch, part_of(batches, group), compute, group) as steps:

        def state() -> TrainingState:
            momentum = steps.flat.momentum(steps.optimiser)
            return TrainingState(step=step, tensors=export_tensors(steps.model), momentum=momentum, captured=captured)

        given = tensors if saved is None else saved.tensors
        steps.start(given, mask, momentum=None if saved is None else saved.momentum)
        if saved is None:
            _check_start(steps.model, tensors, mask)
        group.check_alike("weights to start from", given)
        # Several ranks would have to repeat a training together, and rewiring changes its mask.
        repeats = group.size == 1 and rewiring is None
        guard = Guard(
            arch=arch, mask=mask, batches=batches, seed=seed, compute=compute, state=state() if repeats else None
        )
        steps_began, steps_before = time.perf_counter(), step
        while step < end:
            epoch, begun_at, clock = step // per_epoch, step, time.perf_counter()
            epoch_end = min((epoch + 1) * per_epoch, end)
            rates = [learning_rate(recipe, later, per_epoch) for later in range(step, epoch_end)]
            steps.begin_epoch(seed, epoch, step % per_epoch, rates)
            captured = _make_steps(steps, range(step, epoch_end), total, capture_step, rewiring) or captured
            step = epoch_end
            group.average(steps.losses)
            # The epoch's one synchronisation with the device.
            loss = float(steps.losses) / (step - begun_at)
            stepped = time.perf_counter() - clock
            guard.check(loss, step, steps, ended=step == end)
            due = checkpoint is not None and group.leads and checkpoint.is_due()
            if (due or guard.is_due()) and steps.flat.are_finite():
                guard.keep(sound := state())
                if checkpoint is not None and due:
                    checkpoint.save(sound)
            if on_epoch is not None:
                on_epoch(
                    Progress(
                        epoch=epoch + 1,
                        epochs=recipe.epochs,
                        step=step,
                        loss=loss,
                        steps=step - begun_at,
                        seconds=stepped,
                        learning_rate=rates[-1],
                    )
                )
        if not steps.flat.pruned_are_zero():
            raise RunError("pruned weights must stay exactly zero through training (some are not)")
        stepping, waiting = time.perf_counter() - steps_began, batches.waited - waited
        # By one rank: it is a thousandth of the work, and the ranks cannot come to different numbers.
        scores = group.of_first(lambda: evaluate(steps.model, batches, compute))
        evaluating = time.perf_counter() - steps_began - stepping
        trained = export_tensors(steps.model)
        group.check_alike("trained weights", trained)
    seconds = time.perf_counter() - began
    return Trained(
        tensors=trained,
        accuracy=scores.accuracy,
        loss=loss,
        seconds=seconds,
        images_per_second=(step - steps_before) * recipe.batch / stepping,
        top5=scores.top5,
        captured=captured,
        spent=Spent(steps=stepping, waiting=waiting, evaluation=evaluating, rest=seconds - stepping - evaluating),
    )


def _make_steps(
    steps: Steps, numbers: range, total: int, capture_step: int | None, rewiring: Rewiring | None
) -> Tensors | None:
    """Make some steps of one epoch; gives the tensors before the step to be captured, if it is one of them."""
    captured: Tensors | None = None
    for step in numbers:
        if step == capture_step:
            captured = export_tensors(steps.model)
        if rewiring is not None and rewiring.is_due(step, total):
            steps.gradients()
            rewire(steps.flat, steps.optimiser, rewiring, step, total)
        else:
            steps.step()
    return captured


def _check_start(model: nn.Module, tensors: Tensors, mask: Mask | None) -> None:
    """Check that what is about to be trained is what was given: kept weights bit for bit, zeros where pruned.

    Looked at on the device, in the buffer that the optimiser updates, since that is where survivors are rewound to.
    """
    given = tensors if mask is None else mask.applied_to(tensors)
    for name, array in export_tensors(model).items():
        # A ticket of another float type is trained in the network's own.
        if array.tobytes() != given[name].astype(array.dtype).tobytes():
            raise RunError(f"training must start from the given weights, bit for bit ({name} does not)")
