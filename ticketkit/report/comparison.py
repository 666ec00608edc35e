"""The result of a verification: a ticket beside its baselines, as a value and as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

from ticketkit.errors import TicketkitError
from ticketkit.report.account import account
from ticketkit.report.judgement import verdict
from ticketkit.report.runs import Amount, ArmResult, Cost, Count, Fraction, Run
from ticketkit.report.statistics import Interval, NonInferiority, non_inferiority, paired_difference

__all__ = [
    "DEFAULT_MARGIN",
    "DEFAULT_REFERENCE",
    "FORMAT",
    "TICKET",
    "ArmResult",
    "Cost",
    "LayerDensity",
    "Origin",
    "Report",
    "Run",
    "verdict",
]

FORMAT: Final = {"name": "ticketkit-verify", "version": "1.1"}
"""Name and version of :meth:`Report.to_json`, specified in ``formats/verify-v1.md``."""

TICKET: Final = "ticket"
"""The arm that all others are compared with."""

DEFAULT_REFERENCE: Final = "imp"
"""The arm that the elastic hypothesis is about: IMP on the target itself."""

DEFAULT_MARGIN: Final = 0.005
"""Half a point: how far below the reference a ticket may be and still count as nearly as good."""

_SETTING: Final = ("dataset", "recipe", "environment")
_WRAPPERS: Final = ("results", "result", "report")


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
    kept: Count
    size: Count


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

    Arms may have different seeds, as in a sweep that is not done: whatever compares two of them takes the seeds that
    both have.

    Attributes:
        ticket_id: The ticket's id.
        architecture: Its network's name.
        sparsity: Its sparsity, in [0, 1].
        start_step: The step of the schedule that the ticket's training started at.
        setting: What the trainings had in common, an object each: ``dataset``, ``recipe``, ``environment``.
        arms: The arms, the ticket first.
        reference: The arm that the elastic hypothesis compares the ticket with; None if it was not trained.
        margin: How far below the reference the ticket may be for the hypothesis to hold, as a fraction of the test set.
        origin: Where the ticket came from; None if it was not stretched.
        layers: The ticket's prunable tensors.
        find_flops: Sparse FLOPs of finding the ticket that it was stretched from; None where that is not known.
        command: The command that made the report; empty from Python.

    Raises:
        TicketkitError: If the ticket is not the first arm, two arms share a name, or the reference is no other arm.

    Examples:
        >>> data = ticketkit.load_data("digits")
        >>> recipe = ticketkit.load_recipe("quick", ["epochs=2", "warmup=0"])
        >>> ticket = ticketkit.find_ticket(ticketkit.parse_arch("mlp-64-16-10"), data, recipe, levels=1)
        >>> report = ticketkit.verify_ticket(ticket, data, recipe, arms=["random"], seeds=(0, 1))
        >>> report.architecture, f"{report.sparsity:.0%}", [arm.name for arm in report.arms]
        ('mlp-64-16-10', '20%', ['ticket', 'random'])
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

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if names[:1] != [TICKET] or len(set(names)) < len(names):
            raise TicketkitError(f"the arms of a report must be {TICKET!r} and others, each name once (got {names})")
        if self.reference not in {None, *names[1:]}:
            known = ", ".join(names[1:]) or "the arms beside the ticket (there is none)"
            raise TicketkitError(f"the reference must be one of {known} (got {self.reference!r})")

    @classmethod
    def from_json(cls, document: Any, where: str = "") -> Self:
        """Read a report back from what :meth:`to_json` gave, of this or any other version 1.x.

        Members that are not known, and those that follow from others, are not looked at. A report may stand in the
        member ``results``, ``result`` or ``report`` of an object that says more about it, as benchmarks keep it.

        Args:
            document: The parsed JSON document.
            where: The file it came from, for messages.

        Raises:
            TicketkitError: If it is no such report; the message is one line that names the member and ``where``.
        """
        try:
            return cls(**_read(document))
        except TicketkitError as error:
            raise TicketkitError(f"{error}: {where}" if where else str(error)) from None

    @property
    def ticket(self) -> ArmResult:
        """The ticket's own arm."""
        return self.arms[0]

    @property
    def rivals(self) -> tuple[ArmResult, ...]:
        """The arms that the ticket is compared with."""
        return self.arms[1:]

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

    def difference(self, name: str, reference: str) -> Interval | None:
        """How far an arm is above another, over the seeds that both have.

        Args:
            name: The arm.
            reference: The other one.

        Returns:
            A fraction of the test set with its 95 % interval; None if the two share no seed.

        Raises:
            TicketkitError: If the report has no such arm.
        """
        left, right = self._paired(name, reference)
        return paired_difference(left, right) if left else None

    def over_reference(self, name: str) -> Interval | None:
        """How far an arm is above the reference: :meth:`difference` of the two.

        None where there is no reference, and for the reference itself.
        """
        return None if self.reference in {None, name} else self.difference(name, str(self.reference))

    def lead_over(self, name: str) -> Interval | None:
        """How far the ticket is above an arm: :meth:`difference` of the two."""
        return self.difference(TICKET, name)

    def non_inferiority(self, name: str) -> NonInferiority | None:
        """Whether the ticket is no more than the margin below an arm; None if the two share no seed.

        Raises:
            TicketkitError: If the report has no such arm.
        """
        left, right = self._paired(TICKET, name)
        return non_inferiority(left, right, self.margin) if left else None

    def hypothesis(self) -> NonInferiority | None:
        """The elastic hypothesis: whether the ticket is no more than the margin below the reference.

        None if the reference was not trained, or with none of the ticket's seeds.
        """
        return None if self.reference is None else self.non_inferiority(self.reference)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values; ``formats/verify-v1.md`` describes them."""
        costs = account(self)
        document = {
            "format": FORMAT,
            "command": self.command,
            "ticket": {"id": self.ticket_id, "architecture": self.architecture, "sparsity": self.sparsity},
            "origin": self.origin,
            "start_step": self.start_step,
            **self.setting,
            "reference": self.reference,
            "margin": self.margin,
            "find_flops": self.find_flops,
            "arms": [self._arm_json(arm) for arm in self.arms],
            "layers": self.layers,
            "hypothesis": self.hypothesis(),
            "account": None if costs is None else costs.to_json(),
            "verdict": verdict(self),
        }
        # Through text and back: JSON has lists and no tuples.
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
        return plain

    def _arm_json(self, arm: ArmResult) -> dict[str, Any]:
        return {
            "name": arm.name,
            "summary": arm.summary,
            "architecture": arm.architecture,
            "kept": arm.kept,
            "total": arm.total,
            "mean": arm.mean,
            "deviation": arm.deviation,
            "top5": arm.top5,
            "top5_deviation": arm.top5_deviation,
            "ticket_lead": None if arm.name == TICKET else self.lead_over(arm.name),
            "difference_to_reference": self.over_reference(arm.name),
            "runs": arm.runs,
        }

    def _paired(self, name: str, other: str) -> tuple[list[float], list[float]]:
        left, right = self.arm(name).by_seed, self.arm(other).by_seed
        seeds = [seed for seed in left if seed in right]
        return [left[seed] for seed in seeds], [right[seed] for seed in seeds]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    id: str
    architecture: str
    sparsity: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """What is read of a document; what only version 1.1 has comes with the value that 1.0 implies."""

    ticket: _Subject
    start_step: Count
    arms: tuple[ArmResult, ...]
    dataset: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    reference: str | None = None
    margin: Fraction = DEFAULT_MARGIN
    origin: Origin | None = None
    layers: tuple[LayerDensity, ...] = ()
    find_flops: Amount | None = None
    command: str = ""


def _read(document: Any) -> dict[str, Any]:
    """The fields of a report."""
    place = "$"
    if isinstance(document, Mapping) and "format" not in document:
        for member in _WRAPPERS:
            if isinstance(document.get(member), Mapping):
                document, place = document[member], f"$.{member}"
                break
    _check_format(document.get("format") if isinstance(document, Mapping) else None)
    try:
        found = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        message = str(error).replace("`$", f"`{place}")
        raise TicketkitError(f"a verify report must follow its format: {message}") from None
    return {
        "ticket_id": found.ticket.id,
        "architecture": found.ticket.architecture,
        "sparsity": found.ticket.sparsity,
        "start_step": found.start_step,
        "setting": {name: values for name in _SETTING if (values := getattr(found, name)) is not None},
        "arms": found.arms,
        "reference": found.reference,
        "margin": found.margin,
        "origin": found.origin,
        "layers": found.layers,
        "find_flops": found.find_flops,
        "command": found.command,
    }


def _check_format(found: Any) -> None:
    if not isinstance(found, Mapping) or found.get("name") != FORMAT["name"]:
        name = found.get("name") if isinstance(found, Mapping) else found
        raise TicketkitError(f"a verify report's format must be named {FORMAT['name']!r} (got {repr(name)[:60]})")
    version = found.get("version")
    if not isinstance(version, str) or not re.fullmatch(r"1\.[0-9]{1,4}", version):
        raise TicketkitError(
            f"a verify report's format.version must be 1.x (got {repr(version)[:60]}); a newer ticketkit may read it"
        )
