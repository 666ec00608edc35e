"""Which source unit each target unit comes from, and the grammar that writes it down."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ticketkit.errors import StretchError

MAX_UNITS = 10_000
"""The largest unit number a mapping may name; a guard against absurd strings."""

MAX_STAGES = 1_000
"""The most stages a mapping may have; networks have four."""

MAX_LENGTH = 1_000_000
"""The longest mapping that is read, in characters; what a ticket's provenance may hold."""

_SHOWN = 80
"""How much of a mapping a message quotes."""

_ENTRY = re.compile(r"\s*([0-9]{1,5})\s*:\s*([0-9]{1,5}(?:\s*,\s*[0-9]{1,5})*)\s*")
_UNIT = re.compile("[0-9]+")
"""Not all that lies between commas: what ``\\s`` takes for space, such as U+001C, ``int`` need not."""


@dataclass(frozen=True, slots=True)
class StageMap:
    """A mapping from the units of a source network to the units of a target network, stage by stage.

    Attributes:
        stages: For each stage, the source unit of each target unit: ``(0, 1, 2, 1, 2)`` builds five units of three.
            A single entry holds for every stage of whatever network it is used with.

    Raises:
        StretchError: If it has no stage, or a stage has no unit.

    Examples:
        >>> str(ticketkit.StageMap(((0, 1, 2, 1, 2),)))
        '0:0;1:1,3;2:2,4'
    """

    stages: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.stages or not all(self.stages):
            raise StretchError(f"a mapping must name at least one unit in every stage (got {self.stages})")

    def __str__(self) -> str:
        """The mapping in the grammar that :func:`parse_stage_map` reads."""
        return "|".join(_format_stage(sources) for sources in self.stages)

    def for_stages(self, count: int) -> tuple[tuple[int, ...], ...]:
        """The mapping of each of ``count`` stages.

        Raises:
            StretchError: If it is written for another number of stages.
        """
        if len(self.stages) == 1:
            return self.stages * count
        if len(self.stages) != count:
            raise StretchError(
                f"a mapping must be for one stage or for all {count} (got {len(self.stages)} in {str(self)[:_SHOWN]})"
            )
        return self.stages


def parse_stage_map(text: str) -> StageMap:
    """Read a mapping: ``source:targets`` entries joined by ``;``, stages by ``|``.

    ``0:0;1:1,3;2:2,4`` builds five units of three by appending, ``0:0;1:1,2;2:3,4`` by interpolation. A source unit
    that is not named is dropped. The grammar is that of the authors' ElasticLTH.

    Raises:
        StretchError: If it is longer than 1,000,000 characters, an entry does not parse, or a target unit is named
            twice or not at all.

    Examples:
        >>> ticketkit.parse_stage_map("0:0;1:1,3;2:2,4")
        StageMap(stages=((0, 1, 2, 1, 2),))
    """
    if len(text) > MAX_LENGTH:
        raise StretchError(f"a mapping must have at most {MAX_LENGTH:,} characters (got {len(text):,})")
    stages = text.split("|")
    if len(stages) > MAX_STAGES:
        raise StretchError(f"a mapping must have at most {MAX_STAGES:,} stages (got {len(stages):,})")
    return StageMap(tuple(_parse_stage(stage, number, text) for number, stage in enumerate(stages)))


def _parse_stage(stage: str, number: int, text: str) -> tuple[int, ...]:
    if (units := stage.count(",") + stage.count(";") + 1) > MAX_UNITS + 1:
        raise StretchError(f"a stage of a mapping must have at most {MAX_UNITS + 1:,} units (got {units:,})")
    source_of: dict[int, int] = {}
    for entry in stage.split(";"):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise StretchError(
                f"a mapping's entries must read source:target,target (got {entry[:40]!r} in {text[:_SHOWN]!r})"
            )
        source = int(match[1])
        for target in map(int, _UNIT.findall(match[2])):
            if max(source, target) > MAX_UNITS:
                raise StretchError(f"units of a mapping must be at most {MAX_UNITS:,} (got {max(source, target):,})")
            if target in source_of:
                raise StretchError(
                    f"stage {number}: target unit {target} must have one source "
                    f"(got {source_of[target]} and {source} in {text[:_SHOWN]!r})"
                )
            source_of[target] = source
    for target in range(max(source_of) + 1):
        if target not in source_of:
            raise StretchError(
                f"stage {number}: target unit {target} must have a source (got none in {text[:_SHOWN]!r})"
            )
    return tuple(source_of[target] for target in range(len(source_of)))


def _format_stage(sources: tuple[int, ...]) -> str:
    targets_of: dict[int, list[int]] = {}
    for target, source in enumerate(sources):
        targets_of.setdefault(source, []).append(target)
    return ";".join(f"{source}:{','.join(map(str, targets_of[source]))}" for source in sorted(targets_of))
