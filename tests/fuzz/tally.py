"""What came of many inputs, as a value that can be added up, written as JSON and shown as a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts import ACCEPTED, MAPPING_STAGES, STAGES

_KIND = 60
"""How many characters of two failures' lines must be the same for the table to show the first alone."""


@dataclass(slots=True)
class Failure:
    """An input that broke a contract.

    Attributes:
        line: What does not hold.
        origin: Where the input came from, so that it can be made again.
        file: Where it was saved.
    """

    line: str
    origin: str
    file: str


@dataclass(slots=True)
class Tally:
    """What came of the inputs so far.

    Attributes:
        stages: Number of inputs by the stage that refused them, or accepted.
        failures: Those that broke a contract.
        slowest_s: The longest that reading one took, in seconds.
        slowest: Where that one came from.
        memory_bytes: The most memory that a process had, in bytes.
        growth_bytes: The most by which one input raised that.
        hungriest: Where that one came from.
    """

    stages: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    memory_bytes: int = 0
    growth_bytes: int = 0
    hungriest: str = ""

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.stages.total() + len(self.failures)

    def add(self, other: Tally) -> None:
        """Add what came of other inputs."""
        self.stages += other.stages
        self.failures += other.failures
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest
        if other.growth_bytes > self.growth_bytes:
            self.growth_bytes, self.hungriest = other.growth_bytes, other.hungriest
        self.memory_bytes = max(self.memory_bytes, other.memory_bytes)

    def reached(self, stage: str) -> int:
        """Number of inputs that got past all stages before this one, of a bundle."""
        order = [*STAGES, ACCEPTED]
        return sum(self.stages[name] for name in order[order.index(stage) :])

    def write(self, path: Path, **more: Any) -> None:
        """Write it as JSON, whole or not at all."""
        content = (
            more | {"inputs": self.inputs} | asdict(replace(self, stages=Counter())) | {"stages": dict(self.stages)}
        )
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Tally:
        """Read what :meth:`write` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        names = set(cls.__dataclass_fields__) - {"stages", "failures"}
        failures = [Failure(**failure) for failure in content["failures"]]
        return cls(Counter(content["stages"]), failures, **{name: content[name] for name in names})

    def table(self, seconds: float) -> str:
        """A table for people."""
        order = [*STAGES, *MAPPING_STAGES[:-1]]
        rows = [
            ("inputs", f"{self.inputs:,} in {seconds:,.0f} s, {self.inputs / max(seconds, 1e-9):,.0f} a second"),
            ("accepted", f"{self.stages[ACCEPTED]:,}"),
            *((f"refused: {stage}", f"{self.stages[stage]:,}") for stage in order if self.stages[stage]),
            ("slowest", f"{self.slowest_s * 1e3:,.0f} ms ({self.slowest})"),
            ("memory", f"{self.memory_bytes / 2**20:,.0f} MiB at most"),
            ("one input's", f"{self.growth_bytes / 2**20:,.0f} MiB at most ({self.hungriest or 'none grew'})"),
            ("failures", f"{len(self.failures):,}"),
        ]
        lines = [f"{name:<20} {value}" for name, value in rows]
        kinds: dict[str, Failure] = {}
        for failure in self.failures:
            kinds.setdefault(failure.line[:_KIND], failure)
        lines += [f"FAILURE {failure.file} ({failure.origin}): {failure.line}" for failure in kinds.values()]
        return "\n".join(lines)
