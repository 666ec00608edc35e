"""What a comparison says in words, and whether it says what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from ticketkit.errors import TicketkitError
from ticketkit.report.statistics import MOST_SEEDS_NEEDED, NonInferiority

if TYPE_CHECKING:
    from ticketkit.report.comparison import Report

Relation = Literal["better-than", "no-worse-than"]
RELATIONS: Final[tuple[Relation, ...]] = get_args(Relation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What somebody expects of a ticket.

    Attributes:
        relation: ``better-than``: the 95 % interval of the ticket's lead is above 0. ``no-worse-than``: the ticket is
            not below by more than the report's margin, 95 %.
        arm: The arm it is compared with.
    """

    relation: Relation
    arm: str

    def holds(self, report: Report) -> bool:
        """Whether a comparison bears it out; what its seeds cannot tell it does not.

        Raises:
            TicketkitError: If the report has no such arm.
        """
        if self.relation == "better-than":
            lead = report.lead_over(self.arm)
            return lead is not None and lead.is_above_zero
        test = report.non_inferiority(self.arm)
        return test is not None and test.state == "held"

    def __str__(self) -> str:
        return f"{self.relation}={self.arm}"


def parse_expectation(text: str, names: Sequence[str]) -> Expectation:
    """Read an expectation as it is typed: ``better-than=random``, ``no-worse-than=imp``.

    Args:
        text: What was typed.
        names: The arms that the ticket is compared with.

    Raises:
        TicketkitError: If there is no such relation or arm.
    """
    typed, _, arm = text.partition("=")
    for relation in RELATIONS:
        if relation == typed and arm in names:
            return Expectation(relation=relation, arm=arm)
    raise TicketkitError(
        f"an expectation must be {' or '.join(f'{relation}=ARM' for relation in RELATIONS)}, "
        f"ARM one of {', '.join(names) or 'the arms compared with (there is none)'} (got {text!r})"
    )


def verdict(report: Report) -> str:
    """What the trainings showed, and what they could not tell: one sentence, and one on the elastic hypothesis."""
    return " ".join(verdict_sentences(report))


def verdict_sentences(report: Report) -> list[str]:
    """The sentences of :func:`verdict`, the elastic hypothesis last, where its reference was trained."""
    test = report.hypothesis()
    sentences = [_comparison(report)]
    if test is not None:
        margin = f"margin {100 * test.margin:g} points"
        sentences.append(f"Elastic hypothesis against {report.reference}, {margin}: {_outcome(test)}.")
    return sentences


def points(fraction: float) -> str:
    """A difference of two fractions of the test set in percentage points, with its sign: ``+0.16``, ``−0.12``."""
    rounded = round(100 * fraction, 2) + 0.0  # adding zero takes the sign off a zero
    return f"{rounded:+.2f}".replace("-", "−")


def _comparison(report: Report) -> str:
    if not report.rivals:
        return "The ticket was trained alone: nothing to compare it with."
    outcomes: dict[str, list[str]] = {"beats": [], "loses to": [], "is not told from": []}
    too_few, counts = [], []
    for arm in report.rivals:
        lead = report.lead_over(arm.name)
        if lead is None or lead.low is None or lead.high is None:
            too_few.append(arm.name)
            continue
        counts.append(lead.count)
        outcomes["beats" if lead.low > 0 else "loses to" if lead.high < 0 else "is not told from"].append(arm.name)
    if not counts:
        return "One seed tells no difference from noise: give more with --seeds."
    parts = [f"{relation} {_listed(names)}" for relation, names in outcomes.items() if names]
    fewest, most = min(counts), max(counts)
    seeds = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    rest = f"; too few seeds to compare it with {_listed(too_few)}" if too_few else ""
    return f"The ticket {_listed(parts)} (95 %, {seeds}){rest}."


def _outcome(test: NonInferiority) -> str:
    interval = test.interval
    shown = f"difference {points(interval.mean)}"
    if interval.low is None or interval.high is None:
        return f"not told with {_seeds(interval.count)} ({shown})"
    shown += f", 95 % {points(interval.low)} to {points(interval.high)}"
    if test.state != "not enough seeds":
        return f"{test.state} ({shown})"
    needed = f"over {MOST_SEEDS_NEEDED:,}" if test.seeds_needed is None else f"about {test.seeds_needed:,}"
    return f"not told with {_seeds(interval.count)} ({shown}); {needed} would tell"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count:,} seeds"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
