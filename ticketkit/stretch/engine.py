"""The transformation: g and h of the Elastic Lottery Ticket Hypothesis (Chen et al., 2021, section 3), on data.

One engine for every family. It reads a network's layers, stages and units from ``arch`` and never a tensor's name, and
it copies tensors as they are stored: a replicated unit's bits and values are shared by its copies, nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ticketkit.arch import ArchSpec, LayerSpec
from ticketkit.encoding import Bitmask, Stored
from ticketkit.errors import StretchError
from ticketkit.provenance import Tool, Transformation
from ticketkit.stretch.adjust import Adjustments, fresh_layer
from ticketkit.stretch.plan import EXPLICIT, orders_used, plan_stretch, resolve_target
from ticketkit.stretch.policy import DEFAULT_STRETCH
from ticketkit.stretch.stage_map import StageMap, parse_stage_map
from ticketkit.ticket import Ticket

Place = tuple[int | None, int | None]
"""Stage and unit; both None for layers outside the stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a mapping does to one stage.

    Attributes:
        stage: The stage.
        source_units: Number of units it had.
        sources: The source unit of each target unit.
        sparsity_before: Sparsity of the stage's prunable weights in the source, in [0, 1].
        sparsity_after: The same in the target.
    """

    stage: int
    source_units: int
    sources: tuple[int, ...]
    sparsity_before: float
    sparsity_after: float


def stretch_ticket(
    ticket: Ticket,
    to: str | ArchSpec,
    *,
    order: str = DEFAULT_STRETCH,
    units: Sequence[int] | None = None,
    drop: Sequence[int] | None = None,
    mapping: StageMap | str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    adjustments: Adjustments | None = None,
) -> Ticket:
    """Turn a ticket into one of another depth, deeper or shallower, without training.

    Weights, masks, normalisation and its running statistics move together, unit by unit. The running statistics are
    the source's: they do not fit a deeper network until it is trained or they are recalibrated
    (:func:`ticketkit.train.recalibrate`), so do not evaluate the result as it is.

    Args:
        ticket: The source.
        to: The target network: a depth, a name, or a spec that differs from the source's in depth alone.
        order: The policy that chooses the mapping; see :func:`plan_stretch`.
        units: The units that may be replicated; see :func:`plan_stretch`.
        drop: The units to leave out; see :func:`plan_stretch`.
        mapping: The mapping itself, instead of ``order``, ``units`` and ``drop``.
        num_classes: Outputs of the target, if they are to differ: the output layer is made anew.
        in_channels: Input channels of the target, if they are to differ: the input layer is made anew.
        adjustments: What else to do; nothing if None.

    Raises:
        ArchError: If there is no such target.
        StretchError: If the mapping does not turn the source into the target; names stage, unit and tensor.

    Examples:
        >>> ticket = ticketkit.load_ticket("resnet20.st")
        >>> deeper = ticketkit.stretch_ticket(ticket, "resnet56")
        >>> deeper.arch.name, deeper.provenance.parent == ticket.id
        ('cifar-resnet56', True)
        >>> ticketkit.stretch_ticket(deeper, "resnet20").mask == ticket.mask
        True
    """
    adjustments = adjustments or Adjustments()
    target = resolve_target(ticket.arch, to)
    if mapping is None:
        stage_map = plan_stretch(ticket.arch, target, order=order, units=units, drop=drop)
        order = ", ".join(orders_used(ticket.arch, target, order=order, drop=drop)) or order
    else:
        if units is not None or drop is not None:
            raise StretchError("units and drop must not be given with a mapping (it says all)")
        stage_map = parse_stage_map(mapping) if isinstance(mapping, str) else mapping
        order = EXPLICIT
    target = replace(
        target, num_classes=num_classes or target.num_classes, in_channels=in_channels or target.in_channels
    )
    stages = stage_map.for_stages(len(target.stages))
    moved = _move(ticket.arch, target, stage_map, ticket.stored, seed=adjustments.seed)
    stored = adjustments.applied_to(target, moved, stages)
    settings = _other_ends(ticket.arch, target, adjustments.seed) | adjustments.settings()
    transformation = Transformation(
        kind="stretch",
        parent=ticket.id,
        source=ticket.arch.name,
        target=target.name,
        order=order,
        mapping=str(StageMap(stages)),
        sparsity_before=ticket.sparsity,
        sparsity_after=_sparsity(stored),
        settings=settings or None,
    )
    provenance = replace(
        ticket.provenance,
        tool=Tool(),
        parent=ticket.id,
        transformations=(*ticket.provenance.transformations, transformation),
        created=None,
    )
    return Ticket(arch=target, stored=stored, weights=ticket.weights, provenance=provenance)


def explain_plan(source: Ticket, result: Ticket) -> tuple[StagePlan, ...]:
    """Say stage by stage what a stretch did.

    Args:
        source: The ticket that was stretched.
        result: What :func:`~ticketkit.stretch_ticket` made of it.
    """
    stage_map = parse_stage_map(result.provenance.transformations[-1].mapping)
    return tuple(
        StagePlan(
            stage=stage,
            source_units=source.arch.stages[stage],
            sources=sources,
            sparsity_before=_stage_sparsity(source, stage),
            sparsity_after=_stage_sparsity(result, stage),
        )
        for stage, sources in enumerate(stage_map.for_stages(len(result.arch.stages)))
    )


def _other_ends(source: ArchSpec, target: ArchSpec, seed: int) -> dict[str, Any]:
    """What provenance records of an input or output layer that was made anew; empty if none was."""
    ends = {
        name: getattr(target, name)
        for name in ("num_classes", "in_channels")
        if getattr(target, name) != getattr(source, name)
    }
    return {**ends, "seed": seed} if ends else {}


def _move(
    source: ArchSpec, target: ArchSpec, stage_map: StageMap, stored: Mapping[str, Stored], *, seed: int
) -> dict[str, Stored]:
    """Give every target tensor the source tensor that the mapping names for it.

    Where target and source differ in classes or input channels, the layer that has them is made anew.
    """
    other_ends = bool(_other_ends(source, target, seed))
    stages = check_mapping(source, target, stage_map)
    source_layers = _by_place(source)
    result: dict[str, Stored] = {}
    for place, target_group in _by_place(target).items():
        stage, unit = place
        origin = place if stage is None or unit is None else (stage, stages[stage][unit])
        source_group = source_layers.get(origin, [])
        if len(source_group) != len(target_group):
            raise StretchError(
                f"{_named(place)} must have the {len(target_group)} layers of its target "
                f"(its source, {_named(origin)}, has {len(source_group)})"
            )
        for from_layer, to_layer in zip(source_group, target_group, strict=True):
            if other_ends and to_layer.role != "unit" and _shapes(from_layer) != _shapes(to_layer):
                result.update(fresh_layer(to_layer, from_layer, stored, seed))
                continue
            _check_layer(from_layer, to_layer, place, origin)
            for from_tensor, to_tensor in zip(from_layer.tensors, to_layer.tensors, strict=True):
                result[to_layer.tensor_name(to_tensor)] = stored[from_layer.tensor_name(from_tensor)]
    return result


def check_mapping(source: ArchSpec, target: ArchSpec, mapping: StageMap) -> tuple[tuple[int, ...], ...]:
    """Check that a mapping can turn a ticket of ``source`` into one of ``target``.

    Args:
        source: The network there is a ticket of.
        target: The network wanted, of the same design; see :func:`resolve_target`.
        mapping: The mapping.

    Returns:
        For each stage, the source unit of each target unit.

    Raises:
        StretchError: If it does not cover the target's units, names a unit that the source lacks, or moves an entry.
    """
    stages = mapping.for_stages(len(target.stages))
    source_units, target_units, entries = source.stages, target.stages, target.entries
    for stage, sources in enumerate(stages):
        if len(sources) != target_units[stage]:
            raise StretchError(
                f"stage {stage}: a mapping must cover the {target_units[stage]} units of {target.name} "
                f"(got {len(sources)})"
            )
        for unit, origin in enumerate(sources):
            if origin >= source_units[stage]:
                raise StretchError(
                    f"stage {stage}: unit {unit} must come from one of the {source_units[stage]} units of "
                    f"{source.name} (got {origin})"
                )
            if entries[stage] and (unit == 0) != (origin == 0):
                raise StretchError(
                    f"stage {stage}: the first unit never moves, so 0 must map to 0 alone (got {origin}:{unit})"
                )
    return stages


def _check_layer(source: LayerSpec, target: LayerSpec, place: Place, origin: Place) -> None:
    if source.kind != target.kind:
        raise StretchError(
            f"{target.name} ({_named(place)}) must come from a {target.kind} (got {source.name}, a {source.kind})"
        )
    for from_tensor, to_tensor in zip(source.tensors, target.tensors, strict=True):
        if from_tensor.shape != to_tensor.shape:
            raise StretchError(
                f"{target.tensor_name(to_tensor)} ({_named(place)}) must have shape {to_tensor.shape} "
                f"(got {from_tensor.shape} of {source.tensor_name(from_tensor)}, {_named(origin)})"
            )


def _shapes(layer: LayerSpec) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in layer.tensors]


def _by_place(arch: ArchSpec) -> dict[Place, list[LayerSpec]]:
    groups: dict[Place, list[LayerSpec]] = {}
    for layer in arch.layers():
        groups.setdefault((layer.stage, layer.unit), []).append(layer)
    return groups


def _named(place: Place) -> str:
    stage, unit = place
    return "outside the stages" if stage is None else f"stage {stage}, unit {unit}"


def _sparsity(stored: Mapping[str, Stored]) -> float:
    masked = [tensor for tensor in stored.values() if isinstance(tensor, Bitmask)]
    return 1 - sum(tensor.kept for tensor in masked) / sum(tensor.size for tensor in masked)


def _stage_sparsity(ticket: Ticket, stage: int) -> float:
    names = [entry.name for entry in ticket.arch.state() if entry.layer.stage == stage]
    return _sparsity({name: ticket.stored[name] for name in names})
