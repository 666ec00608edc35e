"""Bundles that would cost a careless reader much time, memory or stack (section 6)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bundles.sound import HEADER_TEXT, MOST, STRETCHED, TEXT, Content, Document, document, raw, recipe, text
from ticketkit.arch import parse_arch
from ticketkit.bundle import save_ticket
from ticketkit.encoding import Bitmask, Dense, Stored
from ticketkit.provenance import Provenance, Weights
from ticketkit.ticket import Ticket

VALUES = 200_000
"""The most JSON values of a header, and of a document."""

TINY = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
"""A tensor of nothing, seven values in all."""


def sizes() -> dict[str, Content]:
    """Headers and documents as large as may be, and larger; some are read to their very end before they are refused."""
    return headers() | documents()


def headers() -> dict[str, Content]:
    """Headers of one thing many times."""

    def filled(head: str, item: str, tail: str) -> Content:
        """As long as a header may be."""
        return lambda: raw((head + item * ((MOST - len((head + tail).encode())) // len(item.encode())) + tail).encode())

    def tiny_tensors(count: int) -> bytes:
        more = "".join(f',"{number}":{TINY}' for number in range(count))
        return raw(f"{HEADER_TEXT[:-1]}{more}}}".encode())

    return {
        "header-one-byte-too-long": lambda: raw(HEADER_TEXT.encode().ljust(MOST + 1)),
        "header-of-31-megabytes": lambda: text("[" + "0," * 15 * 2**20 + "0]"),
        "header-of-open-lists": filled('{"a":', "[", "}"),
        "header-of-open-objects": filled("", '{"a":', "}"),
        "header-nested-65-deep": lambda: raw(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"),
        "header-of-empty-objects": filled('{"a":[', "{},", "0]}"),
        "header-of-empty-lists": filled('{"a":[', "[],", "0]}"),
        "header-of-fractions": filled('{"a":[', "1.5,", "0]}"),
        "header-of-numbers-of-4000-digits": filled('{"a":[', "9" * 4000 + ",", "0]}"),
        "header-of-tiny-tensors": lambda: tiny_tensors(70_000),
        "header-of-as-many-tensors-as-may-be": lambda: tiny_tensors(VALUES // 7 - 100),
        "header-of-keys-alike-at-first": lambda: raw(
            ("{" + ",".join(f'"{"k" * 1000}{number:04}":0' for number in range(4000)) + "}").encode()
        ),
        "header-of-quotation-marks": filled('{"a":"', '\\"', '"}'),
        "header-of-backslashes": filled('{"a":"', "\\\\", '"}'),
        "header-of-an-open-string": filled('{"', "a", "}"),
        "header-of-astral-characters": filled('{"a":"', "\U0001f600", '"}'),
        "header-of-escaped-line-breaks": filled('{"a":"', "\\n", '"}'),
    }


def documents() -> dict[str, Content]:
    """Documents of one thing many times. Most have the id of the document without it."""

    def list_of(item: str, count: int) -> Content:
        return lambda: recipe('{"a":[' + ",".join([item] * count) + "]}")

    return {
        "document-of-open-lists": lambda: text("[" * 100_000),
        "document-nested-100000-deep": lambda: text("[" * 100_000 + "]" * 100_000),
        "document-nested-65-deep": lambda: recipe('{"a":' * 63 + "0" + "}" * 63),
        "document-of-too-many-values": list_of("0", VALUES),
        "document-of-too-many-empty-objects": list_of("{}", 1_300_000),
        "document-of-as-many-empty-objects-as-may-be": list_of("{}", VALUES // 2 - 300),
        "document-of-as-many-names-as-may-be": lambda: more_members("{}", VALUES // 2 - 300),
        "document-of-as-many-fractions-as-may-be": list_of("1.5e-9", VALUES - 600),
        "document-of-fractions-in-every-layer": fractions_in_every_layer,
        "document-with-a-string-of-1000001-bytes": lambda: recipe(json.dumps({"a": "a" * 1_000_001})),
        "document-of-strings-as-long-as-may-be": lambda: more_members(f'"{"a" * 1_000_000}"', 4),
        "document-of-astral-characters": lambda: more_members(f'"{chr(0x1F600) * 250_000}"', 4),
        "document-of-escaped-line-breaks": lambda: more_members(f'"{(chr(92) + "n") * 400_000}"', 3),
        "document-of-control-characters": lambda: more_members(f'"{(chr(92) + "u0001") * 160_000}"', 3),
        "document-of-transformations": lambda: document(
            lambda d: d["provenance"].update(transformations=d["provenance"]["transformations"] * 2_000, parent=None),
            STRETCHED,
        ),
        "document-of-as-many-layers-as-may-be": lambda: many_layers(20_000, variant="pad"),
        "document-of-as-many-layers-as-its-depth": lambda: many_layers(10_000, family="vit", depth=10_000, width=4),
        "document-of-a-deep-network-damaged-at-its-end": deep_and_damaged,
    }


def more_members(value: str, count: int) -> bytes:
    """The sound bundle with members that no version knows, and the id without them."""
    return text(TEXT[:-1] + "".join(f',"x{number:06}":{value}' for number in range(count)) + "}")


@cache
def fractions_in_every_layer() -> bytes:
    """Layers with numbers that are hard to write in canonical form, under the id without them."""
    return text(TEXT.replace('{"index":', f'{{"a":[{",".join(["1.5e-9"] * 12_000)}],"index":'))


@cache
def many_layers(count: int, **members: object) -> bytes:
    """A document of many layers of nothing."""

    def change(found: Document) -> None:
        found["architecture"] |= {"variant": ""} | members
        found["layers"] = [
            {"index": index, "kind": "a", "name": "a", "role": "a", "tensors": {}} for index in range(count)
        ]

    return document(change)


@cache
def deep_and_damaged() -> bytes:
    """A ticket about as deep as a header may describe, sound but for a bit of its last mask."""
    arch = parse_arch("cifar-resnet2204-w1")
    kinds: dict[Any, Stored] = {}
    stored: dict[str, Stored] = {}
    for found in arch.state():
        kind = (found.tensor.shape, found.tensor.dtype, found.prunable)
        if kind not in kinds:
            array = np.ones(found.tensor.shape, dtype="<i8" if found.tensor.dtype == "I64" else "<f4")
            kinds[kind] = Bitmask.encode(array, array.astype(np.bool_)) if found.prunable else Dense(array)
        stored[found.name] = kinds[kind]
    ticket = Ticket(arch=arch, stored=stored, weights=Weights(role="final"), provenance=Provenance(method="imp"))
    with TemporaryDirectory() as folder:
        save_ticket(ticket, Path(folder, "deep.st"))
        content = Path(folder, "deep.st").read_bytes()
    return content[:-1] + bytes([content[-1] ^ 0x80])
