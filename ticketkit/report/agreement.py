"""Whether a ticket that was made again is the one that it was to be, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from ticketkit.report.overlap import compare
from ticketkit.ticket import Ticket, same_values

FORMAT: Final = {"name": "ticketkit-reproduce", "version": "1.0"}

State = Literal["identical", "same", "differs"]

_ROUNDING = 1e-9
"""What two accuracies may be further apart than is allowed, since a difference of fractions is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One member in which two documents differ.

    Attributes:
        field: Where it is, such as ``provenance.environment.torch``.
        then: What the ticket says; None if nothing.
        now: What the one made again says; None if nothing.
    """

    field: str
    then: Any
    now: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPair:
    """One level, as the ticket records it and as it came out again.

    Attributes:
        level: The level; 0 is the dense network.
        kept: Kept weights, the same both times.
        then: Test accuracy that the ticket records, in [0, 1].
        now: Test accuracy now, in [0, 1].
    """

    level: int
    kept: int
    then: float
    now: float

    @property
    def difference(self) -> float:
        """How much more accurate it is now; negative if less."""
        return self.now - self.then


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A ticket on the way: the one that was found, and what each transformation made of it.

    Attributes:
        architecture: Full name of its network.
        then: Its id, as the ticket says.
        now: The id it has now.
    """

    architecture: str
    then: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How a ticket that was made again compares with the ticket.

    Attributes:
        id: The ticket's id.
        made: The id of the one made again.
        same_values: Whether both have the same network, mask and tensors, bit for bit.
        differences: What the two say otherwise of how they came to be, of their weights and their results.
        iou: Intersection over union of the two masks, in [0, 1].
        equal: Of the weights that both keep, the fraction that are equal bit for bit, in [0, 1].
        levels: The levels that both have an accuracy of; empty for a ticket that records none.
        steps: What was made on the way, the ticket last.
    """

    id: str
    made: str
    same_values: bool
    differences: tuple[Difference, ...]
    iou: float
    equal: float
    levels: tuple[LevelPair, ...]
    steps: tuple[Step, ...]

    @property
    def state(self) -> State:
        """``identical``: the same id. ``same``: the same weights, mask and accuracies, told otherwise. Or ``differs``.

        The weights of a ticket alone do not show that its last level was trained alike, so accuracies count.
        """
        if self.made == self.id:
            return "identical"
        measured = any(difference.field.split(".")[0] in ("weights", "results") for difference in self.differences)
        return "same" if self.same_values and not measured else "differs"

    @property
    def farthest(self) -> LevelPair | None:
        """The level whose accuracies are furthest apart, the first of several; None if there is none."""
        return max(self.levels, key=lambda pair: abs(pair.difference), default=None)

    def holds(self, within: float | None = None) -> bool:
        """Whether the ticket was reproduced.

        Args:
            within: How far apart accuracies may be where the weights differ, as a fraction of the test set; None if
                the weights must be the same.
        """
        if self.state != "differs":
            return True
        if within is None or self.farthest is None:
            return False
        return abs(self.farthest.difference) <= within + _ROUNDING

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values, as ``formats/reproduce-v1.md`` describes them."""
        farthest = self.farthest
        return {
            "id": self.id,
            "made": self.made,
            "verdict": self.state,
            "iou": self.iou,
            "equal": self.equal,
            "largest_difference": None if farthest is None else abs(farthest.difference),
            "differences": [msgspec.to_builtins(difference) for difference in self.differences],
            "levels": [msgspec.to_builtins(level) for level in self.levels],
            "steps": [msgspec.to_builtins(step) for step in self.steps],
        }


def agreement(ticket: Ticket, made: Ticket, steps: tuple[Step, ...] = ()) -> Agreement:
    """Compare a ticket with the one that was made again.

    Args:
        ticket: The ticket.
        made: The one made again, of the same network.
        steps: What was made on the way.

    Raises:
        ArchError: If their networks differ.
    """
    overlap = compare(ticket, made)
    then, now = _described(ticket), _described(made)
    if ticket.results is None:  # what records nothing is not contradicted
        then.pop("results", None)
        now.pop("results", None)
    levels = {level.level: level for level in (made.results.levels if made.results is not None else ())}
    return Agreement(
        id=ticket.id,
        made=made.id,
        same_values=same_values(ticket, made),
        differences=tuple(differences(then, now)),
        iou=overlap.iou,
        equal=overlap.equal / overlap.both if overlap.both else 1.0,
        levels=tuple(
            LevelPair(level=level.level, kept=level.kept, then=level.accuracy, now=levels[level.level].accuracy)
            for level in (ticket.results.levels if ticket.results is not None else ())
            if level.level in levels
        ),
        steps=steps,
    )


def differences(then: Any, now: Any, field: str = "") -> Iterator[Difference]:
    """Every member in which two JSON values differ, by its path, in order."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then, *now}):
            yield from differences(then.get(key), now.get(key), f"{field}.{key}" if field else key)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (left, right) in enumerate(zip(then, now, strict=True)):
            yield from differences(left, right, f"{field}.{number}")
    elif then != now:
        yield Difference(field=field, then=then, now=now)


def _described(ticket: Ticket) -> dict[str, Any]:
    """What a ticket's document says of more than its tensors, the format's version aside."""
    return {key: value for key, value in ticket.document.items() if key not in ("id", "layers", "format")}
