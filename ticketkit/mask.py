"""A mask: which weights of a network are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ticketkit.errors import MaskError
from ticketkit.fractions import WithFractions

BoolArray = NDArray[np.bool_]


class Mask(WithFractions, Mapping[str, BoolArray]):
    """The kept weights of every prunable tensor: ``state_dict`` name → boolean array of the tensor's shape.

    Immutable: the arrays are read-only. Its tensors are the *prunable* ones of the ticket it belongs to, so
    ``total`` is the denominator of every sparsity that ticketkit prints.

    Args:
        arrays: The boolean arrays, True where a weight is kept. An array that can still be written to is copied.

    Raises:
        MaskError: If there is no tensor or no weight, or a tensor is not boolean.

    Examples:
        >>> import numpy as np
        >>> mask = ticketkit.Mask({"fc.weight": np.array([[True, False], [False, False]])})
        >>> mask.kept, mask.total, mask.sparsity
        (1, 4, 0.75)
    """

    __slots__ = ("_arrays",)

    def __init__(self, arrays: Mapping[str, BoolArray]) -> None:
        if not arrays:
            raise MaskError("a mask must cover at least one tensor (got none)")
        self._arrays = {name: _frozen_bool(name, array) for name, array in arrays.items()}
        if not self.total:
            raise MaskError(f"a mask must cover at least one weight (got {len(arrays)} empty tensors)")

    def __getitem__(self, name: str) -> BoolArray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Mask({len(self)} tensors, {self.kept:,} of {self.total:,} kept, sparsity {self.sparsity:.2%})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.keys() == other.keys() and all(np.array_equal(self[name], other[name]) for name in self)

    __hash__ = None  # type: ignore[assignment]  # compared by content, like the arrays it holds

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(int(np.count_nonzero(array)) for array in self.values())

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(array.size for array in self.values())

    def applied_to(self, tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Copy tensors, with zeros where this mask prunes; those it does not cover are passed on as they are."""
        return {
            name: np.where(self[name], array, np.zeros((), array.dtype)) if name in self else array
            for name, array in tensors.items()
        }

    def within(self, other: Mask) -> bool:
        """Whether every weight kept here is kept by ``other`` too (masks of successive levels nest)."""
        return self.keys() == other.keys() and not any(np.any(self[name] & ~other[name]) for name in self)


def _frozen_bool(name: str, array: BoolArray) -> BoolArray:
    if array.dtype != np.bool_:
        raise MaskError(f"the mask of {name} must be a boolean array (got {array.dtype})")
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
