"""What the trainings of one arm gave and cost, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated

from msgspec import Meta

from ticketkit.errors import TicketkitError
from ticketkit.report.statistics import deviation

# The bounds are checked where a document is read. No not-a-number is within any, and no sum of a few overflows.
_HUGE = 1e100
Fraction = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=_HUGE)]
Number = Annotated[float, Meta(ge=-_HUGE, le=_HUGE)]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one training cost, and what had to be computed before it could begin.

    FLOPs count a multiplication and an addition as two, over convolutions and linear layers, three passes a training
    image. *Sparse* skips pruned weights, as the paper and RigL count; *dense* is what hardware without sparsity does.

    Attributes:
        flops: FLOPs of the training, sparse.
        dense_flops: The same, dense.
        setup_flops: FLOPs before it (IMP's levels, the steps up to the rewind step, scoring), sparse.
        setup_dense_flops: The same, dense.
        images_per_second: Training images a second, evaluation aside.
        peak_memory: Most memory in use during the training, in bytes: allocated on a GPU, of the whole process on a
            CPU; None where the system does not tell.
    """

    flops: Amount
    dense_flops: Amount
    setup_flops: Amount
    setup_dense_flops: Amount
    images_per_second: Amount
    peak_memory: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training of one arm.

    Attributes:
        seed: The seed that the same run of every arm has.
        accuracy: Test accuracy at the end, in [0, 1].
        untrained: Test accuracy before training, running statistics recalibrated, in [0, 1].
        loss: Mean training loss of the last epoch.
        seconds: Wall time.
        top5: Fraction of the test images whose class is among the five likeliest; None for less than 20 classes.
        cost: What it cost; None in reports of ticketkit 0.1.
    """

    seed: int
    accuracy: Fraction
    untrained: Fraction
    loss: Number
    seconds: Amount
    top5: Fraction | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """All trainings of one arm.

    Attributes:
        name: The arm.
        summary: What it is, in one line.
        kept: Kept prunable weights; all weights of a network that is not pruned.
        total: Prunable weights of the network that is verified.
        runs: Its trainings, one a seed.
        architecture: Its network's name, where it is not the ticket's.

    Raises:
        TicketkitError: If there is no training, or two of one seed.
    """

    name: str
    summary: str
    kept: Count
    total: Annotated[int, Meta(ge=1)]
    runs: tuple[Run, ...]
    architecture: str | None = None

    def __post_init__(self) -> None:
        seeds = [run.seed for run in self.runs]
        if not seeds or len(set(seeds)) < len(seeds):
            raise TicketkitError(f"the runs of arm {self.name!r} must be one or more, of different seeds (got {seeds})")

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each training, in [0, 1]."""
        return [run.accuracy for run in self.runs]

    @property
    def by_seed(self) -> Mapping[int, float]:
        """Test accuracy of each training, in [0, 1], by its seed."""
        return {run.seed: run.accuracy for run in self.runs}

    @property
    def mean(self) -> float:
        """Mean test accuracy, in [0, 1]."""
        return fmean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the test accuracies; None for one seed."""
        return deviation(self.accuracies)

    @property
    def untrained(self) -> float:
        """Mean test accuracy before training, in [0, 1]."""
        return fmean(run.untrained for run in self.runs)

    @property
    def top5(self) -> float | None:
        """Mean top-5 accuracy, in [0, 1]; None unless every training has one."""
        values = self._top5_values()
        return fmean(values) if values else None

    @property
    def top5_deviation(self) -> float | None:
        """Standard deviation of the top-5 accuracies; None for one seed, or unless every training has one."""
        return deviation(self._top5_values())

    @property
    def seconds(self) -> float:
        """Mean wall time of a training."""
        return fmean(run.seconds for run in self.runs)

    @property
    def cost(self) -> Cost | None:
        """What a training costs, as means over the seeds, and the most memory; None unless every training tells."""
        costs = [run.cost for run in self.runs if run.cost is not None]
        if len(costs) < len(self.runs):
            return None
        peaks = [cost.peak_memory for cost in costs if cost.peak_memory is not None]
        return Cost(
            flops=fmean(cost.flops for cost in costs),
            dense_flops=fmean(cost.dense_flops for cost in costs),
            setup_flops=fmean(cost.setup_flops for cost in costs),
            setup_dense_flops=fmean(cost.setup_dense_flops for cost in costs),
            images_per_second=fmean(cost.images_per_second for cost in costs),
            peak_memory=max(peaks) if len(peaks) == len(costs) else None,
        )

    def _top5_values(self) -> list[float]:
        values = [run.top5 for run in self.runs if run.top5 is not None]
        return values if len(values) == len(self.runs) else []
