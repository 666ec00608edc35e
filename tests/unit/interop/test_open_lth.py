"""Run folders of open_lth: a folder in their layout is written here, of weights from the fixture."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.errors import ArchError, BundleError
from ticketkit.interop import export_ticket, import_ticket
from ticketkit.provenance import Weights
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]

HPARAMS = """Dataset Hyperparameters
    * dataset_name => cifar10
    * batch_size => 128
Model Hyperparameters
    * model_name => {model}
    * model_init => kaiming_normal
Pruning Hyperparameters
    * pruning_strategy => sparse_global
    * pruning_fraction => 0.2{ignored}
Training Hyperparameters
    * training_steps => 8it"""


def write_level(folder: Path, ticket: Ticket, steps: tuple[str, ...], *, prefix: str = "") -> None:
    """One level as open_lth writes it; the first step holds the ticket's weights, later ones move them by 1."""
    folder.mkdir(parents=True)
    every = {entry.name: ticket.mask.get(entry.name) for entry in ticket.arch.state() if entry.prunable}
    masks = {
        prefix + name: torch.ones(ticket.tensors[name].shape, dtype=torch.int32)
        if mask is None
        else torch.from_numpy(mask.astype(np.int32))
        for name, mask in every.items()
    }
    torch.save(masks, folder / "mask.pth")
    total = sum(mask.numel() for mask in masks.values())
    unpruned = float(sum(mask.sum() for mask in masks.values()))
    report = {"total": float(total), "unpruned": unpruned, "sparsity_ratio": unpruned / total}
    (folder / "sparsity_report.json").write_text(json.dumps(report, indent=4))
    for number, step in enumerate(steps):
        weights = OrderedDict()
        for name, array in ticket.tensors.items():
            moved = array if array.dtype.kind != "f" else (array + np.float32(number)).astype(np.float32)
            kept = np.array(1, moved.dtype) if name not in ticket.mask else ticket.mask[name].astype(moved.dtype)
            weights[prefix + name] = torch.from_numpy(np.array(moved * kept))  # -0.0 where pruned, as theirs
        torch.save(weights, folder / f"model_{step}.pth")


def log(*rows: tuple[int, float]) -> str:
    return "\n".join(f"test_loss,{at},2.3\ntest_accuracy,{at},{value}\ntest_examples,{at},500.0" for at, value in rows)


@pytest.fixture
def run(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    """``replicate_1`` of a run of ``cifar_resnet_8_2``: level 0, level 1, and a branch."""
    run = tmp_path / "lottery_75db" / "replicate_1"
    write_level(run / "level_0" / "main", make_ticket(density=1.0, seed=1), ("ep0_it2", "ep0_it8"))
    (run / "level_0" / "main" / "hparams.log").write_text(HPARAMS.format(model="cifar_resnet_8_2", ignored=""))
    (run / "level_0" / "main" / "logger").write_text(log((2, 0.1), (8, 0.116)))
    write_level(run / "level_1" / "main", make_ticket(density=0.8, seed=1), ("ep0_it2", "ep0_it8"))
    (run / "level_1" / "main" / "logger").write_text(log((2, 0.1), (8, 0.108)))
    branch = run / "level_1" / f"lottery_branch_randomly_reinitialize_{'7b' * 16}"
    write_level(branch, make_ticket(density=0.8, seed=2), ("ep0_it2", "ep0_it8"))
    return run


def test_the_rewound_weights_come_in_under_the_mask(run: Path, make_ticket: MakeTicket) -> None:
    imported = import_ticket("open-lth", run / "level_1" / "main")
    ticket = imported.ticket
    assert same_values(ticket, make_ticket(density=0.8, seed=1))
    assert ticket.weights == Weights(role="rewind", step=2)
    assert imported.source == run / "level_1" / "main" / "model_ep0_it2.pth"
    assert imported.notes == ()


def test_provenance_says_what_the_folder_says(run: Path) -> None:
    provenance = import_ticket("open-lth", run / "level_1" / "main").ticket.provenance
    assert (provenance.method, provenance.level, provenance.rate) == ("imp", 1, 0.2)
    assert provenance.recipe is None
    assert provenance.environment is not None
    origin = provenance.environment["imported_from"]
    assert origin["format"] == "open-lth"
    assert origin["name"] == "lottery_75db/replicate_1/level_1/main"
    assert origin["weights"] == "model_ep0_it2.pth"
    assert origin["hparams"]["Dataset Hyperparameters"] == {"dataset_name": "cifar10", "batch_size": "128"}


def test_accuracies_of_the_levels_come_along(run: Path) -> None:
    ticket = import_ticket("open-lth", run / "level_1" / "main").ticket
    assert ticket.results is not None
    assert [level.accuracy for level in ticket.results.levels] == [0.116, 0.108]
    assert [level.kept for level in ticket.results.levels] == [ticket.total, ticket.kept]
    (run / "level_0" / "main" / "logger").unlink()
    assert import_ticket("open-lth", run / "level_1" / "main").ticket.results is None


def test_the_trained_weights_come_in_when_asked_for(run: Path, make_ticket: MakeTicket) -> None:
    ticket = import_ticket("open-lth", run / "level_1" / "main", weights="final").ticket
    assert ticket.weights == Weights(role="final", step=8)
    expected = make_ticket(density=0.8, seed=1)
    assert ticket.mask == expected.mask
    moved = expected.tensors["fc.weight"] + np.float32(1)
    assert np.array_equal(ticket.tensors["fc.weight"], moved * expected.mask["fc.weight"])


def test_a_level_means_its_main_line(run: Path) -> None:
    assert (
        import_ticket("open-lth", run / "level_1").ticket == import_ticket("open-lth", run / "level_1" / "main").ticket
    )


def test_the_dense_level_is_all_kept(run: Path) -> None:
    ticket = import_ticket("open-lth", run / "level_0" / "main").ticket
    assert ticket.density == 1
    assert ticket.provenance.level == 0


def test_a_branch_says_which_it_is(run: Path) -> None:
    branch = next(run.glob("level_1/lottery_branch_*"))
    ticket = import_ticket("open-lth", branch).ticket
    assert (ticket.provenance.method, ticket.provenance.level) == ("randomly_reinitialize", 1)
    assert ticket.results is None


def test_a_branch_of_another_network_needs_its_name(run: Path, make_ticket: MakeTicket) -> None:
    branch = run / "level_1" / "lottery_branch_stretch"
    deeper = make_ticket("resnet14-w2", density=0.8)
    write_level(branch, deeper, ("ep0_it2",))
    with pytest.raises(BundleError, match=r"blocks\.[345].*a branch may be of another network, which --arch says"):
        import_ticket("open-lth", branch)
    assert same_values(import_ticket("open-lth", branch, arch="resnet14-w2").ticket, deeper)


@pytest.mark.parametrize(
    ("name", "model", "prefix"),
    [
        ("imagenet-resnet18-w2", "imagenet_resnet_18_2", "model."),
        ("vgg11-w2", "cifar_vgg_11_2", ""),
        ("mlp-784-5-5-4-10", "mnist_lenet_5_5_4", ""),
    ],
)
def test_other_families_come_in(name: str, model: str, prefix: str, make_ticket: MakeTicket, tmp_path: Path) -> None:
    level = tmp_path / "replicate_1" / "level_0" / "main"
    ticket = make_ticket(name, density=0.4)
    write_level(level, ticket, ("ep0_it0",), prefix=prefix)
    ignored = "" if "fc.weight" in ticket.mask else "\n    * pruning_layers_to_ignore => fc.weight"
    (level / "hparams.log").write_text(HPARAMS.format(model=model, ignored=ignored))
    imported = import_ticket("open-lth", level).ticket
    assert same_values(imported, ticket)
    assert imported.weights == Weights(role="init", step=0)


def test_classes_and_channels_are_the_tensors_own(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket(num_classes=7, in_channels=1)
    export_ticket("open-lth", ticket, tmp_path / "out")
    imported = import_ticket("open-lth", tmp_path / "out").ticket
    assert (imported.arch.num_classes, imported.arch.in_channels) == (7, 1)
    assert same_values(imported, ticket)


@pytest.mark.parametrize(
    ("steps", "logged", "expected"),
    [
        (("ep5_it0", "ep90_it0"), [(6255, 0.3), (112590, 0.7)], 6255),
        (("ep1_it3", "ep2_it1"), [(13, 0.1), (21, 0.2)], 13),
        (("ep0_it7", "ep2_it1"), [], 7),
    ],
)
def test_steps_in_epochs_take_their_length_from_the_logger(
    run: Path, make_ticket: MakeTicket, steps: tuple[str, ...], logged: list[tuple[int, float]], expected: int
) -> None:
    level = run / "level_2" / "main"
    write_level(level, make_ticket(density=0.5), steps)
    (level / "logger").write_text(log(*logged))
    assert import_ticket("open-lth", level).ticket.weights == Weights(role="rewind", step=expected)


def test_a_step_that_nothing_says_must_be_given(run: Path, make_ticket: MakeTicket) -> None:
    level = run / "level_2" / "main"
    write_level(level, make_ticket(density=0.5), ("ep5_it0", "ep90_it0"))
    with pytest.raises(BundleError, match=r"must be given with --step .*model_ep5_it0\.pth"):
        import_ticket("open-lth", level)
    assert import_ticket("open-lth", level, step=6255).ticket.weights.step == 6255
    assert import_ticket("open-lth", level, weights="final").ticket.weights == Weights(role="final")


def test_a_round_trip_is_exact(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket()
    exported = export_ticket("open-lth", ticket, tmp_path / "out")
    assert [path.name for path in exported.paths] == ["mask.pth", "model_ep0_it14.pth", "hparams.log"]
    assert sorted((tmp_path / "out").iterdir()) == sorted(exported.paths)
    imported = import_ticket("open-lth", tmp_path / "out").ticket
    assert same_values(imported, ticket)
    assert imported.weights == ticket.weights
    save_ticket(imported, tmp_path / "back.st")
    assert load_ticket(tmp_path / "back.st") == imported


def test_what_is_exported_equals_what_was_imported(run: Path, tmp_path: Path) -> None:
    for level, role in (("level_0", "rewind"), ("level_1", "rewind"), ("level_1", "final")):
        imported = import_ticket("open-lth", run / level / "main", weights=role)  # type: ignore[arg-type]
        out = tmp_path / f"{level}-{role}"
        export_ticket("open-lth", imported.ticket, out)
        for name in ("mask.pth", imported.source.name):
            theirs: dict[str, Any] = torch.load(run / level / "main" / name, weights_only=True)
            ours: dict[str, Any] = torch.load(out / name, weights_only=True)
            assert list(ours) == list(theirs)
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
            assert all(ours[key].dtype == theirs[key].dtype for key in theirs)


@pytest.mark.parametrize("name", ["resnet8-w2", "vgg11-w2"])
@pytest.mark.parametrize("with_head", [False, True])
def test_whether_the_head_is_prunable_survives(
    name: str, with_head: bool, make_ticket: MakeTicket, tmp_path: Path
) -> None:
    plain = make_ticket(name)
    masks = {key: mask for key, mask in plain.mask.items() if key != "fc.weight"}
    if with_head:
        masks["fc.weight"] = np.ones(plain.tensors["fc.weight"].shape, dtype=np.bool_)
    ticket = make_ticket(name, mask=type(plain.mask)(masks))
    export_ticket("open-lth", ticket, tmp_path / "out")
    assert set(torch.load(tmp_path / "out" / "mask.pth")) == {e.name for e in ticket.arch.state() if e.prunable}
    assert same_values(import_ticket("open-lth", tmp_path / "out").ticket, ticket)


def test_trained_weights_go_out_with_a_note(make_ticket: MakeTicket, tmp_path: Path) -> None:
    exported = export_ticket("open-lth", make_ticket(weights=Weights(role="final")), tmp_path / "out")
    assert exported.paths[1].name == "model_ep0_it0.pth"
    assert exported.notes == (
        "trained weights alone in a folder are read back as rewound ones, and as no step is known, of step 0",
    )


def test_nothing_is_overwritten_unasked(make_ticket: MakeTicket, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_ticket("open-lth", make_ticket(), out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(BundleError, match="must not be overwritten"):
        export_ticket("open-lth", make_ticket(seed=1), out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    export_ticket("open-lth", make_ticket(seed=1), out, overwrite=True)
    assert same_values(import_ticket("open-lth", out).ticket, make_ticket(seed=1))


def test_a_model_of_another_step_stays_alone(make_ticket: MakeTicket, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_ticket("open-lth", make_ticket(), out)
    with pytest.raises(BundleError, match=r"no model of another step \(got model_ep0_it14\.pth\)"):
        export_ticket("open-lth", make_ticket(weights=Weights(role="rewind", step=3)), out, overwrite=True)


def test_a_failed_export_leaves_nothing(
    make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(BundleError, match="No space left on device"):
        export_ticket("open-lth", make_ticket(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_places_that_do_not_do_are_refused(make_ticket: MakeTicket, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="must be exported to a folder"):
        export_ticket("open-lth", make_ticket(), tmp_path / "file")
    with pytest.raises(BundleError, match="writable place"):
        export_ticket("open-lth", make_ticket(), tmp_path / "no" / "such" / "folder")
    with pytest.raises(BundleError, match="can build"):
        export_ticket("open-lth", make_ticket("resnet8-w2-pad"), tmp_path / "pad")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_errors_name_the_file(run: Path, make_ticket: MakeTicket) -> None:
    level = run / "level_1" / "main"
    with pytest.raises(BundleError, match=r"must hold mask\.pth .*nowhere"):
        import_ticket("open-lth", run / "nowhere")
    with pytest.raises(ArchError, match="nearest"):
        import_ticket("open-lth", level, arch="resnet21")
    with pytest.raises(BundleError, match=r"cifar-resnet14-w2 only \(got 'blocks\.1\.shortcut.*pth$"):
        import_ticket("open-lth", level, arch="resnet14-w2")
    with pytest.raises(BundleError, match=r"must have shape \(4, 3, 3, 3\) \(got \(2, 3, 3, 3\)\).*main$"):
        import_ticket("open-lth", level, arch="resnet8-w4")
    with pytest.raises(BundleError, match="must be 'rewind' or 'final'"):
        import_ticket("open-lth", level, weights="init")
    (level / "model_ep0_it8.pth").unlink()
    with pytest.raises(BundleError, match="final weights must be there"):
        import_ticket("open-lth", level, weights="final")
    masks = torch.load(level / "mask.pth")
    torch.save(masks | {"fc.weight": masks["fc.weight"] * 2}, level / "mask.pth")
    with pytest.raises(BundleError, match=r"mask of fc\.weight must hold zeros and ones only"):
        import_ticket("open-lth", level)
    torch.save(masks | {"fc.bias": torch.zeros(10, dtype=torch.int32)}, level / "mask.pth")
    with pytest.raises(BundleError, match=r"fc\.bias"):
        import_ticket("open-lth", level)
    torch.save(masks | {"fc.weight": masks["fc.weight"][:5]}, level / "mask.pth")
    with pytest.raises(BundleError, match=r"mask of fc\.weight must have its shape"):
        import_ticket("open-lth", level)
    (level / "model_ep0_it2.pth").unlink()
    with pytest.raises(BundleError, match=r"must hold model_epE_itI\.pth"):
        import_ticket("open-lth", level)


def test_a_folder_without_its_run_needs_the_networks_name(make_ticket: MakeTicket, tmp_path: Path) -> None:
    write_level(tmp_path / "alone", make_ticket(), ("ep0_it14",))
    with pytest.raises(BundleError, match="must be named with --arch"):
        import_ticket("open-lth", tmp_path / "alone")
    ticket = import_ticket("open-lth", tmp_path / "alone", arch="resnet8-w2").ticket
    assert same_values(ticket, make_ticket())
    assert (ticket.provenance.method, ticket.provenance.level) == ("imported", None)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("hparams.log", "\x00\x01 nonsense\n    * a => b"),
        ("logger", "test_accuracy,8,1e\ntest_accuracy,8,7\nno"),
        ("sparsity_report.json", "[1, 2]"),
        ("sparsity_report.json", "[" * 100_000),
        ("sparsity_report.json", '{"unpruned": 1e999, "total": 3}'),
    ],
)
def test_odd_texts_around_it_do_no_harm(run: Path, file: str, text: str) -> None:
    (run / "level_1" / "main" / file).write_text(text)
    ticket = import_ticket("open-lth", run / "level_1" / "main", arch="resnet8-w2").ticket
    assert ticket.document["id"] == ticket.id
