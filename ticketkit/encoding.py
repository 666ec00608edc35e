"""How one tensor is stored: as it is, or as one bit a weight and the kept weights (formats/ticket-v1.md, section 4).

A ticket is held in this form, so that stretching it and writing it copy bytes and decode nothing.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ticketkit.errors import MaskError
from ticketkit.mask import BoolArray

DTYPES: dict[str, np.dtype[np.generic]] = {
    name: np.dtype(code) for name, code in {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}.items()
}
"""The element types a ticket may hold, as safetensors spells them; all little-endian."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}

Array = NDArray[np.generic]
ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Dense:
    """A tensor stored as it is.

    Attributes:
        data: The tensor; read-only.
    """

    data: Array

    encoding = "dense"

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _storable(self.data))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.data.shape

    @property
    def dtype(self) -> str:
        """The element type's name in the format."""
        return _NAMES[self.data.dtype]

    def parts(self) -> Iterator[tuple[str, Array]]:
        """What is written: the suffix of each stored tensor's key, and its content."""
        yield "", self.data

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the stored bytes, in hexadecimal."""
        return _digest(self)

    @cached_property
    def infinities(self) -> int:
        """Number of elements that are infinite or not a number."""
        return _infinities(self.data)

    def decode(self) -> Array:
        """The tensor, a new array."""
        return self.data.copy()


@dataclass(frozen=True, eq=False)
class Bitmask:
    """A tensor stored as a mask of one bit a weight, and the kept weights.

    Weight 8k + j in C order is kept if bit j (value 2**j) of byte k is set. The mask is explicit: a kept weight
    may be zero.

    Attributes:
        shape: The tensor's dense shape.
        bits: The mask, uint8 [ceil(size / 8)]; read-only, unused bits of the last byte zero.
        values: The kept weights in C order [kept]; read-only.
    """

    shape: tuple[int, ...]
    bits: NDArray[np.uint8]
    values: Array

    encoding = "bitmask"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", _read_only(self.bits))
        object.__setattr__(self, "values", _storable(self.values))

    @classmethod
    def encode(cls, tensor: Array, kept: BoolArray) -> Bitmask:
        """Store ``tensor`` under the mask ``kept``, both of one shape; pruned weights are not kept anywhere."""
        if tensor.shape != kept.shape:
            raise MaskError(f"a mask must have its tensor's shape {tensor.shape} (got {kept.shape})")
        return cls(
            shape=tensor.shape,
            bits=np.packbits(kept.reshape(-1), bitorder="little"),
            values=tensor.reshape(-1)[kept.reshape(-1)],
        )

    @property
    def dtype(self) -> str:
        """The element type's name in the format."""
        return _NAMES[self.values.dtype]

    @property
    def size(self) -> int:
        """Number of weights, kept or not."""
        return math.prod(self.shape)

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return self.values.size

    def parts(self) -> Iterator[tuple[str, Array]]:
        """What is written: the suffix of each stored tensor's key, and its content."""
        yield ".mask", self.bits
        yield ".values", self.values

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the stored bytes, mask then values, in hexadecimal."""
        return _digest(self)

    @cached_property
    def infinities(self) -> int:
        """Number of kept weights that are infinite or not a number."""
        return _infinities(self.values)

    def check(self, name: str) -> None:
        """Check that mask and values fit the shape and each other; once found, it is not looked for again.

        Args:
            name: The tensor's name, for the message.

        Raises:
            MaskError: If they do not.
        """
        if "_checked" in vars(self):
            return
        found = f"{self.bits.dtype} {list(self.bits.shape)}"
        if found != (expected := f"uint8 [{mask_bytes(self.size)}]"):
            raise MaskError(f"{name}.mask must be {expected} for {self.size:,} weights (got {found})")
        used = self.size % 8
        if used and int(self.bits[-1]) >> used:
            raise MaskError(f"padding bits of {name}.mask must be zero (the last byte is 0x{int(self.bits[-1]):02x})")
        words = self.bits.size // 8 * 8  # counted eight bytes at a time, and what is left over one by one
        bits_set = int(np.bitwise_count(self.bits[:words].view(np.uint64)).sum(dtype=np.int64))
        bits_set += int(np.bitwise_count(self.bits[words:]).sum(dtype=np.int64))
        if self.values.shape != (bits_set,):
            raise MaskError(
                f"kept count of {name} must equal its mask's {bits_set:,} set bits (values hold {self.values.size:,})"
            )
        vars(self)["_checked"] = True

    def mask(self) -> BoolArray:
        """The mask, a new boolean array of the tensor's shape."""
        flat = np.unpackbits(self.bits, count=self.size, bitorder="little")
        return flat.view(np.bool_).reshape(self.shape)

    def decode(self) -> Array:
        """The dense tensor, a new array with zeros where weights are pruned."""
        dense = np.zeros(self.size, dtype=self.values.dtype)
        # The places of the kept weights: several times as quick as assigning under the mask itself, weight by weight.
        dense[np.flatnonzero(self.mask())] = self.values
        return dense.reshape(self.shape)


Stored = Dense | Bitmask
"""A tensor in its stored form."""


def mask_bytes(size: int) -> int:
    """Length of the stored mask of ``size`` weights: one bit each, padded to whole bytes."""
    return (size + 7) // 8


def hash_together(tensors: Iterable[Stored], on_hashed: Callable[[int], None] | None = None) -> None:
    """Find the hashes of several tensors, as their ``sha256``, the large ones on all cores.

    Args:
        tensors: The tensors.
        on_hashed: Told the bytes of each large tensor when its hash is found; by several threads.
    """
    # Hashing lets other threads run; for a small tensor handing it over costs more than that wins.
    waiting = {id(tensor): tensor for tensor in tensors if "sha256" not in vars(tensor) and _length(tensor) >= _LARGE}
    queue = sorted(waiting.values(), key=_length)

    def work() -> None:
        while True:
            try:
                tensor = queue.pop()
            except IndexError:
                return
            # Not through the property, which lets one thread at a time in before Python 3.12.
            vars(tensor)["sha256"] = _digest(tensor)
            if on_hashed is not None:
                on_hashed(_length(tensor))

    others = [threading.Thread(target=work) for _ in range(min(_cores(), len(queue)) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()


_LARGE = 2**16


def _length(stored: Stored) -> int:
    return sum(content.nbytes for _, content in stored.parts())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _storable(array: Array) -> Array:
    if array.dtype in _NAMES:
        return _read_only(array)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if little.dtype not in _NAMES:
        raise MaskError(f"a tensor's element type must be one of {', '.join(DTYPES)} (got {array.dtype})")
    return _read_only(little)


def _read_only(array: NDArray[ScalarT]) -> NDArray[ScalarT]:
    # A view, not a copy: whoever makes a stored tensor hands its array over.
    view = np.asarray(array, order="C").view()
    view.flags.writeable = False
    return view


def _infinities(array: Array) -> int:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return 0
    return int(np.count_nonzero(~np.isfinite(array)))


def _digest(stored: Stored) -> str:
    digest = hashlib.sha256()
    for _, content in stored.parts():
        digest.update(content.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
