"""What a ticket holds: how sparse it is, overall, by stage and by layer, and what its file costs.

Throughout, sparsity is the pruned fraction of the *prunable* weights, those that the ticket's mask covers; density is
1 − sparsity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np

from ticketkit.arch import ArchSpec, LayerSpec
from ticketkit.bundle import BundleHeader
from ticketkit.encoding import DTYPES, Bitmask, Dense, mask_bytes
from ticketkit.fractions import WithFractions
from ticketkit.provenance import Provenance, Results, Weights
from ticketkit.ticket import Ticket

FORMAT: Final = {"name": "ticketkit-inspect", "version": "1.1"}
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
        dead_filters: Outputs (filters of a convolution, rows of a linear layer) with no kept weight; None where the
            mask was not read.
        dead_inputs: Input channels (per group; columns of a linear layer) with no kept weight; None as well.
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
    dead_filters: int | None
    dead_inputs: int | None

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
        masked = [
            (stored.size, stored.kept, stored.values.dtype)
            for stored in ticket.stored.values()
            if isinstance(stored, Bitmask)
        ]
        dense = [
            (stored.data.size, stored.data.dtype) for stored in ticket.stored.values() if isinstance(stored, Dense)
        ]
        return cls._add_up(masked, dense, file=file, header=header)

    @classmethod
    def of_header(cls, header: BundleHeader) -> Self:
        """Add up what a ticket's header says of its tensors."""
        entries = [(math.prod(entry.shape), entry.kept, DTYPES[entry.dtype]) for *_, entry in header.tensors()]
        masked = [(size, kept, dtype) for size, kept, dtype in entries if kept is not None]
        dense = [(size, dtype) for size, kept, dtype in entries if kept is None]
        return cls._add_up(masked, dense, file=header.file_bytes, header=header.header_bytes)

    @classmethod
    def _add_up(
        cls,
        masked: Iterable[tuple[int, int, np.dtype[Any]]],
        dense: Iterable[tuple[int, np.dtype[Any]]],
        *,
        file: int,
        header: int,
    ) -> Self:
        """Add up tensors: the size, kept count and type of each that is masked, size and type of each that is not."""
        masked, dense = list(masked), list(dense)
        total, kept = sum(size for size, _, _ in masked), sum(kept for _, kept, _ in masked)
        rest = sum(size * _dense_itemsize(dtype) for size, dtype in dense)
        masks = sum(mask_bytes(size) for size, _, _ in masked)
        return cls(
            file=file,
            header=header,
            masks=masks,
            values=sum(kept * dtype.itemsize for _, kept, dtype in masked),
            dense_tensors=sum(size * dtype.itemsize for size, dtype in dense),
            all_dense=total * FLOAT32_BYTES + rest,
            reference=masks + kept * FLOAT32_BYTES + rest,
            mask_floor=math.ceil(sum(size * entropy(kept / size) for size, kept, _ in masked) / _BITS),
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
        layers = layer_sparsities(ticket)
        return cls(
            architecture=ticket.arch,
            id=ticket.id,
            weights=ticket.weights,
            provenance=ticket.provenance,
            results=ticket.results,
            hashes_checked=hashes_checked,
            layers=layers,
            groups=group_sparsities(layers, ticket.arch.stages),
            sizes=Sizes.of(ticket, file=header.file_bytes, header=header.header_bytes),
        )

    @classmethod
    def of_header(cls, header: BundleHeader) -> Self:
        """Describe a ticket of which the header alone was read: all but what only its masks tell."""
        layers = tuple(
            LayerSparsity(
                index=layer.index,
                name=layer.name,
                kind=layer.kind,
                role=layer.role,
                stage=layer.stage,
                unit=layer.unit,
                shape=entry.shape,
                kept=entry.kept,
                total=math.prod(entry.shape),
                dead_filters=None,
                dead_inputs=None,
            )
            for _, layer, _, entry in header.tensors()
            if entry.kept is not None
        )
        return cls(
            architecture=header.arch,
            id=header.id,
            weights=header.document.weights,
            provenance=header.document.provenance,
            results=header.document.results,
            hashes_checked=False,
            layers=layers,
            groups=group_sparsities(layers, header.arch.stages),
            sizes=Sizes.of_header(header),
        )

    @property
    def masks_read(self) -> bool:
        """Whether it is known where the kept weights are, not only how many."""
        return self.layers[0].dead_filters is not None

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """Number of prunable weights, the denominator of ``density`` and ``sparsity``."""
        return sum(layer.total for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Number of all trainable parameters, prunable or not, the denominator of ``pruned_of_parameters``."""
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


def layer_sparsities(ticket: Ticket) -> tuple[LayerSparsity, ...]:
    """Describe each prunable layer of a ticket, in execution order, one mask decoded at a time."""
    return tuple(
        _layer(entry.layer, stored)
        for entry in ticket.arch.state()
        if isinstance(stored := ticket.stored[entry.name], Bitmask)
    )


def group_sparsities(layers: Sequence[LayerSparsity], units: Sequence[int]) -> tuple[GroupSparsity, ...]:
    """Add layers up by stage and, outside the stages, by role.

    Args:
        layers: The layers, in execution order.
        units: Number of units of each stage.
    """
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
