"""The sparsity report, against loops over single weights."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.mask import Mask
from ticketkit.report.sparsity import SparsityReport, entropy
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def _report(ticket: Ticket, folder: Path) -> SparsityReport:
    path = folder / "t.st"
    save_ticket(ticket, path)
    return SparsityReport.of(load_ticket(path), read_header(path))


def _dead(mask: np.ndarray) -> tuple[int, int]:
    """Dead outputs and inputs, one weight at a time."""
    alive_out, alive_in = set(), set()
    for place in itertools.product(*map(range, mask.shape)):
        if mask[place]:
            alive_out.add(place[0])
            alive_in.add(place[1])
    return mask.shape[0] - len(alive_out), mask.shape[1] - len(alive_in)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", ["resnet8-w2", "resnet14-w3-pad"])
def test_layers_say_what_their_masks_hold(make_ticket: MakeTicket, tmp_path: Path, name: str, density: float) -> None:
    ticket = make_ticket(name, density=density)
    report = _report(ticket, tmp_path)
    assert [f"{layer.name}.weight" for layer in report.layers] == list(ticket.mask)
    specs = {layer.name: layer for layer in ticket.arch.layers()}
    for layer in report.layers:
        mask = ticket.mask[f"{layer.name}.weight"]
        spec = specs[layer.name]
        assert (layer.index, layer.kind, layer.role) == (spec.index, spec.kind, spec.role)
        assert (layer.stage, layer.unit, layer.shape) == (spec.stage, spec.unit, mask.shape)
        assert (layer.kept, layer.total) == (int(mask.sum()), mask.size)
        assert (layer.dead_filters, layer.dead_inputs) == _dead(mask)
        assert layer.density == layer.kept / layer.total
        assert layer.sparsity == 1 - layer.density


def test_totals_and_their_denominators(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket("resnet20-w2", density=0.1)
    report = _report(ticket, tmp_path)
    assert (report.kept, report.total) == (ticket.mask.kept, ticket.mask.total)
    assert report.sparsity == ticket.mask.sparsity
    running = ("running_mean", "running_var", "num_batches_tracked")
    parameters = sum(array.size for name, array in ticket.tensors.items() if not name.endswith(running))
    assert report.parameters == parameters
    assert report.pruned_of_parameters == (ticket.mask.total - ticket.mask.kept) / parameters


def test_groups_add_up_by_stage(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = stretch_ticket(make_ticket("resnet14-w2", density=0.1), "26")
    report = _report(ticket, tmp_path)
    assert [group.name for group in report.groups] == ["stem", "stage 0", "stage 1", "stage 2", "head"]
    assert [group.units for group in report.groups] == [None, 4, 4, 4, None]
    for group in report.groups:
        prefixes = {"stem": ("conv.",), "head": ("fc.",)}.get(
            group.name, tuple(f"blocks.{block}." for block in range(4 * (group.stage or 0), 4 * (group.stage or 0) + 4))
        )
        arrays = [ticket.mask[name] for name in ticket.mask if name.startswith(prefixes)]
        assert group.kept == sum(int(array.sum()) for array in arrays)
        assert group.total == sum(array.size for array in arrays)
        assert group.density == group.kept / group.total
        assert group.sparsity == 1 - group.density


def test_a_dense_output_layer_is_not_prunable(make_ticket: MakeTicket, tmp_path: Path) -> None:
    plain = make_ticket("resnet8-w2")
    ticket = make_ticket(
        "resnet8-w2", mask=Mask({name: plain.mask[name] for name in plain.mask if name != "fc.weight"})
    )
    report = _report(ticket, tmp_path)
    assert report.total == plain.total - 80
    assert "fc" not in [layer.name for layer in report.layers]
    assert "head" not in [group.name for group in report.groups]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bytes_add_up_to_the_file(make_ticket: MakeTicket, tmp_path: Path, dtype: str) -> None:
    ticket = make_ticket("resnet8-w2", density=0.3, dtype=dtype)
    report = _report(ticket, tmp_path)
    sizes = report.sizes
    assert sizes.file == (tmp_path / "t.st").stat().st_size
    assert sizes.file == sizes.header + sizes.masks + sizes.values + sizes.dense_tensors
    masked, dense = ticket.mask, [array for name, array in ticket.tensors.items() if name not in ticket.mask]
    assert sizes.masks == sum(len(np.packbits(array)) for array in masked.values())
    assert sizes.values == masked.kept * np.dtype(dtype).itemsize
    assert sizes.dense_tensors == sum(array.nbytes for array in dense)
    rest = sum(array.size * (8 if array.dtype == np.int64 else 4) for array in dense)
    assert sizes.all_dense == 4 * masked.total + rest
    assert sizes.reference == sizes.masks + 4 * masked.kept + rest


def test_the_floor_is_the_entropy_of_each_layer(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket("resnet8-w2", density=0.15)
    bits = 0.0
    for array in ticket.mask.values():
        for weight in array.reshape(-1):
            share = np.count_nonzero(array == weight) / array.size
            bits -= math.log2(share)
    assert _report(ticket, tmp_path).sizes.mask_floor == math.ceil(bits / 8 - 1e-9)


@pytest.mark.parametrize(("density", "bits"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.25, 0.8112781244591328)])
def test_entropy(density: float, bits: float) -> None:
    assert entropy(density) == pytest.approx(bits)
    assert entropy(density) == entropy(1 - density)
    assert math.copysign(1, entropy(density)) == 1


def test_a_ticket_that_keeps_everything_or_nothing(make_ticket: MakeTicket, tmp_path: Path) -> None:
    full = _report(make_ticket("resnet8-w2", density=1.0), tmp_path)
    assert (full.sparsity, full.sizes.mask_floor, full.pruned_of_parameters) == (0, 0, 0)
    (tmp_path / "t.st").unlink()
    empty = _report(make_ticket("resnet8-w2", density=0.0), tmp_path)
    assert (empty.density, empty.sizes.mask_floor, empty.kept) == (0, 0, 0)
    assert all((layer.dead_filters, layer.dead_inputs) == layer.shape[:2] for layer in empty.layers)


def test_json_is_plain_and_complete(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = stretch_ticket(make_ticket("resnet8-w2", density=0.1), "8")
    report = _report(ticket, tmp_path)
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document == report.to_json() | {
        "layers": [layer | {"shape": list(layer["shape"])} for layer in report.to_json()["layers"]],
        "provenance": document["provenance"],
    }
    assert document["format"] == {"name": "ticketkit-inspect", "version": "1.1"}
    assert document["id"] == ticket.id
    assert document["architecture"]["name"] == "cifar-resnet8-w2"
    assert document["provenance"]["transformations"][0]["mapping"] == "0:0|0:0|0:0"
    assert document["results"] is None
    assert document["hashes_checked"] is True
    assert replace(report, hashes_checked=False).to_json()["hashes_checked"] is False
