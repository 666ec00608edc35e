"""Write the golden vectors: ``python formats/vectors/make.py [FOLDER]``.

Golden files are kept for ever, so this script refuses to replace one. It is here to show how they came to be, and
``tests/golden`` holds that it still writes the very same bytes. To add a vector, add it below and run the script into
another folder; then copy the new files beside this one.

Weights and masks are made from integers (no random numbers), small enough to be exact in every element type.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import click
import numpy as np
import rfc8785

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.encoding import Bitmask, Dense, Stored
from ticketkit.errors import BundleError
from ticketkit.mask import Mask
from ticketkit.provenance import DatasetInfo, Flops, LevelResult, Provenance, Results, Tool, Weights
from ticketkit.stretch import Adjustments, stretch_ticket
from ticketkit.ticket import Ticket

KEPT_OF_TEN = 4
TOOL = Tool(name="ticketkit", version="0.1.0")
BASE = "resnet8-w1-pad"
"""The valid vector that nearly all invalid ones differ from."""

ATTENTION_BASE = "vit1-w4-p2-i4"
SETTINGS_BASE = "stretch-settings"

LIBRARY_SAYS = re.compile(
    r"(must be JSON \(|must be a sound safetensors file \(|with safe numbers \(|family must be one of ).*", re.DOTALL
)
Arrays = dict[str, np.ndarray]
Header = dict[str, Any]


# --- valid vectors ---------------------------------------------------------------------------------------------------


def make_arrays(arch: ArchSpec) -> tuple[Arrays, Arrays]:
    """Weights and masks that follow from each tensor's place in the network alone."""
    tensors: Arrays = {}
    masks: Arrays = {}
    prunable = arch.prunable_names()
    for number, entry in enumerate(arch.state()):
        shape, size = entry.tensor.shape, entry.tensor.size
        if entry.tensor.dtype == "I64":
            tensors[entry.name] = np.array(14, dtype="<i8")
            continue
        steps = (np.arange(size) * 389 + number * 97) % 1024
        offset = 0 if entry.tensor.name == "running_var" else 512
        tensors[entry.name] = ((steps + 1 - offset) / 512).astype("<f4").reshape(shape)
        if entry.name in prunable:
            masks[entry.name] = ((np.arange(size) * 7 + number) % 10 < KEPT_OF_TEN).reshape(shape)
    return tensors, masks


def make_ticket(name: str, arrays: tuple[Arrays, Arrays] | None = None, **arch_options: int) -> Ticket:
    """A ticket of level 5 on a data set that does not exist."""
    arch = parse_arch(name, **arch_options)
    tensors, masks = arrays or make_arrays(arch)
    return Ticket.from_arrays(
        arch,
        tensors,
        Mask(masks),
        weights=Weights(role="rewind", step=14),
        provenance=Provenance(method="imp", level=5, rate=0.2, seed=0, tool=TOOL),
    )


def found() -> Ticket:
    """A ticket as ``find`` writes it, with all that can be said of it."""
    ticket = make_ticket("resnet8-w1")
    provenance = replace(
        ticket.provenance,
        dataset=DatasetInfo(name="digits", fingerprint="sha256:" + "0123456789abcdef" * 4, train=1437, test=360),
        recipe={"epochs": 2, "lr": 0.1, "milestones": [1, 1.5], "nesterov": False, "decay": 1e-4},
        environment={"torch": "2.9.0", "device": "cpu", "threads": 2},
        created="2026-01-02T03:04:05Z",
    )
    levels = (
        LevelResult(level=0, kept=1060, total=1060, accuracy=0.9),
        LevelResult(level=5, kept=424, total=1060, accuracy=1),
    )
    return replace(ticket, provenance=provenance, results=Results(levels=levels, tolerance=0.005, winning_level=5))


def with_flops() -> Ticket:
    """A ticket that says what finding it took, which 1.1 added; one number is whole, the other beyond 2^53."""
    ticket = make_ticket(BASE)
    return replace(ticket, provenance=replace(ticket.provenance, flops=Flops(sparse=1.5e9, dense=2.5e16)))


def stretched() -> Ticket:
    """A ticket made from another one by replicating units."""
    ticket = stretch_ticket(make_ticket("resnet14-w1"), "resnet20")
    return replace(ticket, provenance=replace(ticket.provenance, tool=TOOL))


def stretched_with_settings() -> Ticket:
    """A ticket made from another one and changed beyond its units: rescaled, pruned further, with other classes.

    The output layer was drawn; numbers that follow from integers replace it, since numpy may change what it draws.
    """
    ticket = stretch_ticket(
        make_ticket("resnet14-w1-pad", num_classes=4),
        "resnet20-w1-pad",
        num_classes=3,
        adjustments=Adjustments(rescale=True, sparsity=0.75, scope="layer"),
    )
    tensors, _ = make_arrays(ticket.arch)
    kept = np.arange(tensors["fc.weight"].size) < ticket.mask["fc.weight"].sum()
    head: dict[str, Stored] = {
        "fc.weight": Bitmask.encode(tensors["fc.weight"], kept.reshape(tensors["fc.weight"].shape)),
        "fc.bias": Dense(tensors["fc.bias"]),
    }
    return replace(ticket, stored={**ticket.stored, **head}, provenance=replace(ticket.provenance, tool=TOOL))


def zeros() -> Ticket:
    """Kept weights that are zero, and a negative zero: a mask cannot be guessed from the weights."""
    tensors, masks = make_arrays(parse_arch(BASE))
    weights, kept = tensors["conv.weight"].reshape(-1), masks["conv.weight"].reshape(-1)
    first, second = np.flatnonzero(kept)[:2]
    weights[first], weights[second] = 0.0, -0.0
    tensors["bn.bias"][0] = -0.0
    return make_ticket(BASE, (tensors, masks))


def all_kept() -> Ticket:
    """No weight is pruned: bits beyond the last weight are still zero."""
    tensors, masks = make_arrays(parse_arch(BASE))
    return make_ticket(BASE, (tensors, {name: np.ones_like(mask) for name, mask in masks.items()}))


def layer_pruned() -> Ticket:
    """One layer without a single kept weight: its values are a tensor of shape [0]."""
    tensors, masks = make_arrays(parse_arch(BASE))
    masks["blocks.1.conv2.weight"][:] = False
    return make_ticket(BASE, (tensors, masks))


def mixed_types() -> Ticket:
    """Half-precision weights, a head in double precision that no mask covers, and single precision for the rest."""
    tensors, masks = make_arrays(parse_arch(BASE))
    masks.pop("fc.weight")
    halves = {name: array.astype("<f2") for name, array in tensors.items() if name in masks}
    doubles = {name: tensors[name].astype("<f8") + 2.0**-40 for name in ("fc.weight", "fc.bias")}
    return make_ticket(BASE, (tensors | halves | doubles, masks))


def odd_sizes() -> Ticket:
    """Tensors of 9, 12, 18 and 36 weights; strings and numbers that are hard to write canonically."""
    ticket = make_ticket(BASE, num_classes=3, in_channels=1)
    recipe = {
        "\ue000": "sorted after 😀 by UTF-16 code units, before it by code points",
        "😀": 'é "\\/\b\f\n\r\t\x01\x7f\u2028',
        "": [1e21, 1e20, 2.0**53, 1e-6, 1e-7, 5e-324, -0.0, 0.1 + 0.2, 100.0, -1.5, 9007199254740991],
        "nested": {"b": None, "a": [None, True, [], {}]},
    }
    return replace(
        ticket, weights=Weights(role="init", step=0), provenance=replace(ticket.provenance, recipe=recipe, seed=-1)
    )


VALID: dict[str, Callable[[], Ticket]] = {
    "resnet8-w1": found,
    "resnet8-w2": lambda: replace(make_ticket("resnet8-w2"), weights=Weights(role="final")),
    "resnet14-w1-to-resnet20-w1": stretched,
    BASE: lambda: make_ticket(BASE),
    "zeros": zeros,
    "all-kept": all_kept,
    "layer-pruned": layer_pruned,
    "mixed-types": mixed_types,
    "odd-sizes": odd_sizes,
    "imagenet-resnet18-w1": lambda: make_ticket("imagenet-resnet18-w1", num_classes=3, in_channels=1),
    "vgg11-w1-fc3": lambda: make_ticket("vgg11-w1-fc3", num_classes=3, in_channels=1),
    "mobilenetv1-1-w1": lambda: make_ticket("mobilenetv1-1-w1", num_classes=3, in_channels=1),
    "mlp-12-5-5-3": lambda: make_ticket("mlp-12-5-5-3"),
    ATTENTION_BASE: lambda: make_ticket(ATTENTION_BASE, num_classes=3, in_channels=1),
    SETTINGS_BASE: stretched_with_settings,
    "flops": with_flops,
}


def of_version_1_1(base: bytes) -> bytes:
    """A ticket of a later 1.x: fields that a 1.0 reader does not know, everywhere where it must ignore them."""

    def change(document: dict[str, Any]) -> None:
        document["format"] |= {"version": "1.1", "flavour": "new"}
        document["architecture"]["groups"] = 1
        document["layers"][0]["note"] = {"any": ["thing", None, 1.5]}
        document["layers"][0]["tensors"]["weight"]["scale"] = 0.5
        document["weights"]["epoch"] = 2
        document["provenance"] |= {"license": "MIT", "rate": None}
        document["signature"] = "none"

    return with_document(base, change)


def decoded(path: Path) -> str:
    """The contents of a bundle as JSON, one tensor a line."""
    ticket = load_ticket(path)
    lines = []
    for name, stored in ticket.stored.items():
        tensor: dict[str, Any] = {"shape": list(stored.shape), "dtype": stored.dtype}
        if isinstance(stored, Bitmask):
            tensor["mask"] = "".join("01"[int(kept)] for kept in stored.mask().reshape(-1))
        tensor["data"] = stored.decode().tobytes().hex()
        lines.append(f"{json.dumps(name)}: {json.dumps(tensor)}")
    document = json.dumps(dict(ticket.document), separators=(",", ":"), ensure_ascii=False)
    tensors = ",\n".join(lines)
    return f'{{"document": {document},\n"tensors": {{\n{tensors}\n}}}}\n'


# --- taking a bundle apart and putting it together, sound or not ----------------------------------------------------


def take_apart(bundle: bytes) -> tuple[Header, bytes]:
    """The safetensors header, and the bytes of the tensors."""
    length = int.from_bytes(bundle[:8], "little")
    return json.loads(bundle[8 : 8 + length]), bundle[8 + length :]


def put_together(header: Header | str, data: bytes, padding: str = " ") -> bytes:
    """A safetensors file of any header."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    encoded = text.encode()
    encoded += padding.encode() * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + data


def document_of(bundle: bytes) -> dict[str, Any]:
    """The document of a sound bundle."""
    document: dict[str, Any] = json.loads(take_apart(bundle)[0]["__metadata__"]["ticketkit"])
    return document


def with_text(bundle: bytes, text: str) -> bytes:
    """The bundle with another text in place of its document."""
    header, data = take_apart(bundle)
    header["__metadata__"]["ticketkit"] = text
    return put_together(header, data)


def with_document(bundle: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The bundle with a changed document that has the right id."""
    document = document_of(bundle)
    change(document)
    document.pop("id", None)
    document["id"] = "sha256:" + hashlib.sha256(rfc8785.dumps(document)).hexdigest()
    return with_text(bundle, rfc8785.dumps(document).decode())


def tensor_entry(document: dict[str, Any], key: str) -> dict[str, Any]:
    """The document's entry of the tensor ``layers.NNNN.tensor``."""
    _, index, tensor = key.split(".")
    entry: dict[str, Any] = document["layers"][int(index)]["tensors"][tensor]
    return entry


def with_bytes(bundle: bytes, key: str, change: Callable[[bytearray], object], *, hashed: bool = True) -> bytes:
    """The bundle with other bytes in a stored tensor, and the right hash and id unless told otherwise."""
    header, data = take_apart(bundle)
    start, end = header[key]["data_offsets"]
    stored = bytearray(data[start:end])
    change(stored)
    header[key]["data_offsets"][1] = start + len(stored)
    data = data[:start] + bytes(stored) + data[end:]
    for entry in header.values():
        if "data_offsets" in entry and entry["data_offsets"][0] >= end and entry is not header[key]:
            entry["data_offsets"] = [offset + len(stored) - (end - start) for offset in entry["data_offsets"]]
    bundle = put_together(header, data)
    if not hashed:
        return bundle
    tensor = key.removesuffix(".mask").removesuffix(".values")
    parts = [f"{tensor}.mask", f"{tensor}.values"] if tensor != key else [tensor]
    content = b"".join(data[slice(*header[part]["data_offsets"])] for part in parts)
    digest = hashlib.sha256(content).hexdigest()
    return with_document(bundle, lambda document: tensor_entry(document, tensor).update(sha256=digest))


def with_header(bundle: bytes, change: Callable[[Header], object]) -> bytes:
    """The bundle with a changed safetensors header."""
    header, data = take_apart(bundle)
    change(header)
    return put_together(header, data)


def with_words(bundle: bytes, old: str, new: str) -> bytes:
    """The bundle with words of its document's text replaced once; the id is not made right."""
    text = take_apart(bundle)[0]["__metadata__"]["ticketkit"]
    if text.count(old) != 1:
        raise ValueError(f"{old} must be once in the document (got {text.count(old)})")
    return with_text(bundle, text.replace(old, new))


# --- invalid vectors -------------------------------------------------------------------------------------------------


def set_byte(position: int, value: int) -> Callable[[bytearray], object]:
    """Put one byte."""
    return lambda stored: stored.__setitem__(position, value)


def set_float(position: int, value: float) -> Callable[[bytearray], object]:
    """Put one F32."""
    return lambda stored: struct.pack_into("<f", stored, 4 * position, value)


def invalid_containers(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that break a rule of the container (section 2)."""
    header, data = take_apart(base)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    yield "empty", b""
    yield "three-bytes", b"\x08\x00\x00"
    yield "not-safetensors", b"PK\x03\x04\x14\x00\x00\x00\x08\x00ticket"
    yield "header-length-absurd", b"\xff" * 8 + base[8:]
    yield "header-cut-short", base[:5000]
    yield "data-cut-short", base[:-1]
    yield "byte-appended", base + b"\x00"
    yield "header-not-json", put_together(text[:-2] + "]}", data)
    yield "header-is-a-list", put_together("[]", data)
    yield "header-padded-with-tabs", put_together(text + "\t", data)
    yield "header-key-twice", put_together(text.replace('"ticketkit"', '"ticketkit":"{}","ticketkit"', 1), data)
    key = '"layers.0014.bias"'
    yield "tensor-twice", put_together(text.replace(key, f"{key}:{json.dumps(header[key[1:-1]])},{key}", 1), data)
    yield "no-metadata", with_header(base, lambda h: h.pop("__metadata__"))
    yield "other-metadata", with_header(base, lambda h: h.update(__metadata__={"format": "pt"}))
    yield "second-metadata-key", with_header(base, lambda h: h["__metadata__"].update(format="pt"))
    yield "offsets-overlap", with_header(base, lambda h: h["layers.0001.bias"]["data_offsets"].__setitem__(0, 0))


def invalid_documents(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files whose document breaks a rule that can be checked by itself (section 3)."""
    text = take_apart(base)[0]["__metadata__"]["ticketkit"]
    yield "document-not-json", with_text(base, text[:-1])
    yield "document-is-a-list", with_text(base, "[]")
    yield "document-has-spaces", with_text(base, text.replace(":", ": ", 1))
    yield (
        "document-unsorted",
        with_text(base, json.dumps(dict(reversed(document_of(base).items())), separators=(",", ":"))),
    )
    yield "document-key-twice", with_words(base, '"depth":8', '"depth":8,"depth":8')
    yield "document-has-nan", with_words(base, '"rate":0.2', '"rate":NaN')
    yield "document-has-1e400", with_words(base, '"rate":0.2', '"rate":1e400')
    yield "document-escapes-needlessly", with_words(base, '"imp"', '"\\u0069mp"')
    yield "document-has-lone-surrogate", with_words(base, '"imp"', '"\\ud800"')
    yield "integer-too-large", with_words(base, '"seed":0', '"seed":9007199254740993')
    yield "id-wrong", with_words(base, '"level":5', '"level":6')
    yield (
        "id-missing",
        with_text(base, rfc8785.dumps({k: v for k, v in document_of(base).items() if k != "id"}).decode()),
    )

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "format-of-another-name": lambda d: d["format"].update(name="tickets"),
        "version-missing": lambda d: d["format"].pop("version"),
        "version-2.0": lambda d: d["format"].update(version="2.0"),
        "version-0.9": lambda d: d["format"].update(version="0.9"),
        "version-not-a-string": lambda d: d["format"].update(version=1),
        "version-with-line-break": lambda d: d["format"].update(version="1.0\n"),
        "family-unknown": lambda d: d["architecture"].update(family="cifar-vit"),
        "depth-impossible": lambda d: d["architecture"].update(depth=9),
        "depth-absurd": lambda d: d["architecture"].update(depth=10**9),
        "depth-zero": lambda d: d["architecture"].update(depth=0),
        "width-absurd": lambda d: d["architecture"].update(width=10**6),
        "variant-unknown": lambda d: d["architecture"].update(variant="wide"),
        "classes-missing": lambda d: d["architecture"].pop("num_classes"),
        "level-is-true": lambda d: d["provenance"].update(level=True),
        "level-negative": lambda d: d["provenance"].update(level=-1),
        "level-fractional": lambda d: d["provenance"].update(level=5.5),
        "rate-above-one": lambda d: d["provenance"].update(rate=1.5),
        "method-empty": lambda d: d["provenance"].update(method=""),
        "parent-malformed": lambda d: d["provenance"].update(parent="sha256:" + "A" * 64),
        "tool-missing": lambda d: d["provenance"].pop("tool"),
        "provenance-missing": lambda d: d.pop("provenance"),
        "rewind-without-step": lambda d: d["weights"].pop("step"),
        "weights-unknown": lambda d: d["weights"].update(role="late"),
        "encoding-unknown": lambda d: tensor_entry(d, "layers.0000.weight").update(encoding="csr"),
        "dtype-unknown": lambda d: tensor_entry(d, "layers.0000.weight").update(dtype="BF16"),
        "kept-on-dense": lambda d: tensor_entry(d, "layers.0001.bias").update(kept=1),
        "kept-missing": lambda d: tensor_entry(d, "layers.0000.weight").pop("kept"),
    }
    for name, change in changes.items():
        yield name, with_document(base, change)


def invalid_layers(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files whose document does not describe the network it names."""

    def swap(document: dict[str, Any]) -> None:
        layers = document["layers"]
        layers[2], layers[4] = layers[4], layers[2]

    def mask_batch_norm(document: dict[str, Any]) -> None:
        tensor_entry(document, "layers.0001.weight").update(encoding="bitmask", kept=1)

    def mask_nothing(document: dict[str, Any]) -> None:
        for layer in document["layers"]:
            for entry in layer["tensors"].values():
                entry["encoding"] = "dense"
                entry.pop("kept", None)

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "layers-swapped": swap,
        "layer-missing": lambda d: d["layers"].pop(),
        "layer-index-wrong": lambda d: d["layers"][3].update(index=4),
        "layer-name-wrong": lambda d: d["layers"][3].update(name="blocks.0.bn2"),
        "layer-stage-wrong": lambda d: d["layers"][3].update(stage=1),
        "layer-stage-on-stem": lambda d: d["layers"][0].update(stage=0, unit=0),
        "tensor-entry-missing": lambda d: d["layers"][1]["tensors"].pop("bias"),
        "tensor-entry-unknown": lambda d: d["layers"][1]["tensors"].update(
            {"\x1b[31m\n": tensor_entry(d, "layers.0001.bias")}
        ),
        "shape-wrong": lambda d: tensor_entry(d, "layers.0000.weight").update(shape=[3, 1, 3, 3]),
        "dtype-wrong": lambda d: tensor_entry(d, "layers.0001.bias").update(dtype="I64"),
        "mask-on-batch-norm": mask_batch_norm,
        "mask-nowhere": mask_nothing,
        "kept-above-size": lambda d: tensor_entry(d, "layers.0000.weight").update(kept=28),
    }
    for name, change in changes.items():
        yield name, with_document(base, change)


def invalid_tensors(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that store other tensors than their document describes (sections 2, 4 and 5)."""
    conv, norm = "layers.0000.weight", "layers.0001"
    header, data = take_apart(base)

    def swap_hashes(document: dict[str, Any]) -> None:
        left, right = tensor_entry(document, f"{norm}.bias"), tensor_entry(document, f"{norm}.weight")
        left["sha256"], right["sha256"] = right["sha256"], left["sha256"]

    def rename(old: str, new: str) -> Callable[[Header], object]:
        return lambda h: h.__setitem__(new, h.pop(old))

    end = len(data)
    extra = {"dtype": "U8", "shape": [1], "data_offsets": [end, end + 1]}
    yield "tensor-unknown", put_together(header | {"layers.0099.weight": extra}, data + b"\x00")
    yield "tensor-missing", with_header(base, rename(f"{norm}.bias", f"{norm}.offset"))
    yield "stored-type-wrong", with_header(base, lambda h: h[f"{norm}.num_batches_tracked"].update(dtype="F64"))
    yield "stored-shape-wrong", with_header(base, lambda h: h[f"{norm}.num_batches_tracked"].update(shape=[1]))
    head = "layers.0014.weight"
    longer = with_bytes(base, f"{head}.values", lambda stored: stored.extend(b"\x00" * 4))
    count = header[f"{head}.values"]["shape"][0]
    longer = with_header(longer, lambda h: h[f"{head}.values"].update(shape=[count + 1]))
    yield "values-longer", longer
    yield "kept-not-bits-set", with_document(longer, lambda d: tensor_entry(d, head).update(kept=count + 1))
    yield "bit-cleared", with_bytes(base, f"{conv}.mask", set_byte(0, 0))
    yield "padding-bits-set", with_bytes(base, f"{conv}.mask", lambda stored: set_byte(-1, stored[-1] | 0x80)(stored))
    yield "value-changed", with_bytes(base, f"{conv}.values", set_float(0, 0.5), hashed=False)
    yield "counter-changed", with_bytes(base, f"{norm}.num_batches_tracked", set_byte(0, 15), hashed=False)
    yield "hash-wrong", with_document(base, lambda d: tensor_entry(d, conv).update(sha256="0" * 64))
    yield (
        "hash-upper-case",
        with_document(base, lambda d: tensor_entry(d, conv).update(sha256=tensor_entry(d, conv)["sha256"].upper())),
    )
    yield "hashes-swapped", with_document(base, swap_hashes)
    yield "value-nan", with_bytes(base, f"{conv}.values", set_float(2, float("nan")))
    yield "variance-infinite", with_bytes(base, f"{norm}.running_var", set_float(0, float("inf")))


def invalid_attention(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that mask what no mask may cover in a transformer, or do not name its layers as they are (section 3.3)."""

    def mask(key: str) -> Callable[[dict[str, Any]], object]:
        return lambda d: tensor_entry(d, key).update(encoding="bitmask", kept=1)

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "mask-on-embedding": mask("layers.0001.weight"),
        "mask-on-layer-norm": mask("layers.0003.weight"),
        "mask-on-attention-bias": mask("layers.0004.in_proj_bias"),
        "attention-called-linear": lambda d: d["layers"][4].update(kind="linear"),
        "first-unit-called-entry": lambda d: d["layers"][4].update(role="entry"),
    }
    for name, change in changes.items():
        yield name, with_document(base, change)


def invalid_settings(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files whose transformation's settings are no object (section 3.6)."""
    yield (
        "settings-are-a-list",
        with_document(base, lambda d: d["provenance"]["transformations"][0].update(settings=[])),
    )


INVALID = {
    invalid_containers: BASE,
    invalid_documents: BASE,
    invalid_layers: BASE,
    invalid_tensors: BASE,
    invalid_attention: ATTENTION_BASE,
    invalid_settings: SETTINGS_BASE,
}
"""What makes invalid vectors, and the valid one that they differ from."""


def make_invalid(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every invalid vector: its name to the name of its base, which lies in the folder, and its bytes."""
    made: dict[str, tuple[str, bytes]] = {}
    for group, base in INVALID.items():
        sound = (folder / f"{base}.st").read_bytes()
        for name, content in group(sound):
            if name in made or content == sound:
                raise ValueError(f"{name} must be a new name and another file than its base")
            made[name] = base, content
    return made


def common_start(left: bytes, right: bytes) -> int:
    """How many bytes two texts have in common at their start."""
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def edits(base: bytes, other: bytes) -> list[dict[str, Any]]:
    """What turns ``base`` into ``other``: at each offset of ``base``, how many bytes go and what comes instead."""
    pattern = re.compile(rb"[^,]*,|[^,]+", re.DOTALL)
    old, new = pattern.findall(base), pattern.findall(other)
    offsets = np.cumsum([0, *map(len, old)]).tolist()
    found = []
    for tag, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        gone, come = base[offsets[start] : offsets[end]], b"".join(new[new_start:new_end])
        same = common_start(gone, come)
        gone, come = gone[same:], come[same:]
        tail = common_start(gone[::-1], come[::-1])
        come = come[: len(come) - tail]
        edit: dict[str, Any] = {"at": offsets[start] + same, "cut": len(gone) - tail}
        if come.isascii() and come.decode().isprintable():
            edit["text"] = come.decode()
        else:
            edit["hex"] = come.hex()
        found.append(edit)
    return found


def expected_error(content: bytes, scratch: Path) -> tuple[str, str]:
    """The class and the line of the error that ``content`` is refused with, without the file's name."""
    scratch.write_bytes(content)
    try:
        load_ticket(scratch)
    except BundleError as error:
        message = str(error).removesuffix(f": {scratch}")
        # What libraries say of a broken text is theirs to change, and families will be added.
        message = re.sub(LIBRARY_SAYS, r"\1…", message)
        return type(error).__name__, message
    finally:
        scratch.unlink()
    raise ValueError("an invalid vector must be refused (it was read)")


def write_new(path: Path, text: str) -> None:
    """Write a file that must not exist yet."""
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path(__file__).parent)
def main(folder: Path) -> None:
    """Write every vector into FOLDER; none may be there already."""
    (folder / "invalid").mkdir(parents=True, exist_ok=True)
    for name, make in VALID.items():
        save_ticket(make(), folder / f"{name}.st")
    with (folder / "version-1.1.st").open("xb") as file:
        file.write(of_version_1_1((folder / f"{BASE}.st").read_bytes()))
    for path in sorted(folder.glob("*.st")):
        write_new(path.with_suffix(".json"), decoded(path))
    lines = []
    for name, (base, content) in make_invalid(folder).items():
        error, message = expected_error(content, folder / "invalid" / "scratch.st")
        changed = edits((folder / f"{base}.st").read_bytes(), content)
        expected = {"error": error, "message": message, "base": base, "edits": changed}
        lines.append(f"{json.dumps(name)}: {json.dumps(expected, ensure_ascii=False)}")
    write_new(folder / "invalid" / "expected.json", "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
