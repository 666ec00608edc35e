from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from ticketkit.bundle import Limits, read_header, save_ticket
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


@pytest.fixture
def bundle(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    save_ticket(make_ticket(), tmp_path / "a.st")
    return tmp_path / "a.st"


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_header_says_what_the_ticket_is(make_ticket: MakeTicket, bundle: Path) -> None:
    ticket = make_ticket()
    header = read_header(str(bundle))
    assert (header.id, header.arch) == (ticket.id, ticket.arch)
    assert header.raw == dict(ticket.document)
    assert header.path == bundle
    assert header.file_bytes == bundle.stat().st_size
    assert header.header_bytes == 8 + int.from_bytes(bundle.read_bytes()[:8], "little")


def test_tensors_are_listed_in_execution_order_with_their_keys(make_ticket: MakeTicket, bundle: Path) -> None:
    ticket = make_ticket()
    listed = list(read_header(bundle).tensors())
    assert [name for name, *_ in listed] == list(ticket.stored)
    assert listed[0][2] == "layers.0000.weight"
    assert listed[1][2] == "layers.0001.weight"
    for name, layer, key, entry in listed:
        assert entry.shape == ticket.stored[name].shape
        assert key.startswith(f"layers.{layer.index:04d}.")


def test_no_tensor_is_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(bundle.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    data[start:] = b"\xff" * (len(data) - start)
    bundle.write_bytes(data)
    assert read_header(bundle).document.weights.role == "rewind"


def test_any_safetensors_reader_opens_it(bundle: Path) -> None:
    with safe_open(bundle, framework="numpy") as file:
        assert list(file.metadata()) == ["ticketkit"]
        assert file.get_tensor("layers.0000.weight.mask").dtype == "uint8"
        assert file.get_tensor("layers.0001.running_var").shape == (2,)


def test_other_orders_of_the_same_tensors_are_read(make_ticket: MakeTicket, bundle: Path) -> None:
    data = bundle.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    shuffled = json.dumps(dict(reversed(header.items())), indent=1).encode() + b" " * 3
    write(bundle, shuffled, data[8 + length :])
    assert read_header(bundle).id == make_ticket().id


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(file_bytes=1000), r"a file must be of at most 1,000 bytes \(got 1.,...\)"),
        (Limits(header_bytes=1000), r"a header must be of at most 1,000 bytes \(got 1.,...\)"),
        (Limits(nesting=5), r"the document must nest at most 5 deep \(got 6\)"),
        (Limits(nesting=2), r"a safetensors header must nest at most 2 deep \(got 3\)"),
        (Limits(values=500), r"the document must hold at most 500 JSON values \(got ...\)"),
        (Limits(values=100), r"a safetensors header must hold at most 100 JSON values \(got ...\)"),
        (Limits(string_bytes=70), r"the document must have strings of at most 70 bytes \(got a longer one\)"),
        (Limits(layers=18), r"at most 18 layers \(got 19\)"),
        (Limits(dense_bytes=1000), r"decode to at most 1,000 bytes \(got .,...\)"),
    ],
)
def test_limits_hold(bundle: Path, limits: Limits, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_header(bundle, limits=limits)


def test_limits_are_inclusive(bundle: Path) -> None:
    header = read_header(bundle)
    exact = Limits(file_bytes=header.file_bytes, header_bytes=header.header_bytes - 8, layers=19, dense_bytes=10**6)
    assert read_header(bundle, limits=exact).id == header.id


def test_a_header_is_not_read_when_it_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "huge.st"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**32))
        file.truncate(2**32 + 8)  # a hole: takes no room on the disk
    with pytest.raises(BundleError, match="a header must be of at most 4,194,304 bytes"):
        read_header(path)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must be a readable file \(No such file or directory\): .*none\.st$"):
        read_header(tmp_path / "none.st")
    with pytest.raises(BundleError, match="must be a regular file"):
        read_header(tmp_path)
    os.mkfifo(tmp_path / "pipe.st")
    with pytest.raises(BundleError, match="must be a regular file"):
        read_header(tmp_path / "pipe.st")


def test_a_file_that_may_not_be_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BundleError, match=r"must be a readable file \(Permission denied\): "):
        read_header(bundle)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b'{"__metadata__":{}}',
        b'{"__metadata__":[]}',
        b'{"__metadata__":{"ticketkit":5}}',
        b'{"__metadata__":{"ticketkit":"{}"}}',
        b'{"a":5}',
        b'{"a":{"data_offsets":["x","y"]}}',
        b'{"a":{"data_offsets":[0,1e999]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}',
        b"\xff\xfe{}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_odd_headers_are_refused_in_one_line(tmp_path: Path, header: bytes) -> None:
    path = write(tmp_path / "odd.st", header)
    with pytest.raises(BundleError) as caught:
        read_header(path)
    assert str(caught.value).endswith(": " + str(path))
    assert str(caught.value).isprintable()


def test_a_key_repeated_at_the_end_of_many_is_found_quickly(tmp_path: Path) -> None:
    many = ",".join(f'"{number}":0' for number in range(190_000))
    path = write(tmp_path / "many.st", f'{{{many},"189999":0}}'.encode())
    with pytest.raises(BundleError, match="every key once"):
        read_header(path)
