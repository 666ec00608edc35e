"""What holds for every ticket and every damage."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticketkit.arch import parse_arch
from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.encoding import Array, Bitmask
from ticketkit.errors import BundleError
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Weights
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
recipes = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), json_values, max_size=4)


@st.composite
def tickets(draw: st.DrawFn) -> Ticket:
    """Tickets with any finite bits for weights and any mask."""
    arch = parse_arch(
        draw(st.sampled_from(["resnet8-w1", "resnet8-w1-pad", "resnet14-w1-pad", "resnet8-w3-pad"])),
        num_classes=draw(st.integers(1, 9)),
        in_channels=draw(st.integers(1, 3)),
    )
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    random = np.random.Generator(np.random.PCG64(draw(st.integers(0, 2**32))))
    density = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    tensors: dict[str, Array] = {}
    masks: dict[str, np.ndarray] = {}
    for entry in arch.state():
        shape = entry.tensor.shape
        if entry.tensor.dtype == "I64":
            tensors[entry.name] = np.array(draw(st.integers(-(2**63), 2**63 - 1)), np.int64)
            continue
        values = np.frombuffer(random.bytes(entry.tensor.size * np.dtype(dtype).itemsize), dtype).reshape(shape)
        tensors[entry.name] = np.where(np.isfinite(values), values, dtype(-0.0))
        if entry.prunable:
            masks[entry.name] = random.random(shape) < density
    return Ticket.from_arrays(
        arch,
        tensors,
        Mask(masks),
        weights=draw(st.sampled_from([Weights(role="init"), Weights(role="rewind", step=3), Weights(role="final")])),
        provenance=Provenance(method="imp", seed=draw(st.integers(-5, 5)), recipe=draw(recipes)),
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for many files; hypothesis calls a test many times with one tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


numbers = itertools.count()


def fresh(folder: Path) -> Path:
    return folder / f"{next(numbers)}.st"


@given(ticket=tickets())
def test_loading_what_was_saved_is_the_identity(folder: Path, ticket: Ticket) -> None:
    path = fresh(folder)
    assert save_ticket(ticket, path) == ticket.id == read_header(path).id
    found = load_ticket(path)
    assert found == ticket
    assert same_values(found, ticket)
    assert found.mask == ticket.mask
    for name, array in ticket.tensors.items():
        assert found.tensors[name].tobytes() == array.tobytes(), name
        assert found.tensors[name].shape == array.shape
    again = fresh(folder)
    save_ticket(found, again)
    assert again.read_bytes() == path.read_bytes()


@given(ticket=tickets(), random=st.randoms(use_true_random=False))
def test_bytes_do_not_depend_on_insertion_order_nor_id_on_the_path(folder: Path, ticket: Ticket, random) -> None:  # type: ignore[no-untyped-def]
    names = list(ticket.stored)
    random.shuffle(names)
    recipe = list((ticket.provenance.recipe or {}).items())
    random.shuffle(recipe)
    shuffled = Ticket(
        arch=ticket.arch,
        stored={name: ticket.stored[name] for name in names},
        weights=ticket.weights,
        provenance=Provenance(method="imp", seed=ticket.provenance.seed, recipe=dict(recipe)),
    )
    one, two = fresh(folder), fresh(folder)
    assert save_ticket(ticket, one) == save_ticket(shuffled, two)
    assert one.read_bytes() == two.read_bytes()


@pytest.fixture(scope="module")
def sound(make_ticket: MakeTicket, folder: Path) -> bytes:
    path = folder / "sound.st"
    save_ticket(make_ticket("resnet8-w1-pad", num_classes=3, density=0.4), path)
    return path.read_bytes()


def refused(folder: Path, content: bytes) -> bool:
    path = folder / "damaged.st"
    path.write_bytes(content)
    try:
        load_ticket(path)
    except BundleError as error:
        return str(error).isprintable() and str(error).endswith(f": {path}")
    return False


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@example(place=0.0, flip=8)
@example(place=0.9999, flip=128)
def test_one_changed_byte_anywhere_is_refused(folder: Path, sound: bytes, place: float, flip: int) -> None:
    position = int(place * len(sound))
    damaged = bytearray(sound)
    damaged[position] ^= flip
    assert refused(folder, bytes(damaged)), position


def test_one_changed_byte_is_refused_all_over_the_file(folder: Path, sound: bytes) -> None:
    header = 8 + int.from_bytes(sound[:8], "little")
    edges = {*range(40), *range(header - 16, header + 40)}  # where no hash guards: lengths, names, padding
    flips = itertools.cycle([0x01, 0x02, 0x08, 0x20, 0x29])  # 0x29 turns a space into a tab
    for position in sorted(edges | {*range(0, header, 61)} | {*range(header, len(sound), 7)}):
        damaged = bytearray(sound)
        damaged[position] ^= next(flips)
        assert refused(folder, bytes(damaged)), position


@given(place=st.floats(0, 1, exclude_max=True))
@example(place=0.0)
def test_a_file_cut_short_is_refused(folder: Path, sound: bytes, place: float) -> None:
    assert refused(folder, sound[: int(place * len(sound))])


@given(more=st.binary(min_size=1, max_size=20))
def test_a_file_with_something_added_is_refused(folder: Path, sound: bytes, more: bytes) -> None:
    assert refused(folder, sound + more)


@given(content=st.binary(max_size=200))
def test_any_other_bytes_are_refused(folder: Path, content: bytes) -> None:
    assert refused(folder, content)


@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
def test_a_bitmask_decodes_to_what_was_encoded(shape: list[int], dtype: type, seed: int) -> None:
    random = np.random.Generator(np.random.PCG64(seed))
    kept = random.random(shape) < random.random()
    tensor = random.standard_normal(shape).astype(dtype)
    stored = Bitmask.encode(tensor, kept)
    assert np.array_equal(stored.mask(), kept)
    assert np.array_equal(stored.decode(), np.where(kept, tensor, dtype(0)))
    assert stored.bits.size == -(-kept.size // 8)
    assert sum(int(byte).bit_count() for byte in stored.bits) == stored.kept == np.count_nonzero(kept)
