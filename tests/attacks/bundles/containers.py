"""Files that are no container, or one whose table of tensors is not sound (section 2)."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
from typing import Any

from bundles.sound import BASE, CONV, DATA, HEADER, HEADER_TEXT, TEXT, Content, entry, header, header_text, raw


def containers() -> dict[str, Content]:
    """Files that are no container, or whose header is no JSON object as it must be."""
    length = struct.pack("<Q", len(BASE) - 8 - len(DATA))
    table = HEADER_TEXT.encode()
    return {
        "empty": lambda: b"",
        "seven-bytes": lambda: BASE[:7],
        "length-alone": lambda: length,
        "length-zero": lambda: bytes(8),
        "length-zero-and-data": lambda: bytes(8) + BASE[8:],
        "length-big-endian": lambda: length[::-1] + BASE[8:],
        "length-2^63": lambda: struct.pack("<Q", 2**63) + BASE[8:],
        "length-2^64-1": lambda: b"\xff" * 8 + BASE[8:],
        "length-one-too-long": lambda: struct.pack("<Q", len(BASE) - 7 - len(DATA)) + BASE[8:],
        "length-one-too-short": lambda: struct.pack("<Q", len(table) - 1) + table + DATA,
        "pickle": lambda: pickle.dumps({"state_dict": [1.0] * 100}),
        "pickle-protocol-0": lambda: b"cos\nsystem\n(S'touch attacked'\ntR.",
        "zip": zipped,
        "gzip": lambda: gzip.compress(BASE, mtime=0),
        "zip-behind-a-ticket": lambda: BASE + zipped(),
        "two-tickets": lambda: BASE * 2,
        "json-alone": TEXT.encode,
        "html": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "byte-order-mark": lambda: raw(b"\xef\xbb\xbf" + table),
        "utf-16": lambda: raw(HEADER_TEXT.encode("utf-16")),
        "utf-16-without-mark": lambda: raw(HEADER_TEXT.encode("utf-16-le")),
        "header-of-spaces": lambda: raw(b" " * 64),
        "header-of-nul": lambda: raw(bytes(64)),
        "header-null": lambda: raw(b"null    "),
        "header-padded-with-nul": lambda: raw(table + bytes(8)),
        "header-after-a-space": lambda: raw(b" " + table),
        "header-twice": lambda: raw(table + table),
        "header-with-a-comment": lambda: raw(b"{/* */" + table[1:]),
        "header-with-a-trailing-comma": lambda: raw(table[:-1] + b",}"),
        "header-in-single-quotes": lambda: raw(table.replace(b'"dtype"', b"'dtype'", 1)),
        "invalid-utf-8": lambda: header_text('"layers.0014.bias"', '"layers.0014.bias\x00"').replace(
            b"s\x00", b"s\xff"
        ),
        "overlong-utf-8": lambda: raw(table.replace(b"layers.0014.bias", b"layers\xc0\xae0014.bias")),
        "surrogate-as-utf-8": lambda: raw(table.replace(b"layers.0014.bias", b"layers\xed\xa0\x80.bias")),
        "lone-surrogate-in-a-key": lambda: header_text("layers.0014.bias", "layers.0014.bias\\ud800"),
        "raw-line-break-in-a-key": lambda: header_text("layers.0014.bias", "layers.0014.\nbias"),
        "metadata-twice": lambda: raw(b'{"__metadata__":{"ticketkit":"{}"},' + table[1:]),
        "document-twice": lambda: header_text('{"ticketkit":', '{"ticketkit":"{}","ticketkit":'),
        "tensor-twice": lambda: raw(table[:-1] + b',"layers.0000.weight.mask":{}}'),
        "metadata-missing": lambda: header(lambda h: h.pop("__metadata__")),
        "metadata-null": lambda: header(lambda h: h.update(__metadata__=None)),
        "metadata-list": lambda: header(lambda h: h.update(__metadata__=[TEXT])),
        "metadata-text": lambda: header(lambda h: h.update(__metadata__=TEXT)),
        "metadata-of-another-tool": lambda: header(lambda h: h.update(__metadata__={"format": "pt"})),
        "metadata-key-with-control-characters": lambda: header(
            lambda h: h["__metadata__"].update({"\x1b]0;owned\x07\n" * 99: ""})
        ),
        "document-a-number": lambda: header(lambda h: h["__metadata__"].update(ticketkit=5)),
        "document-an-object": lambda: header(lambda h: h["__metadata__"].update(ticketkit=json.loads(TEXT))),
    }


def zipped() -> bytes:
    """A zip that holds a ticket."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("ticket.st"), BASE)
    return file.getvalue()


def entries() -> dict[str, Content]:
    """Containers whose table of tensors is no sound one."""
    begin, end = HEADER["layers.0014.bias"]["data_offsets"]
    length = len(DATA)

    def same_bytes_for_two_layers(table: dict[str, Any]) -> None:
        table["layers.0003.bias"]["data_offsets"] = table["layers.0001.bias"]["data_offsets"]

    def hole(table: dict[str, Any]) -> None:
        last = max(table.values(), key=lambda found: found.get("data_offsets", [0, 0])[1])
        last["data_offsets"] = [offset + 8 for offset in last["data_offsets"]]

    def from_byte_one(table: dict[str, Any]) -> None:
        for found in table.values():
            if "data_offsets" in found:
                found["data_offsets"] = [offset + 1 for offset in found["data_offsets"]]

    return {
        "entry-null": lambda: header(lambda h: h.update({"layers.0014.bias": None})),
        "entry-a-list": lambda: header(lambda h: h.update({"layers.0014.bias": ["F32", [10], [begin, end]]})),
        "entry-without-shape": lambda: header(lambda h: h["layers.0014.bias"].pop("shape")),
        "entry-with-a-member-more": lambda: entry(note='"the id does not guard this"'),
        "entry-with-shape-twice": lambda: raw(HEADER_TEXT.replace('"dtype":', '"shape":[9],"dtype":', 1).encode()),
        "type-unknown": lambda: entry(dtype='"F31"'),
        "type-in-lower-case": lambda: entry(dtype='"f32"'),
        "type-a-list": lambda: entry(dtype=["F32"]),
        "type-null": lambda: entry(dtype=None),
        "type-bf16": lambda: entry(dtype='"BF16"', shape=[20]),
        "type-bool": lambda: header(lambda h: h[f"{CONV}.mask"].update(dtype="BOOL")),
        "type-u32": lambda: entry(dtype='"U32"'),
        "shape-of-10^12-elements": lambda: entry(shape=[10**12]),
        "shape-and-offsets-of-10^12-elements": lambda: entry(shape=[10**12], data_offsets=[begin, begin + 4 * 10**12]),
        "shape-of-9-dimensions": lambda: entry(shape=[1] * 8 + [10]),
        "shape-of-a-million-dimensions": lambda: entry(shape="[" + "1," * 10**5 + "10]"),
        "shape-zero-hides-2^126": lambda: entry(shape=[2**63 - 1, 2**63 - 1, 0], data_offsets=[begin, begin]),
        "shape-product-beyond-2^63": lambda: entry(shape=[2**32, 2**32]),
        "shape-2^63": lambda: entry(shape=[2**63]),
        "shape-negative": lambda: entry(shape=[-10]),
        "shape-minus-by-minus": lambda: entry(shape=[-5, -2]),
        "shape-minus-zero": lambda: entry(shape="[-0]", data_offsets=[begin, begin]),
        "shape-fractional": lambda: entry(shape=[10.0]),
        "shape-true": lambda: entry(shape=[10, True]),
        "shape-text": lambda: entry(shape=["10"]),
        "shape-null": lambda: entry(shape=None),
        "shape-a-number": lambda: entry(shape=10),
        "shape-nested": lambda: entry(shape=[[10]]),
        "shape-nan": lambda: entry(shape="[NaN]"),
        "shape-infinite": lambda: entry(shape="[1e400]"),
        "shape-of-4000-digits": lambda: entry(shape=f"[{'9' * 4000}]"),
        "shape-of-5000-digits": lambda: entry(shape=f"[{'9' * 5000}]"),
        "shape-of-another-order": lambda: entry(shape=[2, 5]),
        "offsets-beyond-2^63": lambda: entry(data_offsets=[begin, 2**63 + 8]),
        "offsets-beyond-2^64": lambda: entry(data_offsets=[begin + 2**64, end + 2**64]),
        "offsets-of-4000-digits": lambda: entry(data_offsets=f"[0,{'9' * 4000}]"),
        "offsets-negative": lambda: entry(data_offsets=[-40, 0]),
        "offsets-backwards": lambda: entry(data_offsets=[end, begin]),
        "offsets-fractional": lambda: entry(data_offsets=[begin, float(end)]),
        "offsets-true": lambda: header(lambda h: h[f"{CONV}.mask"].update(data_offsets=[False, True], shape=[1])),
        "offsets-three": lambda: entry(data_offsets=[begin, end, end]),
        "offsets-text": lambda: entry(data_offsets=[str(begin), str(end)]),
        "offsets-nan": lambda: entry(data_offsets=f"[NaN,{end}]"),
        "offsets-overlap": lambda: header(same_bytes_for_two_layers),
        "offsets-leave-a-hole": lambda: header(hole, data=DATA + bytes(8)),
        "offsets-from-byte-one": lambda: header(from_byte_one, data=b"\x00" + DATA),
        "data-cut-short": lambda: BASE[:-1],
        "data-missing": lambda: BASE[:-length],
        "data-longer": lambda: BASE + b"\x00",
    }
