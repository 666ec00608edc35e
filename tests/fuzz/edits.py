"""Edits of a bundle's parts: of its document, its tensors, and its header's table."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from blind import flip_bits
from parts import NESTED, WIDTHS, Json, Parts, Row

Edit = Callable[[Parts, Random], None]

NUMBERS: Sequence[Json] = (
    *(0, 1, -1, 2, 7, 8, 9, 14, 20, 127, 128, 255, 256, 10_000, 10_001, 65_535, 100_000, 1_000_000, 10**12),
    *(2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**21, 10**400, -(2**63)),
    *(0.0, -0.0, 0.5, 1.0, 1.5, 1e-7, 1e-6, 1e21, 1e30, 5e-324, 1.7976931348623157e308),
    *(float("nan"), float("inf"), float("-inf"), True, False),
)
TEXTS: Sequence[str] = (
    *("", "a", "weight", "bias", "ticketkit", "1.0", "1.1", "1.9999", "1.10000", "2.0", "0.9", "1.0\n", "01.0", "pad"),
    *(
        "init",
        "rewind",
        "final",
        "dense",
        "bitmask",
        "csr",
        "F16",
        "F32",
        "F64",
        "I64",
        "BF16",
        "U8",
        "conv2d",
        "linear",
    ),
    *("cifar-resnet", "imagenet-resnet", "vgg", "mobilenetv1", "mlp", "vit", "stem", "entry", "unit", "fixed", "head"),
    *("sha256:" + "0" * 64, "sha256:" + "0" * 64 + "\n", "0" * 64, "F" * 64, "0:0;1:1,3;2:2,4|0:0", "../../etc/passwd"),
    *("\0", "\x1b[31m", "\u2028", "\ud800", "\U000e0001" * 200, "é\u0301", "\ufeff", "\uffff", "a" * 201, "x" * 5000),
)
SPECIAL = {
    "F16": ("<H", (0x7C00, 0xFC00, 0x7E00, 0x8000, 0x0001, 0x7BFF)),
    "F32": ("<I", (0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x80000000, 0x00000001, 0x7F7FFFFF)),
    "F64": ("<Q", (0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0x8000 << 48, 1, 0x7FEFFFFFFFFFFFFF)),
    "I64": ("<Q", (0, 1, 2**63 - 1, 2**63, 2**64 - 1)),
}
"""Bits of infinities, numbers that are none, negative zeros, and the smallest and largest numbers."""


def set_value(parts: Parts, random: Random) -> None:
    """Put any value anywhere in the document."""
    container, key = _slot(parts.document, random)
    container[key] = _value(random)


def tweak_value(parts: Parts, random: Random) -> None:
    """Change a value of the document a little, so that it keeps its type."""
    container, key = _slot(parts.document, random)
    container[key] = _tweaked(container[key], random)


def drop_value(parts: Parts, random: Random) -> None:
    """Leave something of the document out."""
    container, key = _slot(parts.document, random)
    del container[key]


def add_member(parts: Parts, random: Random) -> None:
    """Give an object of the document one more member, often one that no reader knows."""
    container, _ = _slot(parts.document, random)
    if isinstance(container, dict):
        key = random.choice(("x_new", "zzz", "!", random.choice(TEXTS), random.choice(list(container))))
        container[key] = _tree(random)


def arrange_items(parts: Parts, random: Random) -> None:
    """Exchange, repeat or leave out items of an array of the document; most often its layers."""
    container, key = (parts.document, "layers") if random.random() < 0.6 else _slot(parts.document, random)
    items = container.get(key) if isinstance(container, dict) else container
    if not isinstance(items, list) or not items:
        return
    one, two = random.randrange(len(items)), random.randrange(len(items))
    match random.randrange(4):
        case 0:
            items[one], items[two] = items[two], items[one]
        case 1:
            items.insert(one, json.loads(json.dumps(items[two])))
        case 2:
            del items[one]
        case _:
            items[one] = json.loads(json.dumps(items[two]))


def record_anything(parts: Parts, random: Random) -> None:
    """Put any JSON where the format takes any."""
    provenance = parts.document.get("provenance")
    if isinstance(provenance, dict):
        provenance[random.choice(("recipe", "environment", "seed", "x_note"))] = _tree(random)


def nest(parts: Parts, random: Random) -> None:
    """Put something deeply nested into the document, or into the header's table."""
    depth = random.choice((10, 60, 70, 300, 950, 3000, 20_000))
    opened, closed = random.choice((("[", "]"), ('{"a":', "}"), ('[{"a":[', "]}]")))
    parts.nested = opened * depth + random.choice(("0", '"a"', "0.5")) + closed * depth
    match random.randrange(5):
        case 0 if parts.rows:
            random.choice(parts.rows).entry = NESTED
        case 1:
            parts.document["format"] = NESTED
        case 2:
            parts.document = NESTED
        case 3:
            record = parts.document.get("provenance")
            if isinstance(record, dict):
                record["recipe"] = {"a": NESTED}
        case _:
            container, key = _slot(parts.document, random)
            container[key] = NESTED


def another_network(parts: Parts, random: Random) -> None:
    """Say that it is another network, of any size."""
    architecture = parts.document.get("architecture")
    if isinstance(architecture, dict):
        for _ in range(random.choice((1, 1, 2))):
            field = random.choice(("depth", "width", "num_classes", "in_channels", "family", "variant"))
            sizes = (1, 2, 3, 8, 12, 20, 50, 9_998, 9_999, 10_000, 10_001, 100_000, 1_000_000, 2**53, 10**21)
            architecture[field] = random.choice(TEXTS if field in ("family", "variant") else sizes)


def another_type(parts: Parts, random: Random) -> None:
    """Say that a tensor, or all of them, is of another element type."""
    entries = [entry for _, entry in parts.described()]
    dtype = random.choice(("F16", "F32", "F64", "I64", "BF16", "U8"))
    for entry in entries if random.random() < 0.5 else entries and [random.choice(entries)]:
        if entry.get("dtype") != "I64" or random.random() < 0.1:
            entry["dtype"] = dtype


def another_version(parts: Parts, random: Random) -> None:
    """Say that it is of another version of the format."""
    parts.document["format"] = {"name": "ticketkit", "version": random.choice(("1.2", "1.9999", "2.0", *TEXTS))}


def write_loosely(parts: Parts, random: Random) -> None:
    """Write the document with white space."""
    parts.canonical = False


def change_bits(parts: Parts, random: Random) -> None:
    """Flip bits of one stored tensor."""
    if parts.rows:
        row = random.choice(parts.rows)
        row.content = flip_bits(row.content, random)


def change_masks(parts: Parts, random: Random) -> None:
    """Fill masks anew, or set their bits beyond the last weight."""
    for row in parts.rows:
        if row.key.endswith(".mask") and row.content and random.random() < 0.5:
            every, none = b"\xff" * len(row.content), bytes(len(row.content))
            padded = row.content[:-1] + bytes([row.content[-1] | 1 << random.randrange(8)])
            row.content = random.choice((every, none, padded, random.randbytes(len(row.content))))


def special_values(parts: Parts, random: Random) -> None:
    """Write an infinity, not a number, a negative zero or the like into a tensor."""
    rows = [row for row in parts.rows if isinstance(row.entry, dict) and str(row.entry.get("dtype")) in SPECIAL]
    if rows:
        row = random.choice(rows)
        form, bits = SPECIAL[row.entry["dtype"]]
        value = struct.pack(form, random.choice(bits))
        at = random.randrange(max(len(row.content) // len(value), 1)) * len(value)
        row.content = row.content[:at] + value + row.content[at + len(value) :]


def resize_row(parts: Parts, random: Random) -> None:
    """Make one stored tensor longer or shorter."""
    if parts.rows:
        row = random.choice(parts.rows)
        by = random.choice((-8, -4, -1, 1, 4, 8, 64))
        row.content = row.content[:by] if by < 0 else row.content + random.randbytes(by)


def change_encoding(parts: Parts, random: Random) -> None:
    """Store a dense tensor under a mask of ones, or a masked one as it is."""
    found = parts.described()
    if not found:
        return
    key, entry = random.choice(found)
    rows = {row.key: row for row in parts.rows}
    if key in rows:
        row, width = rows[key], WIDTHS.get(str(entry.get("dtype")), 4)
        size = len(row.content) // width
        bits = ((1 << size) - 1).to_bytes((size + 7) // 8, "little")
        row.key, row.entry = f"{key}.values", {"dtype": entry.get("dtype"), "shape": [size]}
        parts.rows.append(Row(f"{key}.mask", {"dtype": "U8", "shape": [len(bits)]}, bits))
        entry |= {"encoding": "bitmask", "kept": size}
    elif f"{key}.values" in rows:
        row = rows[f"{key}.values"]
        row.key, row.entry = key, {"dtype": entry.get("dtype"), "shape": entry.get("shape")}
        parts.rows = [row for row in parts.rows if row.key != f"{key}.mask"]
        entry["encoding"] = "dense"
        entry.pop("kept", None)


def exchange_contents(parts: Parts, random: Random) -> None:
    """Exchange the bytes, the entries or the names of two stored tensors."""
    if parts.rows:
        one, two = random.choice(parts.rows), random.choice(parts.rows)
        field = random.choice(("content", "entry", "key"))
        first, second = getattr(one, field), getattr(two, field)
        setattr(one, field, second)
        setattr(two, field, first)


def edit_entry(parts: Parts, random: Random) -> None:
    """Change one entry of the header's table."""
    if not parts.rows:
        return
    row = random.choice(parts.rows)
    if not isinstance(row.entry, dict):
        return
    field = random.choice(("dtype", "shape", "data_offsets", "x_new"))
    found = row.entry.get(field)
    if isinstance(found, list) and found and random.random() < 0.7:
        at = random.randrange(len(found))
        found[at] = _tweaked(found[at], random) if random.random() < 0.5 else random.choice(NUMBERS)
    elif random.random() < 0.5:
        row.entry[field] = random.choice(
            (*WIDTHS, "BOOL", "F8_E4M3", [], [0], [1, 1], [2**40, 0], [2**32, 2**32], [10**12])
        )
    else:
        row.entry[field] = _value(random)


def arrange_rows(parts: Parts, random: Random) -> None:
    """Shuffle, repeat, rename, add or leave out stored tensors; shuffled, they are the same ticket."""
    match random.randrange(5):
        case 0 | 1:
            random.shuffle(parts.rows)
        case 2 if parts.rows:
            row = random.choice(parts.rows)
            parts.rows.append(Row(row.key, row.entry, row.content))
        case 3 if parts.rows:
            row = random.choice(parts.rows)
            row.key = random.choice((row.key[:-1], row.key + ".mask", "__metadata__", *TEXTS))
        case 4 if parts.rows:
            del parts.rows[random.randrange(len(parts.rows))]
        case _:
            parts.rows.append(Row("layers.0000.extra", {"dtype": "U8", "shape": [4]}, b"abcd"))


def write_otherwise(parts: Parts, random: Random) -> None:
    """Write the header with white space, escapes and padding of another writer; it is the same ticket."""
    parts.comma = random.choice((",", ", ", ",\n", " ,\t", ",\r\n"))
    parts.escape = random.random() < 0.5
    parts.padding = random.choice((0, 1, 7, 8, 4096))


def edit_metadata(parts: Parts, random: Random) -> None:
    """Give the metadata another key, beside the ticket's."""
    parts.metadata[random.choice(TEXTS)] = _value(random)


DOCUMENT_EDITS: Sequence[Edit] = (
    *(set_value, set_value, tweak_value, tweak_value, drop_value, add_member, add_member, arrange_items),
    *(record_anything, record_anything, nest, another_network, another_type, another_version, write_loosely),
)
TENSOR_EDITS: Sequence[Edit] = (change_bits, change_masks, special_values, resize_row, change_encoding)
TABLE_EDITS: Sequence[Edit] = (
    *(exchange_contents, edit_entry, edit_entry, arrange_rows, arrange_rows, write_otherwise, edit_metadata),
)


def _slot(document: Json, random: Random) -> tuple[Any, Any]:
    """A place in a document that is not empty: a container, and a key or position in it."""
    container = document
    while True:
        key = random.choice(list(container)) if isinstance(container, dict) else random.randrange(len(container))
        inner = container[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.1:
            return container, key
        container = inner


def _value(random: Random) -> Json:
    kind = random.random()
    if kind < 0.45:
        return random.choice(NUMBERS)
    return random.choice(TEXTS) if kind < 0.8 else random.choice((None, [], {}, [0], {"a": 1}, [[]], [None]))


def _tree(random: Random, depth: int = 3) -> Json:
    """Any JSON, of few values."""
    kind = random.random()
    if depth == 0 or kind < 0.4:
        return _value(random) if random.random() < 0.7 else random.uniform(-1, 1) * 10.0 ** random.randint(-12, 24)
    if kind < 0.6:
        return [_tree(random, depth - 1) for _ in range(random.randrange(4))]
    return {
        random.choice(TEXTS) + str(random.randrange(9)): _tree(random, depth - 1) for _ in range(random.randrange(4))
    }


def _tweaked(value: Json, random: Random) -> Json:
    match value:
        case bool():
            return not value
        case int():
            return value + random.choice((-1, 1, 8, -value, value, 2**32))
        case float():
            return random.choice((value / 2, -value, value + 1, value // 1))
        case str():
            at = random.randint(0, len(value))
            return value[:at] + random.choice(("", "0", "f", "x", "\n", "é")) + value[at + random.randrange(2) :]
        case list():
            return value[::-1] if random.random() < 0.5 else value[:-1]
        case _:
            return value
