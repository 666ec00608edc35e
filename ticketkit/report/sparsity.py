"""What a ticket holds: how sparse it is, overall, by stage and by layer, and what its file costs.

Throughout, sparsity is the pruned fraction of the *prunable* weights, those that the ticket's mask covers; density is
1 − sparsity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np

from ticketkit.arch import ArchSpec, LayerSpec
from ticketkit.bundle import BundleHeader
from ticketkit.encoding import Bitmask, Dense, mask_bytes
from ticketkit.fractions import WithFractions
from ticketkit.provenance import Provenance, Results, Weights
from ticketkit.ticket import Ticket

FORMAT: Final = {"name": "ticketkit-inspect", "version": "1.0"}
"""Name and version of :meth:`SparsityReport.to_json`, specified in ``formats/inspect-v1.md``."""

FLOAT32_BYTES = 4
_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSparsity(WithFractions):
    """One prunable layer.

    Attributes:
        index: Its position in execution order among all layers, from 0.
        name: Its module's name ("blocks.0.conv1").
        kind: What it computes ("conv2d", "linear").
        role: Where it stands ("stem", "entry", "unit", "fixed", "head").
        stage: Its elastic stage; None outside the stages.
        unit: Its unit inside that stage; None outside the stages.
        shape: Shape of its weight: outputs, inputs (per group), then the kernel.
        kept: Number of kept weights.
        total: Number of weights.
        dead_filters: Outputs (filters of a convolution, rows of a linear layer) with no kept weight.
        dead_inputs: Input channels (per group; columns of a linear layer) with no kept weight.
    """

    index: int
    name: str
    kind: str
    role: str
    stage: int | None
    unit: int | None
    shape: tuple[int, ...]
    kept: int
    total: int
    dead_filters: int
    dead_inputs: int

    def to_json(self) -> dict[str, Any]:
        """The layer as plain JSON values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values | {"density": self.density, "sparsity": self.sparsity}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSparsity(WithFractions):
    """The prunable weights of one stage, or of the layers of one role outside the stages.

    Attributes:
        name: "stem", "stage 0", …, "head".
        stage: The stage; None outside the stages.
        units: Number of units of the stage; None outside the stages.
        kept: Number of kept weights.
        total: Number of prunable weights.
    """

    name: str
    stage: int | None
    units: int | None
    kept: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """The group as plain JSON values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values | {"density": self.density, "sparsity": self.sparsity}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Lengths in bytes.

    Attributes:
        file: The file.
        header: Everything before its tensors: the document and safetensors' own table.
        masks: The stored masks, one bit a prunable weight.
        values: The stored kept weights.
        dense_tensors: The tensors that are stored as they are.
        all_dense: Every tensor dense, floating ones as float32.
        reference: One bit a prunable weight, four bytes a kept one, and the other tensors as in ``all_dense``.
        mask_floor: What no lossless code of the masks can beat if all it knows is each layer's density d:
            Σ n · H(d) / 8 over the layers of n weights, H(d) = −d·log2(d) − (1−d)·log2(1−d) bits, H(0) = H(1) = 0.
            Rounded up to whole bytes.
    """

    file: int
    header: int
    masks: int
    values: int
    dense_tensors: int
    all_dense: int
    reference: int
    mask_floor: int

    @classmethod
    def of(cls, ticket: Ticket, *, file: int, header: int) -> Self:
        """Add up a ticket's tensors; ``file`` and ``header`` are the lengths of its file and of the file's header."""
        masked = [stored for stored in ticket.stored.values() if isinstance(stored, Bitmask)]
        dense = [stored.data for stored in ticket.stored.values() if isinstance(stored, Dense)]
        rest = sum(data.size * _dense_itemsize(data.dtype) for data in dense)
        masks = sum(mask_bytes(stored.size) for stored in masked)
        return cls(
            file=file,
            header=header,
            masks=masks,
            values=sum(stored.values.nbytes for stored in masked),
            dense_tensors=sum(data.nbytes for data in dense),
            all_dense=ticket.total * FLOAT32_BYTES + rest,
            reference=masks + ticket.kept * FLOAT32_BYTES + rest,
            mask_floor=math.ceil(sum(stored.size * entropy(stored.kept / stored.size) for stored in masked) / _BITS),
        )

    def to_json(self) -> dict[str, Any]:
        """The sizes as plain JSON values."""
        sizes: dict[str, Any] = msgspec.to_builtins(self)
        return sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsityReport(WithFractions):
    """What a ticket holds.

    Attributes:
        architecture: Its network.
        id: Its id, ``sha256:…``.
        weights: Which weights it holds.
        provenance: How it came to be.
        results: What was measured with it, if anything.
        hashes_checked: Whether every tensor was compared with its hash when it was read.
        layers: Its prunable layers, in execution order; never empty.
        groups: The same, added up by stage and, outside the stages, by role, in execution order.
        sizes: What it costs in bytes.
    """

    architecture: ArchSpec
    id: str
    weights: Weights
    provenance: Provenance
    results: Results | None
    hashes_checked: bool
    layers: tuple[LayerSparsity, ...]
    groups: tuple[GroupSparsity, ...]
    sizes: Sizes

    @classmethod
    def of(cls, ticket: Ticket, header: BundleHeader, *, hashes_checked: bool = True) -> Self:
        """Describe a loaded ticket.

        Args:
            ticket: The ticket.
            header: The header of the file it was loaded from.
            hashes_checked: Whether it was loaded with its hashes compared.
        """
        layers = tuple(
            _layer(entry.layer, stored)
            for entry in ticket.arch.state()
            if isinstance(stored := ticket.stored[entry.name], Bitmask)
        )
        return cls(
            architecture=ticket.arch,
            id=ticket.id,
            weights=ticket.weights,
            provenance=ticket.provenance,
            results=ticket.results,
            hashes_checked=hashes_checked,
            layers=layers,
            groups=_groups(layers, ticket.arch.stages),
            sizes=Sizes.of(ticket, file=header.file_bytes, header=header.header_bytes),
        )

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """Number of prunable weights: the denominator of ``density`` and ``sparsity``."""
        return sum(layer.total for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Number of all trainable parameters, prunable or not: the denominator of ``pruned_of_parameters``."""
        return self.architecture.parameters

    @property
    def pruned_of_parameters(self) -> float:
        """Pruned fraction of all trainable parameters, in [0, 1]."""
        return (self.total - self.kept) / self.parameters

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values, in the structure that ``formats/inspect-v1.md`` specifies."""
        return {
            "format": dict(FORMAT),
            "id": self.id,
            "hashes_checked": self.hashes_checked,
            "architecture": {"name": self.architecture.name} | msgspec.to_builtins(self.architecture),
            "weights": msgspec.to_builtins(self.weights),
            "provenance": msgspec.to_builtins(self.provenance),
            "results": msgspec.to_builtins(self.results),
            "sparsity": {
                "kept": self.kept,
                "total": self.total,
                "density": self.density,
                "sparsity": self.sparsity,
                "parameters": self.parameters,
                "pruned_of_parameters": self.pruned_of_parameters,
            },
            "groups": [group.to_json() for group in self.groups],
            "layers": [layer.to_json() for layer in self.layers],
            "bytes": self.sizes.to_json(),
        }


def entropy(density: float) -> float:
    """Bits that one weight's mask bit is worth: H(d) = −d·log2(d) − (1−d)·log2(1−d), in [0, 1].

    Args:
        density: Kept fraction, in [0, 1].
    """
    return sum((share * math.log2(1 / share) for share in (density, 1 - density) if share > 0), start=0.0)


def _dense_itemsize(dtype: np.dtype[Any]) -> int:
    return FLOAT32_BYTES if dtype.kind == "f" else dtype.itemsize


def _layer(layer: LayerSpec, stored: Bitmask) -> LayerSparsity:
    outputs, inputs = stored.shape[:2]
    mask = stored.mask().reshape(outputs, -1)
    # Whole rows and whole columns first: numpy is slow at reducing an axis as short as a kernel.
    filters_alive, inputs_alive = np.any(mask, axis=1), np.any(np.any(mask, axis=0).reshape(inputs, -1), axis=1)
    return LayerSparsity(
        index=layer.index,
        name=layer.name,
        kind=layer.kind,
        role=layer.role,
        stage=layer.stage,
        unit=layer.unit,
        shape=stored.shape,
        kept=stored.kept,
        total=stored.size,
        dead_filters=outputs - int(np.count_nonzero(filters_alive)),
        dead_inputs=inputs - int(np.count_nonzero(inputs_alive)),
    )


def _groups(layers: Sequence[LayerSparsity], units: Sequence[int]) -> tuple[GroupSparsity, ...]:
    members: dict[tuple[str, int | None], list[LayerSparsity]] = {}
    for layer in layers:
        name = layer.role if layer.stage is None else f"stage {layer.stage}"
        members.setdefault((name, layer.stage), []).append(layer)
    return tuple(
        GroupSparsity(
            name=name,
            stage=stage,
            units=None if stage is None else units[stage],
            kept=sum(layer.kept for layer in group),
            total=sum(layer.total for layer in group),
        )
        for (name, stage), group in members.items()
    )
