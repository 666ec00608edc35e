from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from ticketkit import atomic
from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.document import canonical
from ticketkit.errors import BundleError
from ticketkit.provenance import Provenance
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def stored(ticket: Ticket) -> dict[str, np.ndarray]:
    """What a bundle of the ticket stores."""
    tensors = {}
    for name, layer, tensor in ticket.arch.state():
        for suffix, content in ticket.stored[name].parts():
            tensors[f"layers.{layer.index:04d}.{tensor.name}{suffix}"] = content
    return tensors


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_bytes_are_those_of_the_safetensors_library(make_ticket: MakeTicket, tmp_path: Path, dtype: str) -> None:
    ticket = make_ticket(dtype=dtype, provenance=Provenance(method='é\\"\n\x01\x7f\u2028😀'))
    save_ticket(ticket, tmp_path / "a.st")
    expected = safetensors.numpy.save(stored(ticket), metadata={"ticketkit": canonical(ticket.document).decode()})
    assert (tmp_path / "a.st").read_bytes() == expected


def test_bytes_do_not_depend_on_how_the_ticket_was_made(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket()
    again = Ticket.from_arrays(
        ticket.arch,
        dict(reversed(list(ticket.tensors.items()))),
        ticket.mask,
        weights=ticket.weights,
        provenance=dataclasses.replace(
            ticket.provenance, recipe=dict(reversed((ticket.provenance.recipe or {}).items()))
        ),
    )
    assert save_ticket(ticket, tmp_path / "a.st") == save_ticket(again, tmp_path / "b.st") == ticket.id
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()


def test_values_lie_aligned_to_their_width(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket("resnet8-w1-pad", num_classes=3, dtype="float16")
    save_ticket(ticket, tmp_path / "a.st")
    data = (tmp_path / "a.st").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    content = stored(ticket)
    assert header.keys() - {"__metadata__"} == content.keys()
    for key, array in content.items():
        assert (8 + length + header[key]["data_offsets"][0]) % array.itemsize == 0, key


def test_the_file_has_the_permissions_of_any_other(make_ticket: MakeTicket, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    save_ticket(make_ticket(), tmp_path / "a.st")
    assert (tmp_path / "a.st").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_header_costs_about_300_bytes_a_tensor(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket("resnet56-w1")
    save_ticket(ticket, tmp_path / "a.st")
    assert read_header(tmp_path / "a.st").header_bytes / len(ticket.stored) < 310


def test_an_existing_file_is_not_overwritten_unasked(make_ticket: MakeTicket, tmp_path: Path) -> None:
    path = tmp_path / "a.st"
    path.write_text("precious")
    with pytest.raises(BundleError, match=r"must not be overwritten unasked \(a file is there already\): .*a\.st$"):
        save_ticket(make_ticket(), path)
    assert path.read_text() == "precious"
    save_ticket(make_ticket(), str(path), overwrite=True)
    assert load_ticket(path) == make_ticket()
    assert os.listdir(tmp_path) == ["a.st"]


@pytest.mark.parametrize(
    ("name", "where"), [("bn.running_var", "dense"), ("conv.weight", "kept"), ("fc.bias", "dense")]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_written(
    make_ticket: MakeTicket, tmp_path: Path, name: str, where: str, value: float
) -> None:
    ticket = make_ticket()
    tensors = dict(ticket.tensors)
    position = int(np.flatnonzero(ticket.mask[name])[0]) if where == "kept" else 0
    tensors[name].reshape(-1)[position] = value
    spoilt = Ticket.from_arrays(ticket.arch, tensors, ticket.mask, weights=ticket.weights, provenance=ticket.provenance)
    with pytest.raises(BundleError, match=f"must be finite .those of {name} are not"):
        save_ticket(spoilt, tmp_path / "a.st")
    assert os.listdir(tmp_path) == []


def test_flushing_while_writing_changes_no_byte(
    make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_ticket(make_ticket("resnet8"), tmp_path / "a.st")
    monkeypatch.setattr(atomic, "FLUSH_BYTES", 1000)
    save_ticket(make_ticket("resnet8"), tmp_path / "b.st")
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()


def test_a_pruned_weight_may_be_anything(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket()
    tensors = {
        name: np.where(ticket.mask[name], a, np.float32("nan")) if name in ticket.mask else a
        for name, a in ticket.tensors.items()
    }
    again = Ticket.from_arrays(ticket.arch, tensors, ticket.mask, weights=ticket.weights, provenance=ticket.provenance)
    assert save_ticket(again, tmp_path / "a.st") == ticket.id


@pytest.mark.parametrize("step", ["open", "write", "fsync", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_fails_leaves_nothing(
    make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "a.st"
    ticket = make_ticket()
    assert ticket.id
    if step == "open":
        monkeypatch.setattr(Path, "open", refuse)
    elif step == "write":
        full = type("Full", (io.FileIO,), {"write": refuse})
        monkeypatch.setattr(Path, "open", lambda path, mode, **_: full(str(path), mode))
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(BundleError, match=rf"must be written to a writable place \({os.strerror(code)}\): .*a\.st$"):
        save_ticket(ticket, path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            {"a": ["a" * 900_000] * 6},
            r"a ticket's header must be of at most 4,194,304 bytes, or it is not read \(got 5,",
        ),
        ({"a": [0] * 200_000}, r"a ticket's document must hold at most 200,000 JSON values \(got 200,"),
        ({"a": "a" * 1_000_001}, r"a ticket's document must have strings of at most 1,000,000 bytes"),
        ({"a": json.loads("[" * 63 + "]" * 63)}, r"a ticket's document must nest at most 64 deep \(got 66\)"),
    ],
)
def test_what_would_not_be_read_is_not_written(
    make_ticket: MakeTicket, tmp_path: Path, recipe: dict[str, object], message: str
) -> None:
    ticket = make_ticket(provenance=Provenance(method="imp", recipe=recipe))
    with pytest.raises(BundleError, match=message + r".*a\.st$"):
        save_ticket(ticket, tmp_path / "a.st")
    assert os.listdir(tmp_path) == []


def test_what_is_as_large_as_may_be_is_written_and_read(make_ticket: MakeTicket, tmp_path: Path) -> None:
    recipe = {"deep": json.loads("[" * 61 + "]" * 61), "long": "a" * 1_000_000, "many": [0] * 199_000}
    ticket = make_ticket(provenance=Provenance(method="imp", recipe=recipe))
    save_ticket(ticket, tmp_path / "a.st")
    assert load_ticket(tmp_path / "a.st") == ticket
