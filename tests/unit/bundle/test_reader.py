from __future__ import annotations

import dataclasses
import mmap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ticketkit.bundle import Limits, load_tensors, load_ticket, read_header, save_ticket
from ticketkit.encoding import Bitmask
from ticketkit.errors import BundleError
from ticketkit.provenance import Weights
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]


@pytest.fixture
def bundle(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    save_ticket(make_ticket(), tmp_path / "a.st")
    return tmp_path / "a.st"


def change_stored(bundle: Path, name: str, change: Callable[[bytearray], None]) -> None:
    """Change one stored tensor's bytes where they lie."""
    header = read_header(bundle)
    data = bytearray(bundle.read_bytes())
    text = data[8 : header.header_bytes].decode()
    entry = text[text.index(f'"{name}":') :]
    start, end = (int(offset) for offset in entry.split('"data_offsets":[', 1)[1].split("]", 1)[0].split(","))
    content = data[header.header_bytes + start : header.header_bytes + end]
    change(content)
    data[header.header_bytes + start : header.header_bytes + end] = content
    bundle.write_bytes(data)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_loading_gives_the_ticket_back(make_ticket: MakeTicket, tmp_path: Path, dtype: str) -> None:
    ticket = make_ticket(dtype=dtype)
    save_ticket(ticket, tmp_path / "a.st")
    found = load_ticket(str(tmp_path / "a.st"))
    assert found == ticket
    assert found.mask == ticket.mask
    assert same_values(found, ticket)
    assert (found.arch, found.weights, found.provenance) == (ticket.arch, ticket.weights, ticket.provenance)
    for name, array in ticket.tensors.items():
        assert found.tensors[name].tobytes() == array.tobytes()
        assert found.tensors[name].dtype == array.dtype


def test_a_loaded_ticket_does_not_need_its_file(make_ticket: MakeTicket, bundle: Path) -> None:
    ticket = load_ticket(bundle)
    bundle.write_bytes(b"\xff" * bundle.stat().st_size)
    bundle.unlink()
    assert same_values(ticket, make_ticket())
    assert ticket.tensors["conv.weight"].tobytes() == make_ticket().tensors["conv.weight"].tobytes()


def is_mapped(array: np.ndarray) -> bool:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, memoryview | mmap.mmap)


def test_a_mapped_ticket_is_the_same_and_lies_in_its_file(make_ticket: MakeTicket, bundle: Path) -> None:
    found, copied = load_ticket(bundle, mapped=True), load_ticket(bundle)
    assert found == copied == make_ticket()
    assert same_values(found, copied)
    assert load_tensors(read_header(bundle), mapped=True) == copied
    for name in found.stored:
        assert all(is_mapped(content) for _, content in found.stored[name].parts())
        assert not any(is_mapped(content) for _, content in copied.stored[name].parts())
        assert found.tensors[name].tobytes() == copied.tensors[name].tobytes()
        assert found.tensors[name].flags.writeable


def test_a_mapped_ticket_takes_no_memory_for_its_tensors(make_ticket: MakeTicket, tmp_path: Path) -> None:
    path = tmp_path / "large.st"
    save_ticket(make_ticket("resnet8-w64", density=0.9), path)
    peaks = []
    for mapped in (True, False):
        load_ticket(path, mapped=mapped)  # what is imported or remembered at the first reading is not the tensors
        tracemalloc.start()
        load_ticket(path, mapped=mapped)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    largest = max(stored.values.nbytes for stored in load_ticket(path).stored.values() if isinstance(stored, Bitmask))
    assert peaks[0] < largest < path.stat().st_size < peaks[1]


def test_a_mapped_ticket_outlives_the_replacement_of_its_file(make_ticket: MakeTicket, bundle: Path) -> None:
    ticket = load_ticket(bundle, mapped=True)
    save_ticket(make_ticket(seed=1), bundle, overwrite=True)
    assert same_values(ticket, make_ticket())
    save_ticket(ticket, bundle, overwrite=True)
    assert load_ticket(bundle) == make_ticket()


def test_damage_is_found_in_a_mapped_file_too(bundle: Path) -> None:
    change_stored(bundle, "layers.0001.running_var", lambda content: content.__setitem__(0, content[0] ^ 1))
    with pytest.raises(BundleError, match=r"SHA-256 of layers\.0001\.running_var must be .*: .*a\.st$"):
        load_ticket(bundle, mapped=True)


def test_of_several_damaged_tensors_the_first_is_named(make_ticket: MakeTicket, tmp_path: Path) -> None:
    path = tmp_path / "large.st"
    save_ticket(make_ticket("resnet8-w64", density=0.9), path)
    masked = [key for _, _, key, entry in read_header(path).tensors() if entry.encoding == "bitmask"]
    for key in (masked[5], masked[2], masked[7]):  # large enough to be hashed on threads, in whatever order
        change_stored(path, f"{key}.values", lambda content: content.__setitem__(0, content[0] ^ 1))
    with pytest.raises(BundleError, match=f"SHA-256 of {masked[2]} must be"):
        load_ticket(path)


def test_load_tensors_takes_a_header_that_was_read(make_ticket: MakeTicket, bundle: Path) -> None:
    assert load_tensors(read_header(bundle)) == make_ticket()


def test_a_changed_weight_is_found_unless_told_not_to_look(make_ticket: MakeTicket, bundle: Path) -> None:
    change_stored(bundle, "layers.0000.weight.values", lambda content: content.__setitem__(0, content[0] ^ 1))
    with pytest.raises(BundleError, match=r"SHA-256 of layers\.0000\.weight must be .*: .*a\.st$"):
        load_ticket(bundle)
    unverified = load_ticket(bundle, verify=False)
    assert unverified.mask == make_ticket().mask
    assert not same_values(unverified, make_ticket())


def test_counts_and_padding_are_checked_even_without_hashes(bundle: Path) -> None:
    change_stored(bundle, "layers.0000.weight.mask", lambda content: content.__setitem__(0, content[0] ^ 1))
    with pytest.raises(BundleError, match=r"kept count of layers\.0000\.weight must equal its mask's 1. set bits"):
        load_ticket(bundle, verify=False)


def test_padding_is_checked_even_without_hashes(bundle: Path) -> None:
    change_stored(bundle, "layers.0000.weight.mask", lambda content: content.__setitem__(-1, content[-1] | 0x80))
    with pytest.raises(BundleError, match=r"padding bits of layers\.0000\.weight\.mask must be zero"):
        load_ticket(bundle, verify=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["layers.0000.weight.values", "layers.0001.running_var"])
def test_weights_must_be_finite_even_without_hashes(bundle: Path, key: str, value: float) -> None:
    change_stored(bundle, key, lambda content: content.__setitem__(slice(0, 4), np.float32(value).tobytes()))
    with pytest.raises(BundleError, match=r"must be finite \(1 are not\)"):
        load_ticket(bundle, verify=False)


def test_limits_hold_for_loading_too(bundle: Path) -> None:
    with pytest.raises(BundleError, match="a file must be of at most 10 bytes"):
        load_ticket(bundle, limits=Limits(file_bytes=10))


def test_a_file_swapped_between_header_and_tensors_is_refused(make_ticket: MakeTicket, bundle: Path) -> None:
    header = read_header(bundle)
    for other in (make_ticket(seed=1), make_ticket("resnet8-w2-pad")):
        save_ticket(other, bundle, overwrite=True)
        with pytest.raises(BundleError, match=r"must stay as it is .*it holds another ticket now.*a\.st$"):
            load_tensors(header, verify=False)


def test_a_loaded_ticket_can_be_changed_and_gets_another_id(bundle: Path) -> None:
    ticket = load_ticket(bundle)
    changed = dataclasses.replace(ticket, weights=Weights(role="final"))
    assert changed.id != ticket.id
    assert changed.document["weights"] == {"role": "final"}
