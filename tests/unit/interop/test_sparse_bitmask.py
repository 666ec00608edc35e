"""The sparse-bitmask form, against what compressed-tensors itself writes.

The golden values below are what ``BitmaskCompressor.compress_weight`` of compressed-tensors 0.12.2 gave for these
three tensors (torch 2.13, numpy 2.4); it also read our export of a ResNet-14 ticket back exactly, and its own
``compress`` of that network gave tensors equal to ours. The library itself is not needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ticketkit.encoding import Array
from ticketkit.errors import BundleError
from ticketkit.interop import export_ticket, import_ticket
from ticketkit.interop.formats.sparse_bitmask import compress, decompress
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]


def _sparse(shape: tuple[int, ...], places: list[int]) -> Array:
    dense = np.zeros(shape, dtype=np.float32)
    dense.reshape(-1)[places] = np.arange(1, len(places) + 1)
    return dense


GOLDEN = {
    "matrix": (
        _sparse((3, 10), [0, 3, 9, 11, 17, 20, 28, 29]),
        [[9, 2], [130, 0], [1, 3]],
        [0, 3, 5],
    ),
    "convolution": (
        _sparse((2, 2, 3, 3), [0, 4, 8, 9, 13, 22, 30, 35]),
        [[[[1], [2], [4]], [[1], [2], [0]]], [[[0], [2], [0]], [[0], [1], [4]]]],
        [[[0, 0, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 0]]],
    ),
    "vector": (_sparse((4,), [1, 3]), [10], 0),
}


@pytest.mark.parametrize("name", list(GOLDEN))
def test_parts_are_those_of_the_library(name: str) -> None:
    dense, bitmask, row_offsets = GOLDEN[name]
    parts = compress(dense, dense != 0)
    assert {part: (array.dtype.name, array.tolist()) for part, array in parts.items()} == {
        "shape": ("int64", list(dense.shape)),
        "compressed": ("float32", dense[dense != 0].tolist()),
        "bitmask": ("uint8", bitmask),
        "row_offsets": ("int64", row_offsets),
    }
    back, kept = decompress(name, parts)
    assert np.array_equal(back, dense)
    assert np.array_equal(kept, dense != 0)


def test_a_round_trip_is_exact_kept_zeros_too(make_ticket: MakeTicket, tmp_path: Path) -> None:
    tensors = {
        name: np.zeros_like(array) if name == "fc.weight" else array for name, array in make_ticket().tensors.items()
    }
    ticket = make_ticket(tensors=tensors)
    file = tmp_path / "t.safetensors"
    export_ticket("sparse-bitmask", ticket, file)
    assert same_values(import_ticket("sparse-bitmask", file, arch="resnet8-w2").ticket, ticket)
    keys = set(load_file(file))
    assert {"fc.compressed", "fc.bitmask", "fc.shape", "fc.row_offsets", "fc.bias", "bn.weight"} <= keys
    assert "fc.weight" not in keys


def test_weights_of_normalisation_layers_may_be_compressed_too(make_ticket: MakeTicket, tmp_path: Path) -> None:
    # What that library does to every ".weight" unless it is given targets.
    ticket, file = make_ticket(), tmp_path / "t.safetensors"
    export_ticket("sparse-bitmask", ticket, file)
    tensors = load_file(file)
    for name in [name for name in tensors if name.endswith(".weight")]:
        weight = tensors.pop(name)
        tensors |= {
            f"{name.removesuffix('.weight')}.{part}": array for part, array in compress(weight, weight != 0).items()
        }
    save_file(tensors, file)
    assert same_values(import_ticket("sparse-bitmask", file, arch="resnet8-w2").ticket, ticket)


def test_row_offsets_are_not_needed_to_read(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket, file = make_ticket(), tmp_path / "t.safetensors"
    export_ticket("sparse-bitmask", ticket, file)
    save_file({name: array for name, array in load_file(file).items() if not name.endswith("row_offsets")}, file)
    assert same_values(import_ticket("sparse-bitmask", file, arch="resnet8-w2").ticket, ticket)


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("shape", np.array([10, 9]), r"fc\.bitmask must be uint8 of shape \(10, 2\)"),
        ("shape", np.array([2**40, 2**20, 8]), r"fc\.bitmask must be uint8 of shape"),
        ("shape", np.array([-1, 8]), r"fc\.shape must be a list"),
        ("shape", np.array([[10, 8]]), r"fc\.shape must be a list"),
        ("shape", np.array([10.0, 8.0], dtype=np.float32), r"fc\.shape must be a list"),
        ("shape", np.zeros(0, dtype=np.int64), r"fc\.shape must be a list"),
        ("bitmask", np.zeros((10, 1), dtype=np.int8), r"fc\.bitmask must be uint8"),
        ("bitmask", np.zeros((10, 1), dtype=np.uint8), r"fc\.compressed must hold the 0 weights"),
        ("compressed", np.zeros(3, dtype=np.float32), r"fc\.compressed must hold the 24 weights"),
        ("row_offsets", np.zeros(10, dtype=np.int64), r"fc\.row_offsets must be the running sums"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    part: str, value: Array, error: str, make_ticket: MakeTicket, tmp_path: Path
) -> None:
    file = tmp_path / "t.safetensors"
    export_ticket("sparse-bitmask", make_ticket(), file)
    save_file(load_file(file) | {f"fc.{part}": value}, file)
    with pytest.raises(BundleError, match=rf"{error}.*t\.safetensors$"):
        import_ticket("sparse-bitmask", file, arch="resnet8-w2")


def test_padding_bits_must_be_zero() -> None:
    parts = compress(np.ones((2, 3), dtype=np.float32), np.ones((2, 3), dtype=np.bool_))
    with pytest.raises(BundleError, match=r"padding bits of x\.bitmask must be zero"):
        decompress("x", parts | {"bitmask": parts["bitmask"] | np.uint8(8)})


def test_missing_parts_and_names_are_refused(make_ticket: MakeTicket, tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    export_ticket("sparse-bitmask", make_ticket(), file)
    save_file({name: array for name, array in load_file(file).items() if name != "fc.shape"}, file)
    with pytest.raises(BundleError, match=r"fc\.bitmask must have its fc\.shape beside it"):
        import_ticket("sparse-bitmask", file, arch="resnet8-w2")
    export_ticket("state-dict", make_ticket(), file, overwrite=True)
    with pytest.raises(BundleError, match=r"must hold NAME\.bitmask"):
        import_ticket("sparse-bitmask", file)
    with pytest.raises(BundleError, match=r"must be called NAME\.safetensors"):
        export_ticket("sparse-bitmask", make_ticket(), tmp_path / "t.pth")
