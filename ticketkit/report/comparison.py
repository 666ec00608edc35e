"""The result of a verification: a ticket beside its baselines, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ticketkit.errors import TicketkitError
from ticketkit.report.statistics import Interval, deviation, paired_difference

FORMAT = {"name": "ticketkit-verify", "version": "1.0"}

TICKET = "ticket"
"""The arm that all others are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training of one arm.

    Attributes:
        seed: The seed that the same run of every arm has.
        accuracy: Test accuracy at the end, in [0, 1].
        untrained: Test accuracy before training, running statistics recalibrated, in [0, 1].
        loss: Mean training loss of the last epoch.
        seconds: Wall time.
    """

    seed: int
    accuracy: float
    untrained: float
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """All trainings of one arm.

    Attributes:
        name: The arm.
        summary: What it is, in one line.
        kept: Kept prunable weights.
        total: Prunable weights.
        runs: Its trainings, one a seed.
    """

    name: str
    summary: str
    kept: int
    total: int
    runs: tuple[Run, ...]

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
class Report:
    """A ticket beside its baselines.

    Attributes:
        ticket_id: The ticket's id.
        architecture: Its network's name.
        sparsity: Its sparsity, in [0, 1].
        start_step: The step of the schedule that every arm started at.
        setting: What the trainings had in common: data, recipe, environment.
        arms: The arms, the ticket first.
    """

    ticket_id: str
    architecture: str
    sparsity: float
    start_step: int
    setting: Mapping[str, Any]
    arms: tuple[ArmResult, ...]

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
