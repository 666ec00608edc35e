"""Bundles that store other tensors than they describe, or tensors that do not hold together (section 4)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from bundles.sound import (
    BASE,
    CONV,
    DATA,
    HEADER,
    NORM,
    VECTORS,
    Content,
    Document,
    document,
    header,
    make,
    packed,
    resize,
    stored,
    tensor,
    values,
)


def tensors() -> dict[str, Content]:
    """Bundles that store other tensors than they describe, or tensors that do not hold together."""

    def rename(old: str, new: str) -> Callable[[dict[str, Any]], object]:
        return lambda h: h.__setitem__(new, h.pop(old))

    def number(value: float) -> Callable[[bytearray], object]:
        return lambda content: struct.pack_into("<f", content, 0, value)

    def swap(found: Document) -> None:
        left, right = (make.tensor_entry(found, f"{NORM}.{name}") for name in ("bias", "weight"))
        left["sha256"], right["sha256"] = right["sha256"], left["sha256"]

    def swap_contents(table: dict[str, Any]) -> None:
        left, right = table[f"{NORM}.bias"], table[f"{NORM}.weight"]
        left["data_offsets"], right["data_offsets"] = right["data_offsets"], left["data_offsets"]

    def add(key: str) -> bytes:
        extra = {"dtype": "U8", "shape": [0], "data_offsets": [len(DATA), len(DATA)]}
        return header(lambda h: h.update({key: extra}))

    count = HEADER[f"{CONV}.values"]["shape"][0]
    return {
        "mask-bits-exceed-values": lambda: values(count + 1, count),
        "mask-bits-below-values": lambda: values(count - 1, count),
        "mask-all-set": lambda: values(27, count),
        "mask-empty": lambda: values(0, count),
        "mask-padding-set": lambda: stored(f"{CONV}.mask", lambda b: b.__setitem__(3, b[3] | 0x80)),
        "mask-padding-set-in-place-of-a-weight": padding_for_weight,
        "mask-inverted": lambda: stored(
            f"{CONV}.mask", lambda b: b.__setitem__(slice(None), bytes(255 - x for x in b))
        ),
        "mask-too-short": lambda: header(
            lambda h: h[f"{CONV}.mask"].update(shape=[3]), stored(f"{CONV}.mask", lambda b: resize(b, 3))
        ),
        "mask-too-long": lambda: header(
            lambda h: h[f"{CONV}.mask"].update(shape=[5]), stored(f"{CONV}.mask", lambda b: resize(b, 5))
        ),
        "mask-missing": lambda: header(rename(f"{CONV}.mask", "layers.0000.mask")),
        "values-with-extra-elements": lambda: header(
            lambda h: h[f"{CONV}.values"].update(shape=[count + 3]),
            stored(f"{CONV}.values", lambda b: resize(b, 4 * count + 12)),
        ),
        "values-with-extra-elements-and-kept": lambda: values(count, count + 3),
        "values-too-few": lambda: values(count, count - 1),
        "values-of-two-dimensions": lambda: header(lambda h: h[f"{CONV}.values"].update(shape=[count, 1])),
        "values-of-whole-numbers": lambda: header(lambda h: h[f"{CONV}.values"].update(dtype="I32")),
        "value-nan": lambda: stored(f"{CONV}.values", number(float("nan"))),
        "value-infinite": lambda: stored(f"{NORM}.bias", number(float("-inf"))),
        "value-of-half-precision-nan": half_precision_nan,
        "value-changed": lambda: make.with_bytes(BASE, f"{CONV}.values", number(0.5), hashed=False),
        "value-minus-zero-for-zero": minus_zero,
        "counter-changed": lambda: make.with_bytes(
            BASE, f"{NORM}.num_batches_tracked", lambda b: b.__setitem__(7, 0x80), hashed=False
        ),
        "hash-of-nothing": lambda: tensor(CONV, sha256=hashlib.sha256().hexdigest()),
        "hash-of-the-values-alone": values_hash,
        "hash-right-for-swapped-tensors": lambda: document(swap),
        "hash-right-and-contents-swapped": lambda: header(swap_contents),
        "hash-right-for-swapped-layers": swapped_layers,
        "stored-under-another-key": lambda: header(rename("layers.0014.bias", "layers.14.bias")),
        "stored-under-a-path": lambda: header(rename("layers.0014.bias", "../../../etc/passwd")),
        "stored-under-control-characters": lambda: header(rename("layers.0014.bias", "\x1b[2J\n" * 300)),
        "stored-beside": lambda: add("layers.0099.weight"),
        "stored-beside-without-a-name": lambda: add(""),
        "stored-beside-under-a-long-key": lambda: add("k" * 10**6),
        "stored-beside-as-mask": lambda: add("layers.0014.bias.mask"),
        "stored-flat": lambda: header(lambda h: h[f"{NORM}.num_batches_tracked"].update(shape=[1])),
        "stored-as-another-type": lambda: header(lambda h: h[f"{NORM}.num_batches_tracked"].update(dtype="F64")),
        "stored-as-bytes": lambda: header(lambda h: h["layers.0014.bias"].update(dtype="U8", shape=[40])),
    }


def padding_for_weight() -> bytes:
    """A mask with as many bits as values, of which one stands for no weight."""

    def change(content: bytearray) -> None:
        mask = np.unpackbits(np.frombuffer(bytes(content), dtype=np.uint8), bitorder="little")
        mask[np.flatnonzero(mask)[-1]], mask[31] = 0, 1
        content[:] = packed(mask)

    return stored(f"{CONV}.mask", change)


def half_precision_nan() -> bytes:
    """A ticket of half-precision weights, one of them not a number."""
    base = (VECTORS / "mixed-types.st").read_bytes()
    bundle: bytes = make.with_bytes(base, f"{CONV}.values", lambda b: struct.pack_into("<H", b, 0, 0x7E01))
    return bundle


def minus_zero() -> bytes:
    """A ticket with a zero whose sign was turned round: equal, and yet not the same bits."""
    base = (VECTORS / "zeros.st").read_bytes()
    table, data = make.take_apart(base)
    begin, end = table[f"{CONV}.values"]["data_offsets"]
    place = begin + data[begin:end].index(struct.pack("<f", -0.0))
    bundle: bytes = make.put_together(table, data[: place + 3] + b"\x00" + data[place + 4 :])
    return bundle


def values_hash() -> bytes:
    """A tensor whose hash leaves out its mask."""
    begin, end = HEADER[f"{CONV}.values"]["data_offsets"]
    return tensor(CONV, sha256=hashlib.sha256(DATA[begin:end]).hexdigest())


def swapped_layers() -> bytes:
    """Two normalisations of one shape, each stored in the other's place under the hash of its own."""

    def change(table: dict[str, Any]) -> None:
        for name in ("weight", "bias", "running_mean", "running_var"):
            left, right = table[f"layers.0003.{name}"], table[f"layers.0005.{name}"]
            left["data_offsets"], right["data_offsets"] = right["data_offsets"], left["data_offsets"]

    return header(change)
