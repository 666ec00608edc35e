"""Linear mode connectivity as values: accuracy and loss along the line between two trainings of one ticket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from ticketkit.errors import TicketkitError
from ticketkit.provenance import Count, Fraction
from ticketkit.report.statistics import deviation

FORMAT: Final = {"name": "ticketkit-connect", "version": "1.0"}
"""Name and version of :func:`connections_to_json`, specified in ``formats/connect-v1.md``."""

STABLE_BELOW = 0.02
"""Below this barrier, two points, Frankle et al. (2020) call a network stable to the noise of SGD."""

T = TypeVar("T")
AtLeastZero = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the line, its running statistics recomputed.

    Attributes:
        alpha: Where on the line: 0 is the first end, 1 the second.
        accuracy: Test accuracy, in [0, 1].
        loss: Mean cross-entropy over the test images.
        train_loss: The same over training images without augmentation.
    """

    alpha: Fraction
    accuracy: Fraction
    loss: AtLeastZero
    train_loss: AtLeastZero


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The line between two trainings that differ in data order and augmentation alone.

    Attributes:
        seed: The pair's seed, from which the noise of both trainings follows.
        ends: Test accuracy of the two trainings, with the running statistics that each ended with; in [0, 1].
        points: The line, evenly spaced from ``alpha`` 0 to 1.
        distance: L2 distance between the ends over the kept weights.
        seconds: Wall time of both trainings and the line.

    Raises:
        ValueError: If the points do not lead from 0 to 1.
    """

    seed: int
    ends: tuple[Fraction, Fraction]
    points: tuple[Point, ...]
    distance: AtLeastZero
    seconds: AtLeastZero

    def __post_init__(self) -> None:
        alphas = [point.alpha for point in self.points]
        if alphas[:1] != [0] or alphas[-1:] != [1] or any(after <= before for before, after in pairwise(alphas)):
            raise ValueError(f"the points of a line must lead from alpha 0 to 1 (got {', '.join(map(str, alphas))})")

    @property
    def lowest(self) -> Point:
        """The point of the lowest accuracy, the first of several."""
        return min(self.points, key=lambda point: point.accuracy)

    @property
    def barrier(self) -> float:
        """How far accuracy falls on the way, the mean of the line's two ends less its lowest point, in [0, 1].

        The error barrier of Frankle et al. (2020). The ends are the line's own, with running statistics recomputed as
        at every other point, so a barrier is never negative.
        """
        return fmean((self.points[0].accuracy, self.points[-1].accuracy)) - self.lowest.accuracy

    @property
    def loss_barrier(self) -> float:
        """How far the test loss rises on the way, its highest point less the mean of the line's two ends."""
        return self._rise([point.loss for point in self.points])

    @property
    def train_loss_barrier(self) -> float:
        """The same of the training loss."""
        return self._rise([point.train_loss for point in self.points])

    @staticmethod
    def _rise(values: list[float]) -> float:
        return max(values) - fmean((values[0], values[-1]))

    def to_json(self) -> dict[str, Any]:
        """The curve as plain JSON values; ``formats/connect-v1.md`` describes them."""
        return {
            "seed": self.seed,
            "ends": list(self.ends),
            "barrier": self.barrier,
            "loss_barrier": self.loss_barrier,
            "train_loss_barrier": self.train_loss_barrier,
            "lowest": {"alpha": self.lowest.alpha, "accuracy": self.lowest.accuracy},
            "distance": self.distance,
            "seconds": self.seconds,
            "points": [asdict(point) for point in self.points],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Whether trainings of a ticket end in one linearly connected basin.

    Attributes:
        name: What the ticket is called.
        ticket_id: Its id.
        architecture: Its network's name.
        sparsity: Its sparsity, in [0, 1].
        start_step: The step of the schedule that every training started at.
        setting: What the trainings had in common: ``dataset``, ``recipe`` and ``environment``.
        curves: One line for each pair of trainings; at least one.
        command: The command that made it; empty from Python.

    Raises:
        ValueError: If there is no curve.
    """

    name: str
    ticket_id: str
    architecture: str
    sparsity: float
    start_step: int
    setting: Mapping[str, Any]
    curves: tuple[Curve, ...]
    command: str = ""

    def __post_init__(self) -> None:
        if not self.curves:
            raise ValueError("a connection must have at least one curve (got none)")

    @property
    def barriers(self) -> list[float]:
        """Each pair's barrier of accuracy, in [0, 1]."""
        return [curve.barrier for curve in self.curves]

    @property
    def barrier(self) -> float:
        """Mean barrier of accuracy over the pairs, in [0, 1]."""
        return fmean(self.barriers)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the barrier over the pairs; None for one pair."""
        return deviation(self.barriers)

    @property
    def is_stable(self) -> bool:
        """Whether the mean barrier is below :data:`STABLE_BELOW`."""
        return self.barrier < STABLE_BELOW

    def to_json(self) -> dict[str, Any]:
        """The connection as plain JSON values, one entry of the document; ``formats/connect-v1.md`` describes them."""
        return {
            "name": self.name,
            "ticket": {"id": self.ticket_id, "architecture": self.architecture, "sparsity": self.sparsity},
            "start_step": self.start_step,
            **self.setting,
            "barrier": self.barrier,
            "deviation": self.deviation,
            "stable": self.is_stable,
            "curves": [curve.to_json() for curve in self.curves],
            "command": self.command,
        }

    @classmethod
    def from_json(cls, value: object, where: str = "a connection") -> Connection:
        """Read what :meth:`to_json` gives; members that follow from others, and unknown ones, are not looked at.

        Args:
            value: The plain JSON values.
            where: What they are, for messages.

        Raises:
            TicketkitError: If they are not those of a connection.
        """
        entry = _convert(value, _Entry, where)
        return cls(
            name=entry.name,
            ticket_id=entry.ticket.id,
            architecture=entry.ticket.architecture,
            sparsity=entry.ticket.sparsity,
            start_step=entry.start_step,
            setting={"dataset": entry.dataset, "recipe": entry.recipe, "environment": entry.environment},
            curves=entry.curves,
            command=entry.command,
        )


def connections_to_json(connections: Iterable[Connection]) -> dict[str, Any]:
    """The document of one or more connections, as plain JSON values; ``formats/connect-v1.md`` describes it."""
    return {"format": dict(FORMAT), "connections": [connection.to_json() for connection in connections]}


def connections_from_json(document: object, where: str = "a connection document") -> tuple[Connection, ...]:
    """Read what :func:`connections_to_json` gives.

    Args:
        document: The plain JSON values.
        where: The file they are from, or another name for messages.

    Raises:
        TicketkitError: If they are no such document, or of another version than 1.
    """
    read = _convert(document, _Document, where)
    if read.format.name != FORMAT["name"] or not read.format.version.startswith("1."):
        found = f"{read.format.name} {read.format.version}"
        raise TicketkitError(f"a connection document must be {FORMAT['name']} 1.x (got {found}): {where}")
    return tuple(Connection.from_json(entry, f"{where}: connections[{n}]") for n, entry in enumerate(read.connections))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    format: _Format
    connections: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticket:
    id: str
    architecture: str
    sparsity: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    name: str
    ticket: _Ticket
    start_step: Count
    dataset: Mapping[str, Any]
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any]
    curves: Annotated[tuple[Curve, ...], Meta(min_length=1)]
    command: str = ""


def _convert(value: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TicketkitError(f"a connection must follow formats/connect-v1.md ({error}): {where}") from None
