"""Where two tickets differ: in what their documents say, in the weights under their masks, in their other tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

from ticketkit.encoding import Bitmask
from ticketkit.report.overlap import Overlap, compare
from ticketkit.ticket import Ticket

FORMAT: Final = {"name": "ticketkit-diff", "version": "1.0"}
"""Name and version of what ``ticketkit diff --json`` prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """One thing that two tickets' documents say differently.

    Attributes:
        field: Where it stands in the document ("provenance.transformations[0].mapping").
        first: What the first ticket says, a plain JSON value; None if nothing.
        other: What the other says.
    """

    field: str
    first: Any
    other: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two tickets differ.

    Attributes:
        id: Id of the first ticket.
        other_id: Id of the other; equal ids are equal tickets.
        fields: What they say differently of their network, weights, provenance and results: in the first's
            order, and then what the other alone says.
        overlap: What their masks and the weights under them share; None for tickets of different networks.
        unmasked: Number of tensors that neither masks; None for tickets of different networks.
        unmasked_different: Names of those of them that are not equal, bit for bit, in execution order.
    """

    id: str
    other_id: str
    fields: tuple[FieldDifference, ...]
    overlap: Overlap | None
    unmasked: int | None
    unmasked_different: tuple[str, ...]

    @classmethod
    def of(cls, first: Ticket, other: Ticket) -> Self:
        """Compare two tickets; those of one network layer by layer, no more than one layer decoded at once."""
        fields = tuple(_differences(first, other))
        if first.arch != other.arch:
            return cls(
                id=first.id, other_id=other.id, fields=fields, overlap=None, unmasked=None, unmasked_different=()
            )
        unmasked = [
            name
            for name in first.stored
            if not (isinstance(first.stored[name], Bitmask) or isinstance(other.stored[name], Bitmask))
        ]
        return cls(
            id=first.id,
            other_id=other.id,
            fields=fields,
            overlap=compare(first, other),
            unmasked=len(unmasked),
            unmasked_different=tuple(name for name in unmasked if not _equal(first, other, name)),
        )

    def to_json(self) -> dict[str, Any]:
        """The differences as plain JSON values; ``formats/diff-v1.md`` says what each means."""
        return {
            "equal": self.id == self.other_id,
            "fields": [msgspec.to_builtins(field) for field in self.fields],
            "unmasked": None
            if self.unmasked is None
            else {"tensors": self.unmasked, "different": list(self.unmasked_different)},
        }


def _equal(first: Ticket, other: Ticket, name: str) -> bool:
    left, right = first.stored[name], other.stored[name]
    return (left.dtype, left.sha256) == (right.dtype, right.sha256)


def _differences(first: Ticket, other: Ticket) -> Iterator[FieldDifference]:
    left, right = dict(_leaves("", _said(first))), dict(_leaves("", _said(other)))
    for field in left | right:
        if left.get(field) != right.get(field):
            yield FieldDifference(field=field, first=left.get(field), other=right.get(field))


def _said(ticket: Ticket) -> dict[str, Any]:
    said = {part: getattr(ticket, part) for part in ("weights", "provenance", "results")}
    named = {"architecture": {"name": ticket.arch.name, **msgspec.to_builtins(ticket.arch)}}
    return named | {part: msgspec.to_builtins(value) for part, value in said.items()}


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The numbers, texts and nothings in plain JSON values, each with its place."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _leaves(f"{place}.{key}" if place else str(key), item)
        case list() | tuple():
            for position, item in enumerate(value):
                yield from _leaves(f"{place}[{position}]", item)
        case _:
            yield place, value
