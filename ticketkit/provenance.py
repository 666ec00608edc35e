"""What made a ticket: enough to repeat it and to trace it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from ticketkit._version import __version__
from ticketkit.fractions import WithFractions

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Work = Annotated[float, Meta(ge=0, le=1e30)]
# The length is given too, since Python's $ also matches before a final line break.
Sha256 = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$", max_length=71)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Which weights a ticket holds.

    Attributes:
        role: ``init`` (step 0), ``rewind`` (an early training step) or ``final`` (the end of training).
        step: The training step they were taken at, in optimiser steps; needed for ``rewind``.

    Raises:
        ValueError: If ``rewind`` has no step, or ``init`` another step than 0.

    Examples:
        >>> ticketkit.Weights(role="rewind", step=14)
        Weights(role='rewind', step=14)
    """

    role: Literal["init", "rewind", "final"]
    step: Count | None = None

    def __post_init__(self) -> None:
        if self.role == "rewind" and self.step is None:
            raise ValueError("weights of role 'rewind' must say their step (got none)")
        if self.role == "init" and self.step not in (None, 0):
            raise ValueError(f"weights of role 'init' must be of step 0 (got {self.step})")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """The data a ticket was found on.

    Attributes:
        name: The data set's name ("digits").
        fingerprint: Hash of its arrays, ``sha256:…``.
        train: Number of training images.
        test: Number of test images.
    """

    name: Name
    fingerprint: Sha256
    train: Count
    test: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The program that wrote a ticket."""

    name: Name = "ticketkit"
    version: Name = __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """One step from a ticket to a ticket of another network, without training.

    Attributes:
        kind: What was done ("stretch", in either direction).
        parent: Id of the ticket it was done to.
        source: Name of that ticket's network.
        target: Name of the network it was turned into.
        order: The policy that chose the mapping, or ``explicit``.
        mapping: The whole mapping, stage by stage, as ``parse_stage_map`` reads it.
        sparsity_before: Sparsity of the parent, in [0, 1].
        sparsity_after: Sparsity of the result, in [0, 1].
        settings: What was done beyond moving units, with everything that it depends on; None if nothing was.
    """

    kind: Name
    parent: Sha256
    source: Name
    target: Name
    order: Name
    mapping: Annotated[str, Meta(max_length=1_000_000)]
    sparsity_before: Fraction
    sparsity_after: Fraction
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating-point operations, a multiplication and an addition counted as two; see ``ticketkit.train.flops``.

    Attributes:
        sparse: With pruned weights skipped, as papers count them.
        dense: With every weight, as hardware without support for sparsity computes them.
    """

    sparse: Work
    dense: Work

    def __add__(self, other: Flops) -> Flops:
        return Flops(sparse=self.sparse + other.sparse, dense=self.dense + other.dense)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a ticket came to be.

    Attributes:
        method: How its mask was found ("imp").
        level: The IMP level its mask is of; 0 is the dense network.
        rate: Fraction of the remaining weights pruned at each level, in [0, 1].
        seed: The run's seed.
        dataset: The data it was found on.
        recipe: The training recipe in full.
        environment: Versions and settings the result can depend on (torch, device, threads).
        flops: What all trainings that found it took together.
        tool: The program that wrote it.
        parent: Id of the ticket it was made from; None for one that was found.
        transformations: Every transformation since it was found, oldest first.
        created: ISO 8601 UTC time; only where SOURCE_DATE_EPOCH asked for one, so that equal tickets are equal files.

    Examples:
        >>> ticketkit.Provenance(method="my-pruning", seed=3).tool.name
        'ticketkit'
    """

    method: Name
    level: Count | None = None
    rate: Fraction | None = None
    seed: int | None = None
    dataset: DatasetInfo | None = None
    recipe: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    flops: Flops | None = None
    tool: Tool = field(default_factory=Tool)
    parent: Sha256 | None = None
    transformations: tuple[Transformation, ...] = ()
    created: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelResult(WithFractions):
    """What training one level's subnetwork gave.

    Attributes:
        level: The level; 0 is the dense network.
        kept: Kept weights of its mask.
        total: Prunable weights.
        accuracy: Test accuracy at the end of training, in [0, 1].
    """

    level: Count
    kept: Count
    total: Count
    accuracy: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Measured results that travel with a ticket.

    Attributes:
        levels: One entry for each level that was trained, in order.
        tolerance: How far below the dense network a winning ticket may be, as a fraction of the test set.
        winning_level: The last level whose accuracy was within the tolerance; None if none was.
    """

    levels: tuple[LevelResult, ...] = ()
    tolerance: Fraction | None = None
    winning_level: Count | None = None
