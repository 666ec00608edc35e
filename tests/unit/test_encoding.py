from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ticketkit import encoding
from ticketkit.encoding import DTYPES, Bitmask, Dense, hash_together, mask_bytes
from ticketkit.errors import MaskError


def test_bit_j_of_byte_k_is_weight_8k_plus_j() -> None:
    kept = np.zeros(11, dtype=np.bool_)
    kept[[0, 3, 7, 9]] = True
    stored = Bitmask.encode(np.arange(11, dtype=np.float32), kept)
    assert stored.bits.tolist() == [0b1000_1001, 0b10]
    assert stored.values.tolist() == [0, 3, 7, 9]


def test_a_bitmask_is_in_c_order_whatever_the_array_is() -> None:
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
    kept = np.array([[True, False, True], [False, False, True]])
    expected = Bitmask.encode(tensor, kept)
    found = Bitmask.encode(np.asfortranarray(tensor), np.asfortranarray(kept))
    assert expected.values.tolist() == [0, 2, 5]
    assert found.sha256 == expected.sha256


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 27])
def test_decoding_gives_kept_weights_back_and_zeros_elsewhere(size: int) -> None:
    tensor = np.arange(1, size + 1, dtype=np.float32)
    kept = np.arange(size) % 3 == 0
    stored = Bitmask.encode(tensor, kept)
    assert stored.bits.size == mask_bytes(size)
    assert stored.decode().tolist() == np.where(kept, tensor, 0).tolist()
    assert stored.mask().tolist() == kept.tolist()
    assert (stored.kept, stored.size) == (kept.sum(), size)


def test_a_kept_weight_may_be_zero_of_either_sign() -> None:
    stored = Bitmask.encode(np.array([0.0, -0.0, 1.0], np.float32), np.array([True, True, False]))
    assert stored.kept == 2
    assert stored.mask().tolist() == [True, True, False]
    assert np.signbit(stored.decode()).tolist() == [False, True, False]


def test_nothing_kept_and_everything_kept() -> None:
    tensor = np.ones((3, 3), np.float32)
    none = Bitmask.encode(tensor, np.zeros((3, 3), np.bool_))
    assert none.values.shape == (0,)
    assert none.bits.tolist() == [0, 0]
    assert not none.decode().any()
    full = Bitmask.encode(tensor, np.ones((3, 3), np.bool_))
    assert full.bits.tolist() == [255, 1], "unused bits must be zero"


def test_hash_is_of_mask_then_values() -> None:
    stored = Bitmask.encode(np.array([1.5, 2.5, 3.5], np.float32), np.array([True, False, True]))
    expected = hashlib.sha256(bytes([0b101]) + np.array([1.5, 3.5], "<f4").tobytes()).hexdigest()
    assert stored.sha256 == expected
    assert Dense(np.array(14)).sha256 == hashlib.sha256(b"\x0e" + b"\0" * 7).hexdigest()


def test_parts_are_named_by_suffix() -> None:
    dense = Dense(np.ones(2, np.float32))
    masked = Bitmask.encode(np.ones(2, np.float32), np.array([True, False]))
    assert [suffix for suffix, _ in dense.parts()] == [""]
    assert [suffix for suffix, _ in masked.parts()] == [".mask", ".values"]


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_element_types_keep_their_name_and_values(name: str) -> None:
    values = np.array([1, 2, 3], dtype=DTYPES[name])
    assert Dense(values).dtype == name
    assert Dense(values.astype(values.dtype.newbyteorder(">"))).decode().tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "complex64", "bool", "longdouble"])
def test_other_element_types_are_refused(dtype: str) -> None:
    with pytest.raises(MaskError, match=r"must be one of F16, F32, F64, I64 \(got"):
        Dense(np.zeros(2, dtype=dtype))


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(MaskError, match=r"must have its tensor's shape \(2, 3\) \(got \(3, 2\)\)"):
        Bitmask.encode(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.bool_))


def test_stored_arrays_are_read_only_and_decoded_ones_are_new() -> None:
    masked = Bitmask.encode(np.ones(9, np.float32), np.ones(9, np.bool_))
    dense = Dense(np.ones(2, np.float32))
    for array in (masked.bits, masked.values, dense.data):
        assert not array.flags.writeable
    masked.decode()[0] = 5
    masked.mask()[0] = False
    dense.decode()[0] = 5
    assert masked.decode()[0] == dense.decode()[0] == 1
    assert masked.mask()[0]


def test_encoding_does_not_follow_the_array_it_was_made_from() -> None:
    tensor = np.ones(4, np.float32)
    stored = Bitmask.encode(tensor, np.ones(4, np.bool_))
    tensor[:] = 7
    assert stored.decode().tolist() == [1, 1, 1, 1]


def test_mask_bytes_rounds_up() -> None:
    assert [mask_bytes(size) for size in (0, 1, 8, 9, 16)] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("density", [0, 0.01, 0.2, 0.9, 1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_decoding_a_large_tensor(density: float, dtype: str) -> None:
    random = np.random.default_rng(0)
    tensor = random.standard_normal((33, 7, 5, 3)).astype(dtype)
    kept = random.random(tensor.shape) < density
    found = Bitmask.encode(tensor, kept).decode()
    assert found.tobytes() == np.where(kept, tensor, np.zeros((), dtype)).tobytes()
    assert (found.shape, found.dtype) == (tensor.shape, tensor.dtype)


def test_hashing_together_gives_the_hashes_of_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [np.full(size, size, dtype=np.float32) for size in (0, 1, 2**14, 2**16, 2**17, 5)]
    alone = [Dense(array).sha256 for array in arrays]
    for cores in (1, 2, 16):
        monkeypatch.setattr(encoding, "_cores", lambda cores=cores: cores)
        together = [Dense(array) for array in arrays]
        hash_together([*together, together[3]])
        assert [stored.sha256 for stored in together] == alone
        hash_together(together)
        assert [stored.sha256 for stored in together] == alone
    hash_together([])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_counted(value: float) -> None:
    array = np.array([1, value, 0, value], np.float32)
    assert Dense(array).infinities == Bitmask.encode(array, np.ones(4, np.bool_)).infinities == 2
    assert Bitmask.encode(array, np.array([True, False, True, True])).infinities == 1
    assert Dense(np.array([1, 2])).infinities == Dense(np.zeros(3, np.float16)).infinities == 0


def test_a_mask_that_does_not_fit_is_found_every_time() -> None:
    sound = Bitmask.encode(np.ones(9, np.float32), np.ones(9, np.bool_))
    sound.check("a")
    sound.check("b")
    broken = Bitmask(shape=(9,), bits=np.array([255, 1], np.uint8), values=np.ones(8, np.float32))
    for name in ("a", "b"):
        with pytest.raises(MaskError, match=f"kept count of {name} must equal its mask's 9 set bits"):
            broken.check(name)
