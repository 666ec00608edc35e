"""The sparse-bitmask form of compressed-tensors: one bit a weight, and the weights whose bit is set.

A weight ``NAME.weight`` of shape [d0, …, dn] is four tensors (compressed-tensors 0.12,
``compressors/sparse_compressors/sparse_bitmask.py`` and ``utils/helpers.py``):

- ``NAME.shape``: the dense shape, int64 [n + 1];
- ``NAME.bitmask``: uint8 [d0, …, ⌈dn / 8⌉], each row of the last dimension by itself, bit j of byte k for weight
  8k + j, unused bits zero;
- ``NAME.compressed``: the weights whose bit is set, in C order;
- ``NAME.row_offsets``: int64 [d0, …, dn−1], the running sum along d0 of the kept weights before each row. For a
  matrix that is where each row starts in ``NAME.compressed``; for more dimensions it is what that library writes.

That library sets the bit of what is not zero, and reads whatever bits are set. Our masks are explicit: kept weights
that are zero have their bit set, and both read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketkit.encoding import Array
from ticketkit.errors import BundleError
from ticketkit.interop.assemble import assemble, plain_provenance, plain_weights, requested_arch
from ticketkit.interop.files import check_free, encode_arrays, is_safetensors, read_arrays, write_files
from ticketkit.interop.format import FORMATS, Exported, ExportRequest, Format, Imported, ImportRequest
from ticketkit.mask import BoolArray

KIND = "sparse-bitmask"
PARTS = ("bitmask", "compressed", "shape")
ROW_OFFSETS = "row_offsets"
WEIGHT = ".weight"
_MAX_DIMENSIONS = 8


def tensor_name(prefix: str) -> str:
    """Name of the weight that the parts under a prefix are of.

    That library compresses only what is called ``weight``. A ticket may also mask attention's ``in_proj_weight``,
    whose name stays whole.
    """
    return prefix if prefix.endswith("_weight") else prefix + WEIGHT


def compress(dense: Array, kept: BoolArray) -> dict[str, Array]:
    """The four tensors of a weight under its mask; both have at least one dimension."""
    counts = kept.sum(axis=-1, dtype=np.int64)
    return {
        "bitmask": np.packbits(kept, axis=-1, bitorder="little"),
        "compressed": dense[kept],
        ROW_OFFSETS: _row_offsets(counts),
        "shape": np.array(dense.shape, dtype=np.int64),
    }


def _row_offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    # A vector has one row, whose offset is a scalar zero.
    return np.asarray(np.cumsum(counts, axis=0) - counts if counts.ndim else np.int64(0), dtype=np.int64)


def decompress(name: str, parts: Mapping[str, Array]) -> tuple[Array, BoolArray]:
    """The dense weight and its mask.

    Raises:
        BundleError: If the tensors do not fit each other.
    """
    shape, bits, values = (parts[part] for part in ("shape", "bitmask", "compressed"))
    if shape.dtype.kind != "i" or shape.ndim != 1 or not 1 <= shape.size <= _MAX_DIMENSIONS or shape.min() < 1:
        raise BundleError(f"{name}.shape must be a list of 1 to {_MAX_DIMENSIONS} sizes (got {shape.tolist()!r:.60})")
    dims = tuple(int(size) for size in shape)
    packed = (*dims[:-1], -(-dims[-1] // 8))
    # Compared before anything is taken: the shape alone could claim more memory than there is.
    if bits.dtype != np.uint8 or bits.shape != packed:
        raise BundleError(f"{name}.bitmask must be uint8 of shape {packed} (got {bits.dtype} of {bits.shape})")
    rows = bits.view(np.uint8)
    if dims[-1] % 8 and np.any(rows[..., -1] >> (dims[-1] % 8)):
        raise BundleError(f"padding bits of {name}.bitmask must be zero (some are set)")
    kept = np.unpackbits(rows, axis=-1, count=dims[-1], bitorder="little").view(np.bool_)
    counts = kept.sum(axis=-1, dtype=np.int64)
    if values.shape != (int(counts.sum()),):
        raise BundleError(
            f"{name}.compressed must hold the {int(counts.sum()):,} weights that {name}.bitmask has bits for "
            f"(got shape {values.shape})"
        )
    if ROW_OFFSETS in parts and not np.array_equal(parts[ROW_OFFSETS], _row_offsets(counts)):
        raise BundleError(f"{name}.row_offsets must be the running sums of {name}.bitmask's rows (they are not)")
    dense = np.zeros(dims, dtype=values.dtype)
    dense[kept] = values
    return dense, kept


def read(request: ImportRequest) -> Imported:
    """Read compressed weights, as masked where a ticket can be, and all other tensors as they are.

    Raises:
        BundleError: If a weight lacks a part, its parts do not fit each other, or the rest is not the network's.
    """
    path = request.path
    _check_name(path)
    found, recorded = read_arrays(path)
    arrays: dict[str, Array] = {}
    masks: dict[str, Array] = {}
    compressed = {key.removesuffix(".bitmask") for key in found if key.endswith(".bitmask")}
    if not compressed:
        raise BundleError(f"a sparse-bitmask file must hold NAME.bitmask and its like (got none): {path}")
    used = set()
    for name in sorted(compressed):
        parts = {part: found[f"{name}.{part}"] for part in (*PARTS, ROW_OFFSETS) if f"{name}.{part}" in found}
        if missing := set(PARTS) - parts.keys():
            raise BundleError(f"{name}.bitmask must have its {name}.{min(missing)} beside it (got none): {path}")
        used |= {f"{name}.{part}" for part in parts}
        try:
            arrays[tensor_name(name)], masks[tensor_name(name)] = decompress(name, parts)
        except BundleError as error:
            raise BundleError(f"{error}: {path}") from None
    arrays |= {key: array for key, array in found.items() if key not in used}
    arch = requested_arch(request, recorded, arrays)
    # That library compresses the weights of normalisation layers too, unless told not to.
    maskable = {entry.name for entry in arch.state() if entry.prunable}
    masks = {name: mask for name, mask in masks.items() if name in maskable}
    ticket = assemble(
        arch, arrays, masks, path, weights=plain_weights(request), provenance=plain_provenance(KIND, path)
    )
    return Imported(ticket=ticket, source=path)


def write(request: ExportRequest) -> Exported:
    """Compress the masked weights; all other tensors stay as they are."""
    _check_name(request.path)
    check_free((request.path,), overwrite=request.overwrite)
    ticket = request.ticket
    arrays: dict[str, Array] = {}
    for name, array in ticket.tensors.items():
        if name in ticket.mask:
            parts = compress(array, ticket.mask[name])
            arrays |= {f"{name.removesuffix(WEIGHT)}.{part}": content for part, content in parts.items()}
        else:
            arrays[name] = array
    content = encode_arrays(request.path, arrays, ticket.arch.name)
    return Exported(paths=write_files({request.path: content}, overwrite=request.overwrite))


def _check_name(path: Path) -> None:
    if not is_safetensors(path):
        raise BundleError(f"a sparse-bitmask file must be called NAME.safetensors (got another name): {path}")


FORMATS.register(
    KIND, Format(summary="a sparse-bitmask safetensors file of compressed-tensors", read=read, write=write)
)
