from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import corpus
import pytest
import rfc8785
from contracts import ACCEPTED, check_bundle
from hypothesis import given
from hypothesis import strategies as st
from parts import LENGTH, NESTED, Parts, Repair, canonical, put_together, take_apart

SOUND = corpus.sound_bundles()

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


def parts_of(data: bytes) -> Parts:
    parts = take_apart(data)
    assert parts is not None
    return parts


@pytest.mark.parametrize("repair", Repair)
@pytest.mark.parametrize("data", SOUND, ids=len)
def test_a_sound_bundle_is_put_together_as_it_was(data: bytes, repair: Repair) -> None:
    assert put_together(parts_of(data), repair) == data


@given(value=plain)
def test_the_canonical_form_is_that_of_rfc_8785(value: object) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)


@given(bits=st.integers(0, 2**64 - 1))
def test_every_number_is_written_as_rfc_8785_has_it(bits: int) -> None:
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    if math.isfinite(number):
        assert canonical([number]).encode() == rfc8785.dumps([number])


def test_repairs_reach_as_deep_as_they_say(tmp_path: Path) -> None:
    def stage(repair: Repair) -> str:
        parts = parts_of(SOUND[0])
        parts.document["provenance"]["seed"] = 99
        bias = next(row for row in parts.rows if row.key.endswith(".bias"))
        bias.content = bytes([bias.content[0] ^ 1]) + bias.content[1:]
        return check_bundle(put_together(parts, repair), tmp_path).stage

    assert [stage(repair) for repair in Repair] == ["id", "id", "tensors", ACCEPTED, ACCEPTED]


def test_a_changed_mask_is_given_its_values() -> None:
    parts = parts_of(SOUND[0])
    mask = next(row for row in parts.rows if row.key.endswith(".mask"))
    mask.content = b"\xff" * len(mask.content)
    again = parts_of(put_together(parts, Repair.SIZES))
    key = mask.key.removesuffix(".mask")
    rows = {row.key: row for row in again.rows}
    entry = dict(again.described())[key]
    size = math.prod(entry["shape"])
    assert entry["kept"] == size == len(rows[f"{key}.values"].content) // 4
    assert int.from_bytes(rows[mask.key].content, "little").bit_count() == size


def test_a_key_may_stand_twice() -> None:
    parts = parts_of(SOUND[0])
    parts.rows.append(parts.rows[0])
    data = put_together(parts)
    (length,) = LENGTH.unpack_from(data)
    pairs = json.loads(data[8 : 8 + length], object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    assert pairs.count(parts.rows[0].key) == 2


def test_what_is_deeply_nested_is_written_without_being_held() -> None:
    parts = parts_of(SOUND[0])
    parts.document["x_new"] = NESTED
    parts.nested = "[" * 100_000 + "]" * 100_000
    assert parts.nested.encode() in put_together(parts)


@pytest.mark.parametrize(
    "data", [b"", bytes(7), bytes(8), b"\xff" * 100, b"\x02" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"[]"]
)
def test_what_is_no_bundle_is_not_taken_apart(data: bytes) -> None:
    assert take_apart(data) is None
