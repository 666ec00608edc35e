"""Reading what a bundle says of itself, without reading a tensor."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketkit.arch import ArchSpec, LayerSpec, TensorSpec
from ticketkit.bundle.bounds import check_json, check_strings
from ticketkit.bundle.container import Container, Extent, naming, opened
from ticketkit.bundle.limits import DEFAULT_LIMITS, Limits
from ticketkit.document import Document, LayerEntry, TensorEntry, parse_document, storage_key
from ticketkit.encoding import DTYPES, mask_bytes
from ticketkit.errors import BundleError, one_line
from ticketkit.reading import shown

METADATA_KEY = "ticketkit"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleHeader:
    """A bundle's document, checked against itself and against the network it names.

    Attributes:
        path: The file.
        document: Its metadata document.
        raw: The same document as it stands in the file, with fields that this version does not know.
        text: The document itself as it stands in the file, in canonical form.
        header_bytes: Length of everything before the tensors.
        file_bytes: Length of the file.

    Examples:
        >>> header = ticketkit.read_header("resnet20.st")
        >>> header.arch.name, header.document.weights.role
        ('cifar-resnet20', 'rewind')
    """

    path: Path
    document: Document
    raw: Mapping[str, Any]
    text: str
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

    Examples:
        >>> ticketkit.read_header("resnet20.st").document.provenance.method
        'imp'
    """
    path = Path(path)
    with naming(path), opened(path, limits) as container:
        return parse_header(path, container, limits)


def parse_header(path: Path, container: Container, limits: Limits) -> BundleHeader:
    """Read and check the document of a container, and that the container stores what the document describes.

    Raises:
        BundleVersionError: If it is of another major version of the format.
        BundleError: If it breaks a rule of the format; the message does not name the file yet.
    """
    if set(container.metadata) != {METADATA_KEY}:
        keys = one_line(", ".join(sorted(map(repr, container.metadata))), 80) or "none"
        foreign = METADATA_KEY not in container.metadata
        advice = "; ticketkit import makes a ticket of other tools' files" if foreign else ""
        raise BundleError(f"a ticket must have the one metadata key {METADATA_KEY!r} (got {keys}){advice}")
    text = container.metadata[METADATA_KEY]
    _check_text(text, limits)
    document, raw = parse_document(text)
    _check_layers(document, limits)
    check_layout(document, container.extents)
    return BundleHeader(
        path=path,
        document=document,
        raw=raw,
        text=text,
        header_bytes=container.header_bytes,
        file_bytes=container.file_bytes,
    )


def _check_text(text: str, limits: Limits) -> None:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:  # JSON can name half of a character, "\\ud800", and Python takes it
        raise BundleError(f"the document must be text ({error.reason} at character {error.start:,})") from None
    check_json(encoded, "the document", limits)
    check_strings(encoded, "the document", limits)


def _check_layers(document: Document, limits: Limits) -> None:
    if len(document.layers) > limits.layers:
        raise BundleError(f"a ticket must have at most {limits.layers:,} layers (got {len(document.layers):,})")
    if len(document.layers) < document.architecture.depth:  # as in every family; the list need not be built to know
        raise BundleError(
            f"a {document.architecture.name} must have a layer for each of its depth (got {len(document.layers):,})"
        )
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
            raise BundleError(f"{field} of layers[{spec.index}] must be {expected!r} (got {shown(found)})")
    expected_names = {tensor.name for tensor in spec.tensors}
    if layer.tensors.keys() != expected_names:
        wanted, found = ", ".join(sorted(expected_names)), ", ".join(map(repr, sorted(layer.tensors)))
        raise BundleError(f"tensors of layers[{spec.index}] must be {wanted} (got {one_line(found, 200) or 'none'})")


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


def check_layout(document: Document, extents: Mapping[str, Extent]) -> None:
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
    if missing := expected.keys() - extents.keys():
        raise BundleError(f"a ticket must store every tensor that it describes ({min(missing)} is missing)")
    if unknown := extents.keys() - expected.keys():
        raise BundleError(f"a ticket must store only tensors that it describes (got {shown(min(unknown))})")
    for key, (dtype, shape) in expected.items():
        extent = extents[key]
        if extent.dtype != dtype:
            raise BundleError(f"stored type of {key} must be {dtype} (got {extent.dtype})")
        if extent.shape != shape:
            raise BundleError(f"stored shape of {key} must be {shape} (got {extent.shape})")
