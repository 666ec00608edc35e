"""Reading what a bundle says of itself, without reading a tensor."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ticketkit.arch import ArchSpec, LayerSpec, TensorSpec
from ticketkit.bundle.limits import DEFAULT_LIMITS, Limits
from ticketkit.document import Document, LayerEntry, TensorEntry, parse_document, storage_key
from ticketkit.encoding import DTYPES, mask_bytes
from ticketkit.errors import BundleError, MaskError

METADATA_KEY = "ticketkit"
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleHeader:
    """A bundle's document, checked against itself and against the network it names.

    Attributes:
        path: The file.
        document: Its metadata document.
        raw: The same document as it stands in the file, with fields that this version does not know.
        header_bytes: Length of everything before the tensors.
        file_bytes: Length of the file.
    """

    path: Path
    document: Document
    raw: Mapping[str, Any]
    header_bytes: int
    file_bytes: int

    @property
    def id(self) -> str:
        """The ticket's id, ``sha256:…``."""
        return self.document.id

    @property
    def arch(self) -> ArchSpec:
        """The ticket's network."""
        return self.document.architecture

    def tensors(self) -> Iterator[tuple[str, LayerEntry, str, TensorEntry]]:
        """Every tensor in execution order: ``state_dict`` name, layer, storage key, entry."""
        for layer, spec in zip(self.document.layers, self.arch.layers(), strict=True):
            for tensor in spec.tensors:
                yield spec.tensor_name(tensor), layer, storage_key(layer.index, tensor.name), layer.tensors[tensor.name]


def read_header(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> BundleHeader:
    """Read and check a ticket's document and the layout of its file; no tensor is read.

    Args:
        path: The bundle.
        limits: What the reader is willing to take.

    Raises:
        BundleVersionError: If the file is of another major version of the format.
        BundleError: If it cannot be read or breaks a rule of the format; the message is one line and names the file.
    """
    path = Path(path)
    with naming(path), opened(path, limits) as (file, header_bytes, file_bytes):
        metadata = file.metadata() or {}
        if set(metadata) != {METADATA_KEY}:
            keys = ", ".join(sorted(map(repr, metadata)))[:80] or "none"
            raise BundleError(f"a ticket must have the one metadata key {METADATA_KEY!r} (got {keys})")
        document, raw = parse_document(metadata[METADATA_KEY])
        _check_layers(document, limits)
        _check_layout(document, file)
    return BundleHeader(path=path, document=document, raw=raw, header_bytes=header_bytes, file_bytes=file_bytes)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn every error about a file's content or access into one line that ends with the file's name."""
    try:
        yield
    except BundleError as error:
        raise type(error)(f"{error}: {path}") from None
    except MaskError as error:
        raise BundleError(f"{error}: {path}") from None
    except OSError as error:
        raise BundleError(f"a ticket must be a readable file ({error.strerror or error}): {path}") from None
    except SafetensorError as error:
        raise BundleError(f"a ticket must be a sound safetensors file ({error}): {path}") from None


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[tuple[safe_open, int, int]]:
    """Open a safetensors file whose size and header length are within limits; gives it with those two lengths."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BundleError("a ticket must be a regular file (got another kind)")
    if status.st_size > limits.file_bytes:
        raise BundleError(f"a file must be of at most {limits.file_bytes:,} bytes (got {status.st_size:,})")
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(_LENGTH_BYTES), "little")
        header_bytes = _LENGTH_BYTES + length
        if header_bytes > status.st_size:
            raise BundleError(
                f"a safetensors header must fit its file of {status.st_size:,} bytes (it claims {length:,}); "
                "the file is cut short or is not safetensors"
            )
        if length > limits.header_bytes:
            raise BundleError(f"a header must be of at most {limits.header_bytes:,} bytes (got {length:,})")
        _check_header_text(raw.read(length), data_bytes=status.st_size - header_bytes)
    with safe_open(path, framework="numpy") as file:
        yield file, header_bytes, status.st_size


def _check_header_text(header: bytes, *, data_bytes: int) -> None:
    """Refuse a file cut short, and what safetensors lets pass though others may read it otherwise.

    That is a repeated key and padding other than spaces. The rest, offsets among it, safetensors checks itself.
    """
    text = header.rstrip(b" ")
    if not (text.startswith(b"{") and text.endswith(b"}")):
        raise BundleError("a safetensors header must be a JSON object and spaces after it (got something else)")
    try:
        entries = json.loads(text, object_pairs_hook=_refuse_repeated)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"a safetensors header must be JSON ({error})") from None
    claimed = 0
    for entry in entries.values():
        match entry:
            case {"data_offsets": [_, int(end)]}:
                claimed = max(claimed, end)
    if claimed != data_bytes:
        raise BundleError(
            f"a file must hold the {claimed:,} bytes of tensors that its header names (it holds {data_bytes:,}); "
            "it is cut short, or something was added to it"
        )


def _refuse_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise BundleError(f"a safetensors header must have every key once (got {key[:80]!r} again)")
        content[key] = value
    return content


def _check_layers(document: Document, limits: Limits) -> None:
    if len(document.layers) > limits.layers:
        raise BundleError(f"a ticket must have at most {limits.layers:,} layers (got {len(document.layers):,})")
    expected = document.architecture.layers()
    if len(document.layers) != len(expected):
        name = document.architecture.name
        raise BundleError(f"a {name} must have {len(expected):,} layers (got {len(document.layers):,})")
    dense_bytes = 0
    masked = 0
    for layer, spec in zip(document.layers, expected, strict=True):
        _check_layer(layer, spec)
        for tensor in spec.tensors:
            entry = layer.tensors[tensor.name]
            _check_entry(f"layers[{layer.index}].{tensor.name}", entry, tensor, spec)
            dense_bytes += math.prod(entry.shape) * DTYPES[entry.dtype].itemsize
            masked += entry.encoding == "bitmask"
    if dense_bytes > limits.dense_bytes:
        raise BundleError(f"a ticket must decode to at most {limits.dense_bytes:,} bytes (got {dense_bytes:,})")
    if not masked:
        raise BundleError("a ticket must have at least one tensor of encoding 'bitmask' (got none)")


def _check_layer(layer: LayerEntry, spec: LayerSpec) -> None:
    for field in ("index", "name", "kind", "role", "stage", "unit"):
        expected, found = getattr(spec, field), getattr(layer, field)
        if found != expected:
            raise BundleError(f"{field} of layers[{spec.index}] must be {expected!r} (got {found!r})")
    expected_names = {tensor.name for tensor in spec.tensors}
    if layer.tensors.keys() != expected_names:
        wanted, found = ", ".join(sorted(expected_names)), ", ".join(map(repr, sorted(layer.tensors)))
        raise BundleError(f"tensors of layers[{spec.index}] must be {wanted} (got {found[:200] or 'none'})")


def _check_entry(where: str, entry: TensorEntry, tensor: TensorSpec, layer: LayerSpec) -> None:
    if entry.shape != tensor.shape:
        raise BundleError(f"shape of {where} must be {list(tensor.shape)} (got {list(entry.shape)})")
    if (entry.dtype == "I64") != (tensor.dtype == "I64"):
        kind = "I64" if tensor.dtype == "I64" else "a floating type"
        raise BundleError(f"dtype of {where} must be {kind} (got {entry.dtype})")
    if entry.encoding == "bitmask" and tensor.name != layer.prunable:
        raise BundleError(
            f"encoding of {where} must be 'dense': a mask covers weights of conv2d, linear and attention layers only"
        )
    if entry.kept is not None and entry.kept > tensor.size:
        raise BundleError(f"kept count of {where} must be at most its {tensor.size:,} weights (got {entry.kept:,})")


def _check_layout(document: Document, file: safe_open) -> None:
    """Check that the file stores exactly the tensors the document describes, in their stored types and shapes."""
    expected: dict[str, tuple[str, list[int]]] = {}
    for layer in document.layers:
        for name, entry in layer.tensors.items():
            key = storage_key(layer.index, name)
            if entry.kept is None:
                expected[key] = (entry.dtype, list(entry.shape))
            else:
                expected[f"{key}.mask"] = ("U8", [mask_bytes(math.prod(entry.shape))])
                expected[f"{key}.values"] = (entry.dtype, [entry.kept])
    found = set(file.keys())
    if missing := expected.keys() - found:
        raise BundleError(f"a ticket must store every tensor that it describes ({min(missing)} is missing)")
    if unknown := found - expected.keys():
        raise BundleError(f"a ticket must store only tensors that it describes (got {min(unknown)[:80]!r})")
    for key, (dtype, shape) in expected.items():
        view = file.get_slice(key)
        if view.get_dtype() != dtype:
            raise BundleError(f"stored type of {key} must be {dtype} (got {view.get_dtype()})")
        if view.get_shape() != shape:
            raise BundleError(f"stored shape of {key} must be {shape} (got {view.get_shape()})")
