"""The golden bundles of formats/vectors: read to exactly what is written beside them, by two readers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import time
from pathlib import Path
from typing import Any, get_args

import pytest

import ticketkit.errors
from ticketkit.arch.spec import PRUNABLE, Kind, Role
from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.encoding import Bitmask

VECTORS = Path(__file__).parents[2] / "formats" / "vectors"
VALID = sorted(path.stem for path in VECTORS.glob("*.st"))
INVALID = json.loads((VECTORS / "invalid" / "expected.json").read_text(encoding="utf-8"))


def expected(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def read_by_specification(data: bytes) -> dict[str, Any]:
    """A reader of formats/ticket-v1.md that knows nothing of ticketkit: the document, and the decoded tensors."""
    (length,) = struct.unpack_from("<Q", data)
    header, start = json.loads(data[8 : 8 + length]), 8 + length
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["ticketkit"]
    document = json.loads(metadata["ticketkit"])
    content = metadata["ticketkit"].replace(f'"id":"{document["id"]}",', "", 1).encode()
    assert document["id"] == "sha256:" + hashlib.sha256(content).hexdigest()

    def stored(key: str, dtype: str, shape: list[int]) -> bytes:
        entry = header.pop(key)
        assert (entry["dtype"], entry["shape"]) == (dtype, shape)
        first, last = entry["data_offsets"]
        return data[start + first : start + last]

    tensors = {}
    for position, layer in enumerate(document["layers"]):
        assert layer["index"] == position
        for name, entry in layer["tensors"].items():
            key, dtype, shape = f"layers.{position:04d}.{name}", entry["dtype"], entry["shape"]
            width = {"F16": 2, "F32": 4, "F64": 8, "I64": 8}[dtype]
            tensors[f"{layer['name']}.{name}"] = decoded = {"shape": shape, "dtype": dtype}
            if entry["encoding"] == "dense":
                raw = dense = stored(key, dtype, shape)
            else:
                size = 1
                for length in shape:
                    size *= length
                bits = stored(f"{key}.mask", "U8", [(size + 7) // 8])
                values = stored(f"{key}.values", dtype, [entry["kept"]])
                mask = [bits[weight // 8] >> weight % 8 & 1 for weight in range(8 * len(bits))]
                assert sum(mask) == sum(mask[:size]) == entry["kept"]
                raw, kept = bits + values, iter(range(0, len(values), width))
                dense = b"".join(
                    values[(at := next(kept)) : at + width] if bit else b"\0" * width for bit in mask[:size]
                )
                decoded["mask"] = "".join(map(str, mask[:size]))
            assert hashlib.sha256(raw).hexdigest() == entry["sha256"]
            decoded["data"] = dense.hex()
    assert not header
    return {"document": document, "tensors": tensors}


def invalid_bundle(name: str) -> bytes:
    """Put together an invalid vector: edits of a valid one."""
    vector = INVALID[name]
    content = (VECTORS / f"{vector['base']}.st").read_bytes()
    for edit in reversed(vector["edits"]):
        new = edit["text"].encode() if "text" in edit else bytes.fromhex(edit["hex"])
        content = content[: edit["at"]] + new + content[edit["at"] + edit["cut"] :]
    return content


def test_every_valid_vector_has_its_contents_beside_it() -> None:
    assert sorted(path.stem for path in VECTORS.glob("*.json")) == VALID
    assert len(VALID) >= 16


def test_valid_vectors_have_every_kind_and_role_and_mask_all_that_may_be() -> None:
    layers = [layer for name in VALID for layer in expected(name)["document"]["layers"]]
    assert {layer["kind"] for layer in layers} == set(get_args(Kind))
    assert {layer["role"] for layer in layers} == set(get_args(Role))
    tensors = [(layer["kind"], name, entry) for layer in layers for name, entry in layer["tensors"].items()]
    assert {(kind, name) for kind, name, entry in tensors if entry["encoding"] == "bitmask"} == set(PRUNABLE.items())


def test_a_valid_vector_has_all_of_a_transformations_settings() -> None:
    (done,) = expected("stretch-settings")["document"]["provenance"]["transformations"]
    assert done["settings"] == {"num_classes": 3, "rescale": True, "scope": "layer", "seed": 0, "sparsity": 0.75}
    assert done["sparsity_after"] == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("name", VALID)
def test_valid_vector_loads_to_exactly_its_json(name: str) -> None:
    ticket = load_ticket(VECTORS / f"{name}.st")
    found = {}
    for tensor, stored in ticket.stored.items():
        found[tensor] = {"shape": list(stored.shape), "dtype": stored.dtype, "data": stored.decode().tobytes().hex()}
        if isinstance(stored, Bitmask):
            found[tensor]["mask"] = "".join("01"[int(kept)] for kept in ticket.mask[tensor].flat)
    assert found == expected(name)["tensors"]
    assert dict(ticket.document) == expected(name)["document"]
    assert list(found) == list(expected(name)["tensors"]), "tensors must come in execution order"


@pytest.mark.parametrize("name", VALID)
def test_independent_reader_agrees(name: str) -> None:
    found = read_by_specification((VECTORS / f"{name}.st").read_bytes())
    assert found["document"] == expected(name)["document"]
    assert found["tensors"] == expected(name)["tensors"]


@pytest.mark.parametrize("name", VALID)
def test_saving_again_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    source = VECTORS / f"{name}.st"
    ticket = load_ticket(source)
    assert save_ticket(ticket, tmp_path / "again.st") == expected(name)["document"]["id"]
    assert (tmp_path / "again.st").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", VALID)
def test_header_alone_says_the_same(name: str) -> None:
    header = read_header(VECTORS / f"{name}.st")
    assert header.raw == expected(name)["document"]
    assert header.file_bytes == (VECTORS / f"{name}.st").stat().st_size


@pytest.mark.parametrize("name", sorted(INVALID))
def test_invalid_vector_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.st"
    path.write_bytes(invalid_bundle(name))
    started = time.perf_counter()
    with pytest.raises(ticketkit.errors.BundleError) as caught:
        load_ticket(path)
    assert time.perf_counter() - started < 1
    message = INVALID[name]["message"]
    assert type(caught.value).__name__ == INVALID[name]["error"]
    if message.endswith("…"):  # the rest is in the words of a library
        assert str(caught.value).startswith(message[:-1])
        assert str(caught.value).endswith(f": {path}")
    else:
        assert str(caught.value) == f"{message}: {path}"
    assert str(caught.value).isprintable()


def test_make_still_writes_the_very_same_files(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
    assert specification is not None
    assert specification.loader is not None
    make = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(make)
    make.main.main([str(tmp_path)], standalone_mode=False)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(VECTORS): path.read_bytes() for path in VECTORS.rglob("*.st")}
    kept |= {path.relative_to(VECTORS): path.read_bytes() for path in VECTORS.rglob("*.json")}
    assert made == kept
    with pytest.raises(ticketkit.errors.BundleError, match="must not be overwritten unasked"):
        make.main.main([str(tmp_path)], standalone_mode=False)
