"""Writing a ticket: whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ticketkit.atomic import flushing, replacing
from ticketkit.bundle.bounds import check_json, check_strings
from ticketkit.bundle.container import naming
from ticketkit.bundle.header import METADATA_KEY
from ticketkit.bundle.limits import DEFAULT_LIMITS
from ticketkit.document import storage_key
from ticketkit.encoding import DTYPES, Array
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket


def save_ticket(ticket: Ticket, path: str | os.PathLike[str], *, overwrite: bool = False) -> str:
    """Write a ticket as one file: to a temporary file beside it, flushed, then renamed.

    The same ticket gives the same bytes.

    Args:
        ticket: The ticket.
        path: The file; ``.st`` by convention.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The ticket's id, ``sha256:…``.

    Raises:
        BundleError: If the file exists and may not be replaced, a weight is not finite, the header would be beyond
            the limits of :func:`load_ticket`, or writing fails. Nothing is left behind, and an existing file is as
            it was.

    Examples:
        >>> ticket = ticketkit.load_ticket("resnet20.st")
        >>> ticketkit.save_ticket(ticket, "copy.st", overwrite=True) == ticket.id
        True
    """
    path = Path(path)
    tensors = _stored_tensors(ticket)
    header = _header(tensors, ticket.document_text)
    with naming(path):
        _check_readable(header, ticket.document_text)
    try:
        with (
            replacing(path, overwrite=overwrite) as temporary,
            temporary.open("xb", buffering=_BUFFER) as file,
            flushing(file) as write,
        ):
            write(header)
            for content in tensors.values():
                write(content.reshape(-1).view(np.uint8).data)
    except FileExistsError:
        raise BundleError(f"a ticket must not be overwritten unasked (a file is there already): {path}") from None
    except OSError as error:
        raise BundleError(f"a ticket must be written to a writable place ({error.strerror or error}): {path}") from None
    return ticket.id


_BUFFER = 2**20
"""Bytes that are gathered before they are written: most tensors of a network are small."""

_STORED_AS = {dtype: name for name, dtype in DTYPES.items()} | {np.dtype(np.uint8): "U8"}
_ORDER = ("I64", "F64", "F32", "F16", "U8")


def _header(tensors: Mapping[str, Array], document: str) -> bytes:
    """The safetensors header of tensors that lie one after the other, with its length before it.

    Byte for byte what the safetensors library writes today; written here so that a ticket's bytes follow from the
    format alone and from no library's version, and so that the file gets the permissions of any other.
    """
    header: dict[str, object] = {"__metadata__": {METADATA_KEY: document}}
    start = 0
    for key, content in tensors.items():
        end = start + content.nbytes
        header[key] = {
            "dtype": _STORED_AS[content.dtype],
            "shape": list(content.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _check_readable(header: bytes, document: str) -> None:
    """Refuse to write what a reader refuses by default: it might be noticed long after."""
    length, most = len(header) - 8, DEFAULT_LIMITS.header_bytes
    if length > most:
        raise BundleError(f"a ticket's header must be of at most {most:,} bytes, or it is not read (got {length:,})")
    check_json(header[8:], "a ticket's header", DEFAULT_LIMITS)
    encoded = document.encode()
    check_json(encoded, "a ticket's document", DEFAULT_LIMITS)
    check_strings(encoded, "a ticket's document", DEFAULT_LIMITS)


def _stored_tensors(ticket: Ticket) -> dict[str, Array]:
    """What the file stores by key: widest element type first, so that each lies aligned; then by name."""
    groups: dict[str, dict[str, Array]] = {dtype: {} for dtype in _ORDER}
    for name, layer, tensor in ticket.arch.state():
        stored = ticket.stored[name]
        if stored.infinities:
            raise BundleError(f"weights of a ticket must be finite (those of {name} are not)")
        key = storage_key(layer.index, tensor.name)
        for suffix, content in stored.parts():
            groups[_STORED_AS[content.dtype]][key + suffix] = content
    return {key: group[key] for group in groups.values() for key in sorted(group)}
