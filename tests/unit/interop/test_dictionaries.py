"""The formats of one file: torch.nn.utils.prune, plain state dicts, and what they refuse."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import prune

from ticketkit.errors import ArchError, BundleError
from ticketkit.interop import FORMATS, export_ticket, import_ticket
from ticketkit.models import build_model, load_model
from ticketkit.provenance import Weights
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]
ENDS = [".pth", ".safetensors"]


FAMILIES = ["imagenet-resnet18-w2", "vgg11-w2-fc2", "mobilenetv1-1-w2", "mlp-64-8-8-10", "vit2-w16-p2-i8"]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["torch-prune", "state-dict", "sparse-bitmask"])
def test_every_family_goes_out_and_comes_in(name: str, kind: str, make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket, file = make_ticket(name), tmp_path / "t.safetensors"
    mask = tmp_path / "m.pth" if kind == "state-dict" else None
    export_ticket(kind, ticket, file, mask=mask)
    assert same_values(import_ticket(kind, file, arch=name, mask=mask).ticket, ticket)


@pytest.mark.parametrize("end", ENDS)
def test_torch_prune_round_trip_is_exact(end: str, make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket(num_classes=3)
    export_ticket("torch-prune", ticket, tmp_path / f"t{end}")
    assert same_values(import_ticket("torch-prune", tmp_path / f"t{end}", arch="resnet8-w2").ticket, ticket)


def test_a_pruned_module_loads_what_we_write(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket()
    export_ticket("torch-prune", ticket, tmp_path / "t.pth")
    model = build_model(ticket.arch).eval()
    for name in ticket.mask:
        prune.identity(model.get_submodule(name.removesuffix(".weight")), "weight")
    model.load_state_dict(torch.load(tmp_path / "t.pth"))
    images = torch.randn(2, 3, 8, 8)
    expected, _ = load_model(ticket)
    assert torch.equal(model(images), expected.eval()(images))


def test_what_torch_pruned_comes_in(make_ticket: MakeTicket, tmp_path: Path) -> None:
    model = build_model(make_ticket().arch)
    prune.l1_unstructured(model.get_submodule("blocks.0.conv1"), "weight", amount=0.5)
    prune.random_unstructured(model.get_submodule("fc"), "weight", amount=7)
    prune.identity(model.get_submodule("fc"), "bias")
    torch.save(model.state_dict(), tmp_path / "p.pth")
    ticket = import_ticket("torch-prune", tmp_path / "p.pth", arch="resnet8-w2", step=40, weights="rewind").ticket
    assert set(ticket.mask) == {"blocks.0.conv1.weight", "fc.weight"}
    assert ticket.total - ticket.kept == 18 + 7
    assert ticket.weights == Weights(role="rewind", step=40)
    assert ticket.provenance.method == "imported"
    assert ticket.provenance.environment == {"imported_from": {"format": "torch-prune", "name": "p.pth"}}
    pruned = dict(model.named_modules())["fc"]
    assert np.array_equal(ticket.tensors["fc.weight"], pruned.weight.detach().numpy())


def test_a_pruned_bias_is_refused(make_ticket: MakeTicket, tmp_path: Path) -> None:
    model = build_model(make_ticket().arch)
    prune.random_unstructured(model.get_submodule("fc"), "bias", amount=2)
    prune.identity(model.get_submodule("fc"), "weight")
    torch.save(model.state_dict(), tmp_path / "p.pth")
    with pytest.raises(BundleError, match=r"got fc\.bias\): .*p\.pth$"):
        import_ticket("torch-prune", tmp_path / "p.pth", arch="resnet8-w2")


@pytest.mark.parametrize(
    ("gone", "error"),
    [("fc.weight_mask", "must have its fc.weight_mask"), ("fc.weight_orig", "must have its fc.weight_orig")],
)
def test_halves_of_a_pair_are_refused(gone: str, error: str, make_ticket: MakeTicket, tmp_path: Path) -> None:
    export_ticket("torch-prune", make_ticket(), tmp_path / "t.pth")
    tensors = torch.load(tmp_path / "t.pth")
    del tensors[gone]
    torch.save(tensors, tmp_path / "t.pth")
    with pytest.raises(BundleError, match=error):
        import_ticket("torch-prune", tmp_path / "t.pth", arch="resnet8-w2")


def test_a_plain_dictionary_is_not_a_pruned_one(make_ticket: MakeTicket, tmp_path: Path) -> None:
    export_ticket("state-dict", make_ticket(), tmp_path / "t.pth")
    with pytest.raises(BundleError, match="must hold NAME_orig and NAME_mask"):
        import_ticket("torch-prune", tmp_path / "t.pth", arch="resnet8-w2")


@pytest.mark.parametrize("weights_end", ENDS)
@pytest.mark.parametrize("mask_end", ENDS)
def test_state_dict_round_trip_is_exact(
    weights_end: str, mask_end: str, make_ticket: MakeTicket, tmp_path: Path
) -> None:
    ticket = _with_kept_zero(make_ticket)
    weights, mask = tmp_path / f"w{weights_end}", tmp_path / f"m{mask_end}"
    exported = export_ticket("state-dict", ticket, weights, mask=mask)
    assert exported.paths == (weights, mask)
    assert exported.notes == ()
    imported = import_ticket("state-dict", weights, mask=mask, arch="resnet8-w2")
    assert imported.notes == ()
    assert same_values(imported.ticket, ticket)


def test_zeros_alone_lose_kept_zeros_and_say_so(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = _with_kept_zero(make_ticket)
    exported = export_ticket("state-dict", ticket, tmp_path / "w.pth")
    assert exported.notes == ("without --mask 1 kept weights that are zero cannot be told from pruned ones",)
    imported = import_ticket("state-dict", tmp_path / "w.pth", arch="resnet8-w2")
    assert "kept weights that are zero are lost" in imported.notes[0]
    assert imported.ticket.kept == ticket.kept - 1


def test_the_model_itself_loads_what_we_write(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket()
    export_ticket("state-dict", ticket, tmp_path / "w.pth")
    model = build_model(ticket.arch)
    model.load_state_dict(torch.load(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: {"state_dict": d, "epoch": 3}, lambda d: {f"module.{k}": v for k, v in d.items()}]
)
def test_checkpoints_and_parallel_modules_come_in(
    wrap: Callable[[Any], Any], make_ticket: MakeTicket, tmp_path: Path
) -> None:
    ticket = make_ticket()
    model, _ = load_model(ticket)
    torch.save(wrap(dict(model.state_dict())), tmp_path / "w.pth")
    assert same_values(import_ticket("state-dict", tmp_path / "w.pth", arch="resnet8-w2").ticket, ticket)


def test_safetensors_files_of_ours_know_their_network(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket(num_classes=5)
    for kind in ("state-dict", "torch-prune", "sparse-bitmask"):
        export_ticket(kind, ticket, tmp_path / f"{kind}.safetensors")
        assert same_values(import_ticket(kind, tmp_path / f"{kind}.safetensors").ticket, ticket)


def test_half_precision_stays(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket(dtype="float16")
    for kind in FORMATS:
        path = tmp_path / f"{kind}.safetensors"
        export_ticket(kind, ticket, path)
        assert same_values(import_ticket(kind, path, arch="resnet8-w2").ticket, ticket)


def test_exports_are_the_same_bytes_every_time(make_ticket: MakeTicket, tmp_path: Path) -> None:
    for kind, end in (("torch-prune", ".pth"), ("state-dict", ".safetensors"), ("sparse-bitmask", ".safetensors")):
        for name in ("a", "b"):
            export_ticket(kind, make_ticket(), tmp_path / f"{name}{end}", overwrite=True)
        assert (tmp_path / f"a{end}").read_bytes() == (tmp_path / f"b{end}").read_bytes()


class Hostile:
    """Pickles to a call of ``os.system``."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("kind", ["state-dict", "torch-prune"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_refused_and_not_run(kind: str, protocol: int, tmp_path: Path) -> None:
    witness, file = tmp_path / "owned", tmp_path / "evil.pth"
    with file.open("wb") as stream:
        torch.save({"conv.weight": Hostile(witness)}, stream, pickle_protocol=protocol)
    with pytest.raises(BundleError, match=r"nothing of it was run\): .*evil\.pth$") as caught:
        import_ticket(kind, file, arch="resnet8-w2")
    assert "\n" not in str(caught.value)
    assert not witness.exists()
    torch.load(file, weights_only=False)  # it does what it says, where one lets it
    assert witness.exists()


def test_a_bare_hostile_pickle_too(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Hostile(tmp_path / "owned"), protocol=2))
    with pytest.raises(BundleError, match="nothing of it was run"):
        import_ticket("state-dict", tmp_path / "evil.pth", arch="resnet8-w2")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"hello world" * 10, b"PK\x03\x04rubbish", b"\x80\x02."])
@pytest.mark.parametrize("end", ENDS)
def test_rubbish_is_refused_in_one_line(content: bytes, end: str, tmp_path: Path) -> None:
    file = tmp_path / f"rubbish{end}"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=rf"rubbish\{end}$") as caught:
        import_ticket("state-dict", file, arch="resnet8-w2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, {3: torch.zeros(1)}, torch.zeros(2)])
def test_what_is_no_dictionary_of_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(BundleError, match="must hold a dictionary of tensors"):
        import_ticket("state-dict", tmp_path / "x.pth", arch="resnet8-w2")


@pytest.mark.parametrize("end", ENDS)
def test_types_that_numpy_lacks_are_refused(end: str, tmp_path: Path) -> None:
    tensors = {"conv.weight": torch.zeros(2, 2, dtype=torch.bfloat16)}
    (torch.save if end == ".pth" else save_file)(tensors, tmp_path / f"x{end}")
    with pytest.raises(BundleError, match="bfloat16"):
        import_ticket("state-dict", tmp_path / f"x{end}", arch="resnet8-w2")


@pytest.mark.parametrize("end", ENDS)
def test_files_that_are_not_there_are_named(end: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"must be readable \(No such file.*nope\{end}$"):
        import_ticket("state-dict", tmp_path / f"nope{end}", arch="resnet8-w2")


def test_what_was_asked_for_must_make_sense(make_ticket: MakeTicket, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    export_ticket("state-dict", make_ticket(), file)
    with pytest.raises(BundleError, match="must be named with --arch"):
        import_ticket("state-dict", file)
    with pytest.raises(ArchError, match="nearest"):
        import_ticket("state-dict", file, arch="resnet21")
    with pytest.raises(BundleError, match="must say their step"):
        import_ticket("state-dict", file, arch="resnet8-w2", weights="rewind")
    with pytest.raises(BundleError, match="format must be one of open-lth, sparse-bitmask, state-dict, torch-prune"):
        import_ticket("state_dict", file)
    with pytest.raises(BundleError, match="must go with state-dict alone"):
        import_ticket("torch-prune", file, mask=file)
    with pytest.raises(BundleError, match="must be two files"):
        export_ticket("state-dict", make_ticket(), tmp_path / "x.pth", mask=tmp_path / "." / "x.pth")
    with pytest.raises(BundleError, match=r"blocks\.3.*w\.pth$"):
        import_ticket("state-dict", file, arch="resnet14-w2")


@pytest.mark.parametrize("kind", ["state-dict", "torch-prune", "sparse-bitmask"])
def test_nothing_is_overwritten_unasked(kind: str, make_ticket: MakeTicket, tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    file.write_text("mine")
    with pytest.raises(BundleError, match=r"must not be overwritten unasked .*t\.safetensors$"):
        export_ticket(kind, make_ticket(), file)
    assert file.read_text() == "mine"
    export_ticket(kind, make_ticket(), file, overwrite=True)
    assert load_file(file)
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]


def _with_kept_zero(make_ticket: MakeTicket) -> Ticket:
    plain = make_ticket()
    tensors = dict(plain.tensors)
    tensors["fc.weight"][np.nonzero(plain.mask["fc.weight"])[0][0], np.nonzero(plain.mask["fc.weight"])[1][0]] = 0
    return make_ticket(tensors=tensors)
