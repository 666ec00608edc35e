"""What two tickets of one network share: kept weights, and among those the equal ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array, Bitmask, Stored
from ticketkit.errors import ArchError
from ticketkit.mask import BoolArray
from ticketkit.ticket import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOverlap:
    """What two tickets share of one layer's weight, or of several together.

    Attributes:
        index: The layer's position in execution order among all layers, from 0.
        name: Its module's name.
        total: Number of weights.
        kept: Weights that the first ticket keeps.
        other_kept: Weights that the other ticket keeps.
        both: Weights that both keep.
        equal: Weights that both keep with one and the same value, bit for bit. Zero where the two are stored in
            different types.
        iou_by_chance: What ``iou`` is expected to be for masks of these densities with kept weights at random places.
    """

    index: int
    name: str
    total: int
    kept: int
    other_kept: int
    both: int
    equal: int
    iou_by_chance: float

    @property
    def either(self) -> int:
        """Weights that at least one of the two keeps."""
        return self.kept + self.other_kept - self.both

    @property
    def iou(self) -> float:
        """Intersection over union of the masks, in [0, 1]; 1 where neither keeps a weight, since the masks agree."""
        return _ratio(self.both, self.either)

    def to_json(self) -> dict[str, Any]:
        """The layer as plain JSON values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values | {"iou": self.iou}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What two tickets of one network share.

    Attributes:
        id: Id of the first ticket.
        other_id: Id of the other.
        layers: The layers that at least one of the two masks, in execution order; never empty.
    """

    id: str
    other_id: str
    layers: tuple[LayerOverlap, ...]

    @property
    def total(self) -> int:
        """Number of weights compared."""
        return sum(layer.total for layer in self.layers)

    @property
    def kept(self) -> int:
        """Weights that the first ticket keeps."""
        return sum(layer.kept for layer in self.layers)

    @property
    def other_kept(self) -> int:
        """Weights that the other ticket keeps."""
        return sum(layer.other_kept for layer in self.layers)

    @property
    def both(self) -> int:
        """Weights that both keep."""
        return sum(layer.both for layer in self.layers)

    @property
    def equal(self) -> int:
        """Weights that both keep with one and the same value, bit for bit."""
        return sum(layer.equal for layer in self.layers)

    @property
    def iou(self) -> float:
        """Intersection over union of the masks of the whole network, in [0, 1]; 1 if neither keeps a weight."""
        return _ratio(self.both, sum(layer.either for layer in self.layers))

    @property
    def iou_by_chance(self) -> float:
        """Expected ``iou`` if each layer's kept weights were at random places."""
        expected = sum(_expected_both(layer.kept, layer.other_kept, layer.total) for layer in self.layers)
        return _ratio(expected, self.kept + self.other_kept - expected)

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values, in the structure that ``formats/inspect-v1.md`` specifies."""
        return {
            "other_id": self.other_id,
            "total": self.total,
            "kept": self.kept,
            "other_kept": self.other_kept,
            "both": self.both,
            "equal": self.equal,
            "iou": self.iou,
            "iou_by_chance": self.iou_by_chance,
            "layers": [layer.to_json() for layer in self.layers],
        }


def compare(first: Ticket, other: Ticket) -> Overlap:
    """Compare the masks of two tickets of one network, and the weights under them, layer by layer.

    A weight that one ticket masks and the other stores dense counts as kept by the latter, every one of it.

    Args:
        first: A ticket.
        other: Another of the same network; how the two came to be does not matter.

    Raises:
        ArchError: If their networks differ.
    """
    if first.arch != other.arch:
        raise ArchError(
            f"tickets to compare must be of one network (got {_described(first.arch)}; and {_described(other.arch)})"
        )
    layers = []
    for name, layer, _ in first.arch.state():
        left, right = first.stored[name], other.stored[name]
        if isinstance(left, Bitmask) or isinstance(right, Bitmask):
            layers.append(_overlap(layer.index, layer.name, left, right))
    return Overlap(id=first.id, other_id=other.id, layers=tuple(layers))


def _overlap(index: int, name: str, left: Stored, right: Stored) -> LayerOverlap:
    (kept, values), (other_kept, other_values) = _flat(left), _flat(right)
    both = int(np.count_nonzero(kept & other_kept))
    equal = 0
    if values.dtype == other_values.dtype:
        # Bits are compared, not numbers: 0.0 and −0.0 are different weights to a file that promises its bytes.
        bits = f"u{values.dtype.itemsize}"
        shared, other_shared = values[other_kept[kept]], other_values[kept[other_kept]]
        equal = int(np.count_nonzero(shared.view(bits) == other_shared.view(bits)))
    count, other_count = values.size, other_values.size
    expected = _expected_both(count, other_count, kept.size)
    return LayerOverlap(
        index=index,
        name=name,
        total=kept.size,
        kept=count,
        other_kept=other_count,
        both=both,
        equal=equal,
        iou_by_chance=_ratio(expected, count + other_count - expected),
    )


def _flat(stored: Stored) -> tuple[BoolArray, Array]:
    """A tensor's mask and its kept weights, both flat in C order."""
    if isinstance(stored, Bitmask):
        return stored.mask().reshape(-1), stored.values
    return np.ones(stored.data.size, dtype=np.bool_), stored.data.reshape(-1)


def _expected_both(kept: int, other_kept: int, total: int) -> float:
    return kept * other_kept / total


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _described(arch: ArchSpec) -> str:
    return f"{arch.name}, {arch.ends}"
