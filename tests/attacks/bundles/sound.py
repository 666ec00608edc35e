"""The small sound ticket, and how to change it at one place.

Where a change would only be caught by the hash or the id, those are made right, so that an attack arrives at the check
that it is made for.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

VECTORS = Path(__file__).parents[3] / "formats" / "vectors"

_specification = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
if _specification is None or _specification.loader is None:
    raise ImportError(VECTORS)
make = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(make)

BASE: bytes = (VECTORS / f"{make.BASE}.st").read_bytes()
HEADER, DATA = make.take_apart(BASE)
TEXT: str = HEADER["__metadata__"]["ticketkit"]
HEADER_TEXT = json.dumps(HEADER, separators=(",", ":"), ensure_ascii=False)
STRETCHED: bytes = (VECTORS / "stretch-settings.st").read_bytes()
OTHER_ID = "sha256:" + "ab" * 32
MOST = 4 * 2**20
"""Bytes of the longest header that is read."""

CONV, NORM, HEAD = "layers.0000.weight", "layers.0001", "layers.0014.weight"

Document = dict[str, Any]
Content = Callable[[], bytes]
"""Makes a hostile file."""


def raw(header: bytes, data: bytes = DATA) -> bytes:
    """A file of any header, as it is."""
    return struct.pack("<Q", len(header)) + header + data


def header_text(old: str, new: str) -> bytes:
    """The sound bundle with words of its header replaced once."""
    if HEADER_TEXT.count(old) != 1:
        raise ValueError(f"{old} must be once in the header (got {HEADER_TEXT.count(old)})")
    return raw(HEADER_TEXT.replace(old, new).encode())


def entry(**members: object) -> bytes:
    """The sound bundle with other members in the entry of the last tensor but one, in JSON's words if a string is."""
    words = {key: json.dumps(value) for key, value in HEADER["layers.0014.bias"].items()}
    words |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in members.items()}
    text = ",".join(f'"{key}":{value}' for key, value in words.items())
    old = json.dumps(HEADER["layers.0014.bias"], separators=(",", ":"))
    return header_text(f'"layers.0014.bias":{old}', f'"layers.0014.bias":{{{text}}}')


def document(change: Callable[[Document], object], base: bytes = BASE) -> bytes:
    """A bundle with a changed document that has the right id."""
    bundle: bytes = make.with_document(base, change)
    return bundle


def words(old: str, new: str) -> bytes:
    """The sound bundle with words of its document replaced once."""
    bundle: bytes = make.with_words(BASE, old, new)
    return bundle


def text(content: str) -> bytes:
    """The sound bundle with any text as its document."""
    bundle: bytes = make.with_text(BASE, content)
    return bundle


def recipe(content: str) -> bytes:
    """The sound bundle with a recipe that is any text; without it, the document is 3.4 of a page."""
    return words(',"seed":0', f',"recipe":{content},"seed":0')


def architecture(**members: object) -> bytes:
    """The sound bundle with another network's numbers, and the layers of its own."""
    return document(lambda d: d["architecture"].update(members))


def network(family: str, depth: int, **members: object) -> bytes:
    """The document of any network, without a layer."""

    def change(found: Document) -> None:
        found["architecture"] |= {"family": family, "depth": depth, "variant": "", **members}
        found["layers"] = []

    return document(change)


def tensor(key: str, **members: object) -> bytes:
    """The sound bundle whose document describes one tensor otherwise."""
    return document(lambda d: make.tensor_entry(d, key).update(members))


def layer(position: int, **members: object) -> bytes:
    """The sound bundle whose document describes one layer otherwise."""
    return document(lambda d: d["layers"][position].update(members))


def stored(key: str, change: Callable[[bytearray], object]) -> bytes:
    """The sound bundle with other bytes in a tensor, its hash and the id made right."""
    bundle: bytes = make.with_bytes(BASE, key, change)
    return bundle


def header(change: Callable[[dict[str, Any]], object], base: bytes = BASE, data: bytes | None = None) -> bytes:
    """A bundle with another table of tensors, and other data if there are any."""
    table, content = make.take_apart(base)
    change(table)
    bundle: bytes = make.put_together(table, content if data is None else data)
    return bundle


def values(bits: int, kept: int) -> bytes:
    """The sound bundle whose first mask has other bits set than it has values: its document says ``kept``."""
    count = HEADER[f"{CONV}.values"]["shape"][0]
    mask = np.zeros(32, dtype=np.bool_)
    mask[:bits] = True
    changed = make.with_bytes(BASE, f"{CONV}.mask", lambda b: b.__setitem__(slice(None), packed(mask)))
    changed = make.with_bytes(changed, f"{CONV}.values", lambda b: resize(b, 4 * kept))
    changed = header(lambda h: h[f"{CONV}.values"].update(shape=[kept]), changed)
    return document(lambda d: make.tensor_entry(d, CONV).update(kept=kept), changed) if kept != count else changed


def packed(mask: np.ndarray) -> bytes:
    """A mask as it is stored."""
    return np.packbits(mask, bitorder="little").tobytes()


def resize(content: bytearray, length: int) -> None:
    """Make bytes longer, by zeros, or shorter."""
    del content[length:]
    content.extend(bytes(length - len(content)))
