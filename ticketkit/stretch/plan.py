"""Choosing a mapping for two networks of one family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.errors import StretchError
from ticketkit.stretch.policy import DEFAULT_SQUEEZE, DEFAULT_STRETCH, POLICIES, Units
from ticketkit.stretch.stage_map import StageMap

EXPLICIT = "explicit"
"""What stands for the policy where a mapping, or the units to drop, were given one by one."""


def resolve_target(source: ArchSpec, to: str | ArchSpec) -> ArchSpec:
    """Find the target network: a depth alone or a name, in the source's family and of its width, classes and variant.

    Raises:
        ArchError: If there is no such network.
        StretchError: If the target differs from the source in more than its depth.
    """
    if isinstance(to, ArchSpec):
        target = to
    elif re.fullmatch(r"\s*[0-9]{1,6}\s*", to):
        target = replace(source, depth=int(to))
    else:
        target = _named_target(source, to)
    if _invariant(target) != _invariant(source):
        raise StretchError(
            f"a target must differ from its source {source.name} in depth alone (got {target.name}, "
            f"{target.ends}{_other_design(source, target)})"
        )
    return target


def _invariant(arch: ArchSpec) -> tuple[object, ...]:
    """What a ticket's network keeps whatever its depth becomes."""
    return arch.family, arch.width, arch.num_classes, arch.in_channels, FAMILIES[arch.family].design(arch)


def _other_design(source: ArchSpec, target: ArchSpec) -> str:
    found, needed = FAMILIES[target.family].design(target), FAMILIES[source.family].design(source)
    known = found and needed and target.family == source.family and found != needed
    return f", {found} instead of {needed}" if known else ""


def _named_target(source: ArchSpec, name: str) -> ArchSpec:
    return parse_arch(
        name,
        default_width=source.width,
        default_variant=source.variant,
        num_classes=source.num_classes,
        in_channels=source.in_channels,
        within=source.family,
    )


def plan_stretch(
    source: ArchSpec,
    target: ArchSpec,
    *,
    order: str = DEFAULT_STRETCH,
    units: Sequence[int] | None = None,
    drop: Sequence[int] | None = None,
) -> StageMap:
    """Choose which source unit each target unit comes from.

    A stage that grows follows ``order``; one that shrinks keeps its early units, unless ``order`` names a way to
    squeeze or ``drop`` says which units go. A stage's entry, where it has one, stays first.

    Args:
        source: The network there is a ticket of.
        target: The network wanted.
        order: A policy's name, such as ``append`` or ``interpolate``; ``keep-early`` or ``alternate``.
        units: The units that may be replicated; all but each stage's first by default.
        drop: The units to leave out of every stage that shrinks.

    Raises:
        StretchError: If the two networks' stages cannot be mapped so.

    Examples:
        >>> source, target = ticketkit.parse_arch("resnet20"), ticketkit.parse_arch("resnet32")
        >>> ticketkit.plan_stretch(source, target, order="interpolate").stages[0]
        (0, 1, 1, 2, 2)
    """
    if len(source.stages) != len(target.stages):
        raise StretchError(
            f"source and target must have equally many stages (got {len(source.stages)} and {len(target.stages)})"
        )
    grows = any(wanted > found for found, wanted in zip(source.stages, target.stages, strict=True))
    shrinks = any(wanted < found for found, wanted in zip(source.stages, target.stages, strict=True))
    if units is not None and not grows:
        raise StretchError(f"units to replicate must go with a stage that grows (got {source.name} to {target.name})")
    if drop is not None and not shrinks:
        raise StretchError(f"units to drop must go with a stage that shrinks (got {source.name} to {target.name})")
    stages = tuple(
        _plan_stage(stage, (0,) if entry else (), found, wanted, order, units, drop)
        for stage, (entry, found, wanted) in enumerate(zip(source.entries, source.stages, target.stages, strict=True))
    )
    return StageMap(stages)


def orders_used(
    source: ArchSpec, target: ArchSpec, *, order: str = DEFAULT_STRETCH, drop: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Name the policies that :func:`~ticketkit.plan_stretch` follows with these arguments.

    Returns:
        The one for the stages that grow and the one for those that shrink, where there are such; ``explicit`` for
        the latter where ``drop`` says what goes. Empty if no stage changes.
    """
    pairs = list(zip(source.stages, target.stages, strict=True))
    direction = POLICIES[order].direction
    grow = [order if direction == "stretch" else DEFAULT_STRETCH] * any(wanted > found for found, wanted in pairs)
    by_policy = order if direction == "squeeze" else DEFAULT_SQUEEZE
    shrink = [by_policy if drop is None else EXPLICIT] * any(wanted < found for found, wanted in pairs)
    return (*grow, *shrink)


def _plan_stage(
    stage: int,
    first: Units,
    found: int,
    wanted: int,
    order: str,
    units: Sequence[int] | None,
    drop: Sequence[int] | None,
) -> Units:
    """Plan one stage; ``first`` holds its entry, which stays where it is, or nothing if all its units are alike."""
    elastic = tuple(range(len(first), found))
    policy = POLICIES[order]
    if wanted < found:
        if drop is not None:
            return (*first, *_without(stage, elastic, drop, wanted - len(first)))
        shrink = policy if policy.direction == "squeeze" else POLICIES[DEFAULT_SQUEEZE]
        return (*first, *shrink.arrange(elastic, elastic, wanted - len(first)))
    if wanted == found:
        return (*first, *elastic)
    replicated = elastic if units is None else _chosen(stage, elastic, units, "replicated")
    if not replicated:
        raise StretchError(
            f"stage {stage}: there must be a unit to replicate (the source has its first unit alone, which never moves)"
        )
    grow = policy if policy.direction == "stretch" else POLICIES[DEFAULT_STRETCH]
    return (*first, *grow.arrange(elastic, replicated, wanted - len(first)))


def _without(stage: int, elastic: Units, drop: Sequence[int], count: int) -> Units:
    dropped = _chosen(stage, elastic, drop, "dropped")
    gone = frozenset(dropped)
    kept = tuple(unit for unit in elastic if unit not in gone)
    if len(kept) != count:
        raise StretchError(
            f"stage {stage}: {len(elastic) - count} units must be dropped (got {len(dropped)}: "
            f"{', '.join(map(str, dropped))})"
        )
    return kept


def _chosen(stage: int, elastic: Units, units: Sequence[int], verb: str) -> Units:
    known_units = frozenset(elastic)
    for unit in units:
        if unit not in known_units:
            known = f"{elastic[0]} to {elastic[-1]}" if elastic else "none; its first unit never moves"
            raise StretchError(f"stage {stage}: units to be {verb} must be among {known} (got {unit})")
    if len(set(units)) != len(units) or not units:
        listed = ", ".join(map(str, units)) or "none"
        raise StretchError(f"stage {stage}: units to be {verb} must be named once each (got {listed})")
    return tuple(sorted(units))
