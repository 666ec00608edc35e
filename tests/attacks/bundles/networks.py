"""Bundles of networks that do not exist, and of layers that are not their network's (section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bundles.sound import BASE, CONV, NORM, Content, Document, architecture, document, layer, make, network, tensor


def networks() -> dict[str, Content]:
    """Documents of networks that do not exist or are absurd."""
    return {
        "family-unknown": lambda: architecture(family="transformer"),
        "family-with-control-characters": lambda: architecture(family="\x1b[31mresnet\n"),
        "family-of-a-million-characters": lambda: architecture(family="a" * 900_000),
        "family-null": lambda: architecture(family=None),
        "depth-10^9": lambda: architecture(depth=10**9),
        "depth-10^15": lambda: architecture(depth=10**15),
        "depth-negative": lambda: architecture(depth=-8),
        "depth-zero": lambda: architecture(depth=0),
        "depth-true": lambda: architecture(depth=True),
        "depth-fractional": lambda: architecture(depth=8.5),
        "depth-a-text": lambda: architecture(depth="8"),
        "depth-impossible": lambda: architecture(depth=9),
        "depth-9998-without-layers": lambda: network("cifar-resnet", 9998),
        "depth-10000-without-layers": lambda: network("vit", 10_000, width=4),
        "depth-another-than-the-layers": lambda: architecture(depth=14),
        "width-10^9": lambda: architecture(width=10**9),
        "width-zero": lambda: architecture(width=0),
        "width-another-than-the-layers": lambda: architecture(width=100_000),
        "classes-10^12": lambda: architecture(num_classes=10**12),
        "classes-missing": lambda: document(lambda d: d["architecture"].pop("num_classes")),
        "inputs-negative": lambda: architecture(in_channels=-1),
        "variant-unknown": lambda: architecture(variant="wide"),
        "variant-null": lambda: architecture(variant=None),
        "variant-with-control-characters": lambda: architecture(variant="\x1b[31m\n"),
        "variant-of-900000-digits": lambda: network("mlp", 10, variant="1-" * 450_000),
        "variant-of-200-unprintable-characters": lambda: network("mlp", 10, variant="\U000e0001" * 200),
        "vgg-of-9999-linear-layers": lambda: network("vgg", 11, variant="fc9999"),
        "vgg-in-full-width-digits": lambda: network("vgg", 11, variant="fc\uff12"),
        "vgg-of-an-unknown-depth": lambda: network("vgg", 10_000),
        "imagenet-of-an-unknown-depth": lambda: network("imagenet-resnet", 20),
        "vit-of-patches-of-nothing": lambda: network("vit", 1, variant="p0-i32"),
        "vit-of-patches-that-do-not-fit": lambda: network("vit", 1, width=4, variant="p5"),
        "vit-of-heads-that-do-not-fit": lambda: network("vit", 1, width=129),
        "mlp-longer-than-its-depth": lambda: network("mlp", 3, variant="1x99999"),
        "mlp-of-widths-of-nothing": lambda: network("mlp", 3, variant="0"),
        "mlp-of-one-run-named-twice": lambda: network("mlp", 10, width=5, variant="5"),
        "mlp-with-a-name-too-long": lambda: network("mlp", 200, width=5, variant="-".join(["3-2"] * 50)),
        "mlp-of-320-gigabytes": large_mlp,
    }


def large_mlp() -> bytes:
    """A network that is described soundly and would decode to 320 GB: eight layers of 100,000 by 100,000 weights."""

    def change(found: Document) -> None:
        width, depth = 100_000, 10
        found["architecture"] |= {"family": "mlp", "depth": depth, "width": width, "variant": "", "num_classes": width}
        found["architecture"]["in_channels"] = width
        found["layers"] = []
        for index in range(depth):
            role = "head" if index == depth - 1 else "unit" if index else "entry"
            name = "fc" if role == "head" else f"fc_layers.{index}"
            weight = {"dtype": "F32", "encoding": "bitmask", "kept": 0, "sha256": "0" * 64, "shape": [width, width]}
            bias = {"dtype": "F32", "encoding": "dense", "sha256": "0" * 64, "shape": [width]}
            found["layers"].append(
                {
                    "index": index,
                    "name": name,
                    "kind": "linear",
                    "role": role,
                    "tensors": {"weight": weight, "bias": bias},
                }
                | ({} if role == "head" else {"stage": 0, "unit": index})
            )

    return document(change)


def layers() -> dict[str, Content]:
    """Documents whose layers are not those of their network."""

    def swap(found: Document) -> None:
        found["layers"][2], found["layers"][4] = found["layers"][4], found["layers"][2]

    def rename_tensor(found: Document) -> None:
        norm = found["layers"][1]["tensors"]
        norm["\x1b[31m" * 500] = norm.pop("bias")

    return {
        "layers-none": lambda: document(lambda d: d.update(layers=[])),
        "layers-an-object": lambda: document(lambda d: d.update(layers=dict(enumerate_text(d["layers"])))),
        "layers-one-fewer": lambda: document(lambda d: d["layers"].pop()),
        "layers-one-more": lambda: document(lambda d: d["layers"].append(d["layers"][-1])),
        "layers-swapped": lambda: document(swap),
        "layer-null": lambda: document(lambda d: d["layers"].__setitem__(3, None)),
        "layer-index-out-of-order": lambda: layer(3, index=4),
        "layer-index-10^15": lambda: layer(3, index=10**15),
        "layer-index-negative": lambda: layer(3, index=-1),
        "layer-index-true": lambda: layer(1, index=True),
        "layer-named-as-another": lambda: layer(3, name="blocks.0.bn2"),
        "layer-name-of-201-characters": lambda: layer(3, name="b" * 201),
        "layer-name-of-200-unprintable-characters": lambda: layer(3, name="\U000e0001" * 200),
        "layer-of-another-kind": lambda: layer(1, kind="layer_norm"),
        "layer-of-an-unknown-kind": lambda: layer(1, kind="quantum"),
        "layer-of-another-role": lambda: layer(2, role="unit"),
        "layer-of-another-unit": lambda: layer(2, unit=1),
        "layer-with-a-stage-and-no-unit": lambda: document(lambda d: d["layers"][2].pop("unit")),
        "layer-of-stage-2^53-1": lambda: layer(2, stage=2**53 - 1),
        "layer-without-tensors": lambda: layer(1, tensors={}),
        "layer-tensors-a-list": lambda: layer(1, tensors=[]),
        "layer-with-an-unknown-tensor": lambda: document(rename_tensor),
        "tensor-named-like-a-path": lambda: layer(
            0, tensors={"../../weight": make.tensor_entry(make.document_of(BASE), CONV)}
        ),
        "tensor-shape-transposed": lambda: tensor(CONV, shape=[3, 1, 3, 3]),
        "tensor-shape-of-9-dimensions": lambda: tensor(CONV, shape=[1] * 9),
        "tensor-shape-of-10^12-elements": lambda: tensor(CONV, shape=[10**12]),
        "tensor-shape-2^424": lambda: tensor(CONV, shape=[2**53 - 1] * 8),
        "tensor-shape-negative": lambda: tensor(CONV, shape=[-1, 3, 3, 3]),
        "tensor-shape-true": lambda: tensor(CONV, shape=[True, 3, 3, 3]),
        "tensor-shape-flat": lambda: tensor(CONV, shape=[27]),
        "tensor-type-bf16": lambda: tensor(CONV, dtype="BF16"),
        "tensor-type-i64": lambda: tensor(f"{NORM}.bias", dtype="I64"),
        "tensor-type-of-a-counter": lambda: tensor(f"{NORM}.num_batches_tracked", dtype="F64"),
        "tensor-encoding-unknown": lambda: tensor(CONV, encoding="csr"),
        "tensor-encoding-null": lambda: tensor(CONV, encoding=None),
        "tensor-mask-on-a-bias": lambda: tensor("layers.0014.bias", encoding="bitmask", kept=1),
        "tensor-mask-on-statistics": lambda: tensor(f"{NORM}.running_var", encoding="bitmask", kept=1),
        "tensor-kept-on-dense": lambda: tensor(f"{NORM}.bias", kept=1),
        "tensor-kept-missing": lambda: document(lambda d: make.tensor_entry(d, CONV).pop("kept")),
        "tensor-kept-above-size": lambda: tensor(CONV, kept=28),
        "tensor-kept-2^53-1": lambda: tensor(CONV, kept=2**53 - 1),
        "tensor-kept-negative": lambda: tensor(CONV, kept=-1),
        "tensor-kept-true": lambda: tensor(CONV, kept=True),
        "tensor-kept-fractional": lambda: tensor(CONV, kept=10.5),
        "tensor-hash-too-short": lambda: tensor(CONV, sha256="0" * 63),
        "tensor-hash-in-capitals": lambda: tensor(CONV, sha256="AB" * 32),
        "tensor-hash-of-a-million-digits": lambda: tensor(CONV, sha256="0" * 900_000),
        "no-mask-anywhere": lambda: document(unmask),
    }


def enumerate_text(found: list[Any]) -> Iterator[tuple[str, Any]]:
    """Items under their positions as text."""
    return ((str(position), item) for position, item in enumerate(found))


def unmask(found: Document) -> None:
    """Describe every tensor as dense."""
    for described in found["layers"]:
        for entry_ in described["tensors"].values():
            entry_["encoding"] = "dense"
            entry_.pop("kept", None)
