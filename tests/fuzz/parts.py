"""A bundle taken apart into what can be edited, and put together again with as much put right as is wanted.

Nothing here knows ticketkit: what the reader gets wrong, this does not get wrong the same way.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any

Json = Any

LENGTH = struct.Struct("<Q")
WIDTHS = {"U8": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8}


NESTED = "<nested>"
"""What stands for something too deeply nested to be held as values."""


class Repair(IntEnum):
    """How much of what an edit broke is put right when the parts become a file again; each does what those below do."""

    NOTHING = 0
    """The table says what it says, true or not."""
    PLACES = 1
    """The table has the tensors lie one behind the other."""
    ID = 2
    """The document has the id of its content."""
    HASHES = 3
    """The document has the hash and the count of what is stored."""
    SIZES = 4
    """Stored bytes and table are as long as the document says."""


@dataclass(slots=True)
class Row:
    """One stored tensor: its key, its entry in the header's table, and its bytes."""

    key: str
    entry: Json
    content: bytes


@dataclass(slots=True)
class Parts:
    """A bundle taken apart, to be edited in place.

    Attributes:
        document: The document as JSON values.
        rows: The stored tensors in the order of the table.
        metadata: Other keys of the metadata.
        canonical: Whether the document is written in canonical form.
        comma: What stands between the members of the header.
        escape: Whether the header escapes what is not ASCII.
        padding: Spaces behind the header, beside those that align it.
        nested: What is written wherever a value is :data:`NESTED`.
    """

    document: Json
    rows: list[Row]
    metadata: dict[str, Json]
    canonical: bool = True
    comma: str = ","
    escape: bool = False
    padding: int = 0
    nested: str = "null"

    def text(self, *, signed: bool) -> str:
        """The document as it is written, with the id that it has or, ``signed``, with that of its content."""
        document = self.document
        if not isinstance(document, dict):
            return self.with_nested(canonical(document))
        members = {
            key: self.with_nested(f"{_quoted(key)}:{_written(document[key])}") for key in sorted(document, key=_order)
        }
        if signed:
            members.pop("id", None)
            document["id"] = "sha256:" + hashlib.sha256(_encoded(_object(members.values()))).hexdigest()
            members["id"] = f'"id":"{document["id"]}"'
            members = {key: members[key] for key in sorted(members, key=_order)}
        return _object(members.values()) if self.canonical else self.with_nested(json.dumps(document))

    def with_nested(self, text: str) -> str:
        """JSON in which what is deeply nested has taken its place."""
        return text.replace(f'"{NESTED}"', self.nested)

    def described(self) -> list[tuple[str, dict[str, Json]]]:
        """Base keys and descriptions of the tensors of a document that may be broken anywhere."""
        layers = self.document.get("layers") if isinstance(self.document, dict) else None
        found = []
        for layer in layers if isinstance(layers, list) else ():
            tensors = layer.get("tensors") if isinstance(layer, dict) else None
            for name, entry in tensors.items() if isinstance(tensors, dict) else ():
                if isinstance(entry, dict) and type(index := layer.get("index")) is int:
                    found.append((f"layers.{index:04d}.{name}", entry))
        return found


def take_apart(data: bytes) -> Parts | None:
    """The parts of a file that is a bundle at least in outline; None if it is not."""
    try:
        (length,) = LENGTH.unpack_from(data)
        header = json.loads(data[LENGTH.size : LENGTH.size + length])
        metadata = header.pop("__metadata__")
        document = json.loads(metadata.pop("ticketkit"))
        start = LENGTH.size + length
        rows = []
        for key, entry in header.items():
            first, last = entry["data_offsets"]
            rows.append(Row(key, entry, data[start + first : start + last]))
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Parts(document, rows, metadata) if isinstance(document, dict) else None


def put_together(parts: Parts, repair: Repair = Repair.SIZES) -> bytes:
    """A file of these parts; with every repair a sound bundle stays one, byte for byte as it was."""
    if repair >= Repair.SIZES:
        _fit_rows(parts)
    if repair >= Repair.HASHES:
        _describe_rows(parts)
    if repair >= Repair.PLACES:
        _place_rows(parts.rows)
    members = [("__metadata__", parts.metadata | {"ticketkit": parts.text(signed=repair >= Repair.ID)})]
    members += [(row.key, row.entry) for row in parts.rows]

    dumps = json.JSONEncoder(separators=(parts.comma, ":"), ensure_ascii=parts.escape).encode
    if len(content := dict(members)) == len(members):
        text = dumps(content)
    else:
        text = "{" + parts.comma.join(f"{dumps(key)}:{dumps(value)}" for key, value in members) + "}"  # a key twice
    header = _encoded(parts.with_nested(text))
    header += b" " * (-len(header) % 8 + parts.padding)
    return LENGTH.pack(len(header)) + header + b"".join(row.content for row in parts.rows)


def canonical(value: Json) -> str:
    """The form of RFC 8785; what has none, such as NaN and lone surrogates, as Python writes it."""
    if isinstance(value, dict):
        return _object(f"{_quoted(key)}:{_written(value[key])}" for key in sorted(value, key=_order))
    return _written(value)


def _order(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _object(members: Iterable[str]) -> str:
    return "{" + ",".join(members) + "}"


_DELICATE = re.compile(r"[\[:,]-?(?:[0-9]*[.eENI]|[0-9]{16})")
"""Matches where there is a number that is not a whole one of at most 15 digits."""
_quoted = json.encoder.encode_basestring


def _written(value: Json) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict | list):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if text.isascii() and not _DELICATE.search(text):
            return text
        return canonical(value) if isinstance(value, dict) else "[" + ",".join(map(_written, value)) + "]"
    if type(value) is int and 2**53 <= abs(value) < 10**300:
        value = float(value)
    return _number(value) if isinstance(value, float) and math.isfinite(value) else json.dumps(value)


def _number(value: float) -> str:
    """A finite number as ECMAScript writes it."""
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    mantissa, exponent = repr(value).split("e")
    return f"{mantissa}e{int(exponent):+d}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _place_rows(rows: list[Row]) -> None:
    at = 0
    for row in rows:
        if isinstance(row.entry, dict):
            row.entry["data_offsets"] = [at, at + len(row.content)]
        at += len(row.content)


def _describe_rows(parts: Parts) -> None:
    rows = {row.key: row for row in parts.rows}
    for key, entry in parts.described():
        if key in rows:
            entry["sha256"] = hashlib.sha256(rows[key].content).hexdigest()
        elif f"{key}.mask" in rows and f"{key}.values" in rows:
            bits, values = rows[f"{key}.mask"].content, rows[f"{key}.values"].content
            entry["sha256"] = hashlib.sha256(bits + values).hexdigest()
            entry["kept"] = len(values) // WIDTHS.get(str(entry.get("dtype")), 4)


def _fit_rows(parts: Parts) -> None:
    """Give every described tensor rows of the described type and size, as long as that stays small."""
    rows = {row.key: row for row in parts.rows}
    for key, entry in parts.described():
        shape, dtype = entry.get("shape"), str(entry.get("dtype"))
        if not isinstance(shape, list) or any(type(length) is not int or length < 0 for length in shape):
            continue
        size, width = math.prod(shape), WIDTHS.get(dtype, 4)
        if size * width > 2**16:
            continue
        if f"{key}.mask" in rows and f"{key}.values" in rows:
            bits = _resized(rows[f"{key}.mask"].content, (size + 7) // 8)
            if size % 8:
                bits = bits[:-1] + bytes([bits[-1] & (1 << size % 8) - 1])
            kept = int.from_bytes(bits, "little").bit_count()
            rows[f"{key}.mask"].content = bits
            rows[f"{key}.values"].content = _resized(rows[f"{key}.values"].content, kept * width)
            rows[f"{key}.mask"].entry = {"dtype": "U8", "shape": [len(bits)]}
            rows[f"{key}.values"].entry = {"dtype": dtype, "shape": [kept]}
        elif key in rows:
            rows[key].content = _resized(rows[key].content, size * width)
            rows[key].entry = {"dtype": dtype, "shape": shape}


def _resized(content: bytes, length: int) -> bytes:
    return content[:length].ljust(length, b"\0")
