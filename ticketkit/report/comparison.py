"""The result of a verification: a ticket beside its baselines, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ticketkit.errors import TicketkitError
from ticketkit.report.statistics import Interval, deviation, paired_difference

FORMAT = {"name": "ticketkit-verify", "version": "1.1"}

TICKET = "ticket"
"""The arm that all others are compared with."""

DEFAULT_REFERENCE = "imp"
"""The arm that the elastic hypothesis is about: IMP on the target itself."""

DEFAULT_MARGIN = 0.005
"""Half a point: how far below the reference a ticket may be and still count as nearly as good."""


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

    flops: float
    dense_flops: float
    setup_flops: float
    setup_dense_flops: float
    images_per_second: float
    peak_memory: int | None = None


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
    accuracy: float
    untrained: float
    loss: float
    seconds: float
    top5: float | None = None
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
    """

    name: str
    summary: str
    kept: int
    total: int
    runs: tuple[Run, ...]
    architecture: str | None = None

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each training, in [0, 1]."""
        return [run.accuracy for run in self.runs]

    @property
    def mean(self) -> float:
        """Mean test accuracy, in [0, 1]."""
        return fmean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the test accuracies; None for one seed."""
        return deviation(self.accuracies)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDensity:
    """How much of one prunable tensor is kept.

    Attributes:
        name: The tensor's ``state_dict`` name.
        stage: The elastic stage it is in; None outside the stages.
        unit: The unit in that stage; None outside the stages.
        kept: Kept weights.
        size: All its weights.
    """

    name: str
    stage: int | None
    unit: int | None
    kept: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the ticket came from: the last transformation that made it.

    Attributes:
        architecture: Name of the network it was stretched from.
        order: The policy, or the label that a study gave it.
        mapping: The mapping as ``parse_stage_map`` reads it.
        parent: Id of the ticket it was stretched from.
        layers: That ticket's layers, where it was at hand.
    """

    architecture: str
    order: str
    mapping: str
    parent: str
    layers: tuple[LayerDensity, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A ticket beside its baselines.

    Attributes:
        ticket_id: The ticket's id.
        architecture: Its network's name.
        sparsity: Its sparsity, in [0, 1].
        start_step: The step of the schedule that the ticket's training started at.
        setting: What the trainings had in common: data, recipe, environment.
        arms: The arms, the ticket first.
        reference: The arm that the elastic hypothesis compares the ticket with; None if it was not trained.
        margin: How far below the reference the ticket may be for the hypothesis to hold, as a fraction of the test set.
        origin: Where the ticket came from; None if it was not stretched.
        layers: The ticket's prunable tensors.
        find_flops: Sparse FLOPs of finding the ticket that it was stretched from; None where that is not known.
        command: The command that made the report; empty from Python.
    """

    ticket_id: str
    architecture: str
    sparsity: float
    start_step: int
    setting: Mapping[str, Any]
    arms: tuple[ArmResult, ...]
    reference: str | None = None
    margin: float = DEFAULT_MARGIN
    origin: Origin | None = None
    layers: tuple[LayerDensity, ...] = ()
    find_flops: float | None = None
    command: str = ""

    def arm(self, name: str) -> ArmResult:
        """One arm by its name.

        Raises:
            TicketkitError: If the report has no such arm.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = ", ".join(arm.name for arm in self.arms)
        raise TicketkitError(f"an arm of this report must be one of {known} (got {name!r})")

    def lead_over(self, name: str) -> Interval:
        """How far the ticket is above an arm, seed by seed: a fraction of the test set with its 95 % interval."""
        return paired_difference(self.arm(TICKET).accuracies, self.arm(name).accuracies)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values; ``formats/verify-v1.md`` describes them."""
        return {
            "format": dict(FORMAT),
            "ticket": {"id": self.ticket_id, "architecture": self.architecture, "sparsity": self.sparsity},
            "start_step": self.start_step,
            **self.setting,
            "arms": [self._arm_json(arm) for arm in self.arms],
            "verdict": verdict(self),
        }

    def _arm_json(self, arm: ArmResult) -> dict[str, Any]:
        lead = None if arm.name == TICKET else self.lead_over(arm.name)
        return {
            "name": arm.name,
            "summary": arm.summary,
            "kept": arm.kept,
            "total": arm.total,
            "mean": arm.mean,
            "deviation": arm.deviation,
            "ticket_lead": None if lead is None else {"mean": lead.mean, "low": lead.low, "high": lead.high},
            "runs": [
                {
                    "seed": run.seed,
                    "accuracy": run.accuracy,
                    "untrained": run.untrained,
                    "loss": run.loss,
                    "seconds": run.seconds,
                }
                for run in arm.runs
            ],
        }


def verdict(report: Report) -> str:
    """One line that says what the trainings showed, and what they could not tell."""
    rivals = [arm.name for arm in report.arms if arm.name != TICKET]
    if not rivals:
        return "The ticket was trained alone: nothing to compare it with."
    if len(report.arms[0].runs) < 2:  # noqa: PLR2004 - one seed has no spread
        return "One seed tells no difference from noise: give more with --seeds."
    above, below, level = [], [], []
    for name in rivals:
        lead = report.lead_over(name)
        if lead.is_above_zero:
            above.append(name)
        elif lead.high is not None and lead.high < 0:
            below.append(name)
        else:
            level.append(name)
    parts = []
    if above:
        parts.append(f"beats {_listed(above)}")
    if below:
        parts.append(f"loses to {_listed(below)}")
    if level:
        parts.append(f"is not told from {_listed(level)}")
    return f"The ticket {_listed(parts)} (95 %, {len(report.arms[0].runs)} seeds)."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
