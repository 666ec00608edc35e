from __future__ import annotations

import json
import mmap
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open

from ticketkit.bundle import DEFAULT_LIMITS, Limits, load_ticket, save_ticket
from ticketkit.bundle.container import naming, opened
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def read(path: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    with naming(path), opened(path, limits) as container:
        return {key: tuple(extent) for key, extent in container.extents.items()}


def library_refuses(path: Path) -> bool:
    try:
        with safe_open(path, framework="numpy"):
            return False
    except SafetensorError:
        return True


@pytest.mark.parametrize(
    ("header", "data_bytes"),
    [
        ({}, 0),
        ({"a": F32}, 8),
        ({"__metadata__": {"k": "v"}, "a": F32}, 8),
        ({"b": F32 | {"data_offsets": [8, 16]}, "a": F32}, 16),
        ({"a": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}}, 8),
        ({"a": {"dtype": "BF16", "shape": [3, 0, 2], "data_offsets": [0, 0]}, "b": F32}, 8),
        ({"a": {"dtype": "BOOL", "shape": [3], "data_offsets": [0, 3]}}, 3),
    ],
)
def test_what_the_library_reads_is_read(tmp_path: Path, header: dict[str, Any], data_bytes: int) -> None:
    path = write(tmp_path / "a.st", header, bytes(data_bytes))
    assert not library_refuses(path)
    assert read(path).keys() == header.keys() - {"__metadata__"}


@pytest.mark.parametrize(
    ("header", "data_bytes"),
    [
        ({"a": F32, "b": F32}, 8),  # one on the other
        ({"a": F32, "b": F32 | {"data_offsets": [4, 12]}}, 12),  # one into the other
        ({"a": F32, "b": F32 | {"data_offsets": [12, 20]}}, 20),  # a hole between
        ({"a": F32 | {"data_offsets": [4, 12]}}, 12),  # a hole before
        ({"a": F32 | {"data_offsets": [8, 0]}}, 0),  # backwards
        ({"a": F32 | {"data_offsets": [-8, 0]}}, 0),
        ({"a": F32 | {"data_offsets": [0, 8, 8]}}, 8),
        ({"a": F32 | {"data_offsets": [0, 8.0]}}, 8),
        ({"a": F32 | {"data_offsets": ["0", 8]}}, 8),
        ({"a": F32 | {"shape": [3]}}, 8),
        ({"a": F32 | {"shape": [-2]}}, 8),
        ({"a": F32 | {"shape": [2.0]}}, 8),
        ({"a": F32 | {"shape": 2}}, 8),
        ({"a": F32 | {"shape": [2, True]}}, 8),
        ({"a": F32 | {"shape": [2**62, 2**62, 0], "data_offsets": [0, 0]}}, 0),
        ({"a": F32 | {"dtype": "F128"}}, 8),
        ({"a": F32 | {"dtype": 4}}, 8),
        ({"a": F32 | {"dtype": None}}, 8),
        ({"a": {"dtype": "F32", "shape": [2]}}, 0),
        ({"a": 5}, 0),
        ({"a": None}, 0),
        ({"__metadata__": {"k": 5}, "a": F32}, 8),
        ({"__metadata__": ["k"], "a": F32}, 8),
    ],
)
def test_what_the_library_refuses_is_refused(tmp_path: Path, header: dict[str, Any], data_bytes: int) -> None:
    path = write(tmp_path / "a.st", header, bytes(data_bytes))
    assert library_refuses(path)
    with pytest.raises(
        BundleError, match=r"(a ticket must be a sound safetensors file|a file must hold the).*: .*a\.st$"
    ):
        read(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04\x00\x00\x08\x08" + bytes(100), "a zip archive, as torch.save writes them"),
        (pickle.dumps([1.0] * 100, protocol=2), "a pickle, as torch.save once wrote them"),
        (pickle.dumps([1.0] * 100, protocol=5), "a pickle, as torch.save once wrote them"),
    ],
)
def test_what_torch_saves_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"\(got {kind}; ticketkit import reads those\): .*a\.pth$"):
        read(path)


def test_a_header_as_long_as_a_pickle_begins_is_no_pickle(tmp_path: Path) -> None:
    padding = 0x280 - len(json.dumps({"__metadata__": {"k": ""}, "a": F32}).encode())
    path = write(tmp_path / "a.st", {"__metadata__": {"k": "x" * padding}, "a": F32}, bytes(8))
    assert path.read_bytes()[:2] == b"\x80\x02"
    read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError, match="cut short or is not safetensors"):
        read(path)


def test_dimensions_are_bounded_before_they_are_multiplied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.st", {"a": F32 | {"shape": [10**4000] * 500}}, bytes(8))
    with pytest.raises(BundleError, match="must have at most 8 dimensions"):
        read(path)
    path = write(tmp_path / "a.st", {"a": F32 | {"shape": [10**4000]}}, bytes(8))
    with pytest.raises(BundleError, match=r"whole numbers from 0 to 2\^63 - 1"):
        read(path)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_cut_short_once_it_is_open_is_refused(tmp_path: Path, mapped: bool) -> None:
    path = write(tmp_path / "a.st", {"a": F32 | {"shape": [50_000], "data_offsets": [0, 200_000]}}, bytes(200_000))
    with opened(path, DEFAULT_LIMITS) as container:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(BundleError, match="must stay as it is while it is read"):
            container.data(mapped=mapped)


@pytest.mark.parametrize("mapped", [False, True])
def test_data_is_what_lies_behind_the_header_and_read_only(tmp_path: Path, mapped: bool) -> None:
    path = write(tmp_path / "a.st", {"a": F32}, b"12345678")
    with opened(path, DEFAULT_LIMITS) as container:
        data = container.data(mapped=mapped)
    assert data.tobytes() == b"12345678"
    assert not data.flags.writeable


def test_a_file_that_cannot_be_mapped_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    path = write(tmp_path / "a.st", {"a": F32}, b"12345678")
    monkeypatch.setattr(mmap, "mmap", refuse)
    with opened(path, DEFAULT_LIMITS) as container:
        assert container.data(mapped=True).tobytes() == b"12345678"


@pytest.mark.parametrize("mapped", [False, True])
def test_tensors_that_another_program_did_not_align_are_read(
    make_ticket: MakeTicket, tmp_path: Path, mapped: bool
) -> None:
    ticket = make_ticket("resnet8-w1-pad", num_classes=3)
    save_ticket(ticket, tmp_path / "a.st")
    data = (tmp_path / "a.st").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, content, moved = json.loads(data[8 : 8 + length]), data[8 + length :], b""
    for key in sorted(header.keys() - {"__metadata__"}, key=lambda key: header[key]["dtype"], reverse=True):
        start, end = header[key]["data_offsets"]
        header[key]["data_offsets"] = [len(moved), len(moved) + end - start]
        moved += content[start:end]
    path = write(tmp_path / "b.st", header, moved)
    found = load_ticket(path, mapped=mapped)
    assert same_values(found, ticket)
    arrays = [array for stored in found.stored.values() for _, array in stored.parts()]
    assert all(array.flags.aligned and not array.flags.writeable for array in arrays)
    assert np.array_equal(found.tensors["fc.bias"], ticket.tensors["fc.bias"])
