"""What a stretch would do, before any file exists: where each unit would come from, what would be kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from ticketkit.arch import ArchSpec
from ticketkit.bundle import BundleHeader
from ticketkit.report.sparsity import SparsityReport
from ticketkit.stretch import StageMap, check_mapping

FORMAT: Final = {"name": "ticketkit-plan", "version": "1.0"}
"""Name and version of what ``ticketkit show-plan --json`` prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage of the target.

    Attributes:
        stage: The stage.
        source_units: Number of units that it has in the source.
        sources: The source unit of each target unit.
        source_kept: Weights that the ticket keeps in the source's stage; None without a ticket.
        source_total: Prunable weights of the source's stage; None without a ticket.
        kept: Weights that the stretched ticket would keep; None without a ticket.
        total: Prunable weights of the target's stage; None without a ticket.
    """

    stage: int
    source_units: int
    sources: tuple[int, ...]
    source_kept: int | None = None
    source_total: int | None = None
    kept: int | None = None
    total: int | None = None

    @property
    def dropped(self) -> tuple[int, ...]:
        """Units of the source that the target has no copy of."""
        return tuple(unit for unit in range(self.source_units) if unit not in self.sources)

    def to_json(self) -> dict[str, Any]:
        """The stage as plain JSON values."""
        return {
            "stage": self.stage,
            "source_units": self.source_units,
            "target_units": len(self.sources),
            "sources": list(self.sources),
            "dropped": list(self.dropped),
            "source_kept": self.source_kept,
            "source_total": self.source_total,
            "kept": self.kept,
            "total": self.total,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchPlan:
    """A mapping between two networks, and what it would make of a ticket.

    Attributes:
        source: The network there is a ticket of.
        target: The network wanted.
        order: What chose the mapping, as a stretched ticket's provenance would say it.
        stages: The stages.
        ticket_id: The ticket's id; None without one.
        source_kept: Weights that the ticket keeps; None without one.
        source_total: Prunable weights of the ticket; None without one.
        kept: Weights that the stretched ticket would keep; None without one.
        total: Prunable weights that it would have; None without one.
    """

    source: ArchSpec
    target: ArchSpec
    order: str
    stages: tuple[PlannedStage, ...]
    ticket_id: str | None = None
    source_kept: int | None = None
    source_total: int | None = None
    kept: int | None = None
    total: int | None = None

    @classmethod
    def of(
        cls,
        source: ArchSpec,
        target: ArchSpec,
        mapping: StageMap,
        *,
        order: str,
        header: BundleHeader | None = None,
    ) -> Self:
        """Plan a stretch.

        Args:
            source: The network there is a ticket of.
            target: The network wanted, of the same design.
            mapping: The mapping.
            order: What chose it.
            header: The header of the ticket; its layers' counts are all that is needed.

        Raises:
            StretchError: If the mapping does not turn the source into the target.
        """
        stages = check_mapping(source, target, mapping)
        plain = [
            PlannedStage(stage=stage, source_units=source.stages[stage], sources=sources)
            for stage, sources in enumerate(stages)
        ]
        if header is None:
            return cls(source=source, target=target, order=order, stages=tuple(plain))
        counts = _counts(SparsityReport.of_header(header))
        counted = [_with_counts(stage, counts) for stage in plain]
        rest = counts.get((None, None), (0, 0))
        every = [_sum(counts.values()), _sum([rest, *((stage.kept or 0, stage.total or 0) for stage in counted)])]
        return cls(
            source=source,
            target=target,
            order=order,
            stages=tuple(counted),
            ticket_id=header.id,
            source_kept=every[0][0],
            source_total=every[0][1],
            kept=every[1][0],
            total=every[1][1],
        )

    @property
    def mapping(self) -> StageMap:
        """The mapping, written once where all stages are mapped alike."""
        stages = tuple(stage.sources for stage in self.stages)
        return StageMap(stages[:1] if len(set(stages)) == 1 else stages)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {
            "format": dict(FORMAT),
            "source": {
                "architecture": self.source.name,
                "id": self.ticket_id,
                "kept": self.source_kept,
                "total": self.source_total,
            },
            "target": {"architecture": self.target.name, "kept": self.kept, "total": self.total},
            "order": self.order,
            "mapping": str(self.mapping),
            "stages": [stage.to_json() for stage in self.stages],
        }


_Place = tuple[int | None, int | None]
_Count = tuple[int, int]
"""Kept weights and all prunable ones."""


def _counts(report: SparsityReport) -> dict[_Place, _Count]:
    found: dict[_Place, _Count] = {}
    for layer in report.layers:
        place = (layer.stage, layer.unit)
        found[place] = _sum([found.get(place, (0, 0)), (layer.kept, layer.total)])
    return found


def _with_counts(stage: PlannedStage, counts: dict[_Place, _Count]) -> PlannedStage:
    before = _sum(counts.get((stage.stage, unit), (0, 0)) for unit in range(stage.source_units))
    after = _sum(counts.get((stage.stage, unit), (0, 0)) for unit in stage.sources)
    return PlannedStage(
        stage=stage.stage,
        source_units=stage.source_units,
        sources=stage.sources,
        source_kept=before[0],
        source_total=before[1],
        kept=after[0],
        total=after[1],
    )


def _sum(counts: Iterable[_Count]) -> _Count:
    pairs = list(counts)
    return sum(kept for kept, _ in pairs), sum(total for _, total in pairs)
