"""Networks that are not the package's: what a module says of its layers, and what a registered name is good for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from ticketkit import register_network
from ticketkit.arch import FAMILIES, ArchSpec, parse_arch, spec
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.cli.app import application
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, BundleError, StretchError
from ticketkit.find import find_ticket
from ticketkit.models import MODELS, build_model, export_tensors, initialise, load_model
from ticketkit.models.describe import describe
from ticketkit.recipe import Recipe
from ticketkit.stretch import stretch_ticket
from ticketkit.stretch.adjust import Adjustments
from ticketkit.ticket import Ticket, same_values
from ticketkit.train import Compute

MakeTicket = Callable[..., Ticket]

STAGES = r"stages\.(?P<stage>\d+)\.(?P<unit>\d+)"


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride=1 if before == after else 2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        return self.shortcut(features) + self.norm(self.conv(features.relu()))


class Tower(nn.Module):
    """Two stages of blocks; what its constructor computes would not survive the meta device."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        width = arch.width
        self.stem = nn.Conv2d(arch.in_channels, width, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(before if unit == 0 else after, after) for unit in range(arch.depth)))
            for before, after in ((width, width), (width, 2 * width))
        )
        self.norm = nn.GroupNorm(1, 2 * width)
        self.head = nn.Linear(2 * width, arch.num_classes)
        scale = sum(number.item() for number in torch.linspace(0.25, 0.75, 2))
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        nn.init.constant_(self.norm.bias, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        return self.head(self.norm(features).mean((2, 3)) * self.scale)


def forget(name: str) -> None:
    """Undo a registration: for users it holds as long as the process, for tests no longer than each."""
    del FAMILIES._values[name], MODELS._values[name]
    for cached in (spec._layers, spec._state, spec._stages):
        cached.cache_clear()


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    before = set(FAMILIES)
    yield register_network
    for name in FAMILIES.keys() - before:
        forget(name)


@pytest.fixture
def tower(register: Callable[..., None]) -> ArchSpec:
    register("tower", Tower, stages=STAGES, default_width=2, residual=True, depths=range(1, 9), image_size=8)
    return parse_arch("tower2", num_classes=3, in_channels=1)


# --- what a module says


def test_layers_are_read_off_the_modules(tower: ArchSpec) -> None:
    found = [(layer.name, layer.kind, layer.role, layer.stage, layer.unit) for layer in tower.layers()]
    assert found == [
        ("stem", "conv2d", "stem", None, None),
        ("stages.0.0.conv", "conv2d", "entry", 0, 0),
        ("stages.0.0.norm", "batch_norm", "entry", 0, 0),
        ("stages.0.1.conv", "conv2d", "unit", 0, 1),
        ("stages.0.1.norm", "batch_norm", "unit", 0, 1),
        ("stages.1.0.conv", "conv2d", "entry", 1, 0),
        ("stages.1.0.norm", "batch_norm", "entry", 1, 0),
        ("stages.1.0.shortcut", "conv2d", "entry", 1, 0),
        ("stages.1.1.conv", "conv2d", "unit", 1, 1),
        ("stages.1.1.norm", "batch_norm", "unit", 1, 1),
        ("norm", "layer_norm", "fixed", None, None),
        ("head", "linear", "head", None, None),
    ]


@pytest.mark.parametrize(
    ("name", "stages", "entries"),
    [
        ("resnet14-w2", [rf"blocks\.(?P<unit>[{2 * n}-{2 * n + 1}])" for n in range(3)], True),
        ("resnet18-w2", r"layer(?P<stage>\d)\.(?P<unit>\d+)", True),
        ("mlp-20-8-8-8-10", r"fc_layers\.(?P<unit>\d+)", True),
        ("vit3-w4-p2-i8", r"encoder\.layers\.encoder_layer_(?P<unit>\d+)", False),
    ],
)
def test_it_says_of_the_packages_networks_what_their_families_say(
    name: str, stages: str | list[str], entries: bool
) -> None:
    arch = parse_arch(name)
    if name.startswith("vit"):  # the encoder holds the positions itself, so they are no layer of a unit
        found = describe(build_model(arch), stages, entries=entries)
        assert [(x.name, x.kind, x.tensors, x.unit) for x in found] == [
            (x.name, x.kind, x.tensors, x.unit) for x in arch.layers()
        ]
    else:
        assert describe(build_model(arch), stages, entries=entries) == arch.layers()


def test_state_is_the_models(tower: ArchSpec) -> None:
    found = [(name, tuple(tensor.shape)) for name, tensor in build_model(tower).state_dict().items()]
    assert found == [(entry.name, entry.tensor.shape) for entry in tower.state()]


class Own(nn.Module):
    """A module with parameters of its own."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.register_parameter(name, nn.Parameter(torch.zeros(3)))


def _net(*units: nn.Module, **others: nn.Module) -> nn.Module:
    model = nn.Module()
    model.blocks = nn.ModuleList(units)
    for name, module in others.items():
        model.add_module(name, module)
    return model


def _tied() -> nn.Module:
    model = _net(nn.Linear(2, 2), nn.Linear(2, 2))
    model.blocks[1].weight = model.blocks[0].weight
    return model


def _rooted() -> nn.Module:
    model = _net(nn.Linear(2, 2))
    model.token = nn.Parameter(torch.zeros(1))
    return model


_SAME = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_net(nn.Linear(2, 2), nn.Linear(2, 3)), r"stage 0, unit 1 is not like unit 0: blocks\.1 linear 3×2 beside bl"),
        (_net(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))), r"2 layers beside 1"),
        (
            _net(nn.Conv1d(2, 2, 1)),
            r"^a layer must be one of Conv2d, .* \(got blocks\.0, a Conv1d with weight, bias\)$",
        ),
        (
            _net(nn.BatchNorm2d(2, affine=False)),
            r"tensors of a BatchNorm2d must be .* \(got running_mean, .* of blocks",
        ),
        (
            _net(nn.LayerNorm(2, bias=False)),
            r"tensors of a LayerNorm must be weight, bias \(got weight of blocks\.0\)$",
        ),
        (_net(Own("a", "b")), r"or a module of your own with one tensor \(got blocks\.0, a Own with a, b\)$"),
        (_net(_SAME, _SAME), r"^a module must stand in the network once, .* \(got blocks\.1\.bias\)$"),
        (_tied(), r"^a parameter must be that of one layer alone \(blocks\.1\.weight is shared\)$"),
        (_rooted(), r"^a tensor of the network itself must stand in a module of its own \(got token\)$"),
        (nn.ReLU(), r"^a network must have layers with tensors \(got ReLU\)$"),
        (
            nn.ModuleDict({"fc": nn.Linear(2, 2)}),
            r"^stages must match the names of modules .*, such as 'fc' \(got 'bloc",
        ),
    ],
)
def test_a_module_that_no_ticket_can_hold_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        describe(model, r"blocks\.(?P<unit>\d+)", entries=False)


def test_what_else_a_module_may_hold() -> None:
    model = _net(
        nn.Sequential(nn.Embedding(5, 4), nn.MultiheadAttention(4, 2), nn.RMSNorm(4), nn.LayerNorm(4), Own("token"))
    )
    kinds = [layer.kind for layer in describe(model, r"blocks\.(?P<unit>\d+)", entries=False)]
    assert kinds == ["embedding", "attention", "linear", "embedding", "layer_norm", "embedding"]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("(", r"^stages must be regular expressions \(got '\(': "),
        (r"blocks\.\d+", r"^an expression for stages must have a group \(\?P<unit>…\)"),
        ([], r"^stages must have at least one regular expression"),
    ],
)
def test_stages_are_checked_at_once(stages: str, message: str, register: Callable[..., None]) -> None:
    with pytest.raises(ArchError, match=message):
        register("tower", Tower, stages=stages)
    assert "tower" not in FAMILIES
    register("tower", Tower, stages=STAGES)


def test_numbers_are_ranks_and_end_where_a_name_ends() -> None:
    model = _net(*(nn.Linear(2, 2) for _ in range(12)))
    layers = describe(model, r"blocks\.(?P<unit>[13579])", entries=False)
    assert [layer.unit for layer in layers] == [None, 0, None, 1, None, 2, None, 3, None, 4, None, None]
    with pytest.raises(ArchError, match="must match numbers"):
        describe(model, r"(?P<unit>blocks)")


# --- what its name is good for


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg", r"^a network must have a name of its own \('vgg' is taken in this process\)$"),
        ("resnet", "is taken"),
        ("Tower", r"lower-case letters, with digits or hyphens inside \(got 'Tower'\)$"),
        ("tower2", "lower-case"),
        ("", "lower-case"),
    ],
)
def test_names_that_cannot_be_are_refused(name: str, message: str, register: Callable[..., None]) -> None:
    with pytest.raises(ArchError, match=message):
        register(name, Tower, stages=STAGES)


def test_a_name_is_given_once(tower: ArchSpec) -> None:
    with pytest.raises(ArchError, match="'tower' is taken in this process"):
        register_network("tower", Tower, stages=STAGES)
    with pytest.raises(ArchError, match=r"depth of a tower must be 1, 2, … or 8 \(got tower9; nearest: tower8\)"):
        parse_arch("tower9")


def test_depths_and_builders_that_cannot_be(register: Callable[..., None]) -> None:
    for depths in (range(0), range(3)):
        with pytest.raises(ArchError, match="depths must be a range of at least one number, all from 1"):
            register("tower", Tower, stages=STAGES, depths=depths)
    register("odd-tower", lambda _: "a tower", stages=STAGES, depths=range(2, 4))
    with pytest.raises(ArchError, match=r"^what builds odd-tower must return a torch module \(got str\)$"):
        parse_arch("odd-tower2").layers()
    with pytest.raises(ArchError, match="must be 2 or 3"):
        parse_arch("odd-tower5")


def test_weights_begin_as_the_constructor_leaves_them_under_the_seed(tower: ArchSpec) -> None:
    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as executor:
        drawn = list(executor.map(lambda seed: initialise(tower, seed), [0, 1, 0, 1, 0, 1]))
    assert torch.equal(torch.random.get_rng_state(), state), "the process's generator is left alone"
    for tensors in drawn[2:]:
        assert any(all(np.array_equal(tensors[name], one[name]) for name in one) for one in drawn[:2])
    assert not np.array_equal(drawn[0]["stem.weight"], drawn[1]["stem.weight"])
    assert np.all(drawn[0]["norm.bias"] == 0.5)


def test_a_loaded_model_is_whole(tower: ArchSpec, make_ticket: MakeTicket) -> None:
    ticket = make_ticket("tower2")
    model, _ = load_model(ticket)
    assert float(model.get_buffer("scale")) == 1
    assert export_tensors(model).keys() == ticket.tensors.keys()
    with torch.device("meta"):
        assert build_model(tower).stem.weight.is_meta


def test_tickets_of_it_stretch(tower: ArchSpec, make_ticket: MakeTicket) -> None:
    ticket = make_ticket("tower3")
    deeper = stretch_ticket(ticket, "tower6")
    name = "stages.{}.{}.conv.weight"
    for unit, origin in enumerate([0, 1, 2, 1, 2, 1]):
        for stage in (0, 1):
            assert np.array_equal(deeper.tensors[name.format(stage, unit)], ticket.tensors[name.format(stage, origin)])
    assert same_values(stretch_ticket(deeper, ticket.arch), ticket)
    with pytest.raises(StretchError, match="in depth alone"):
        stretch_ticket(ticket, "tower6-w4")
    rescaled = stretch_ticket(ticket, "tower6", adjustments=Adjustments(rescale=True))
    last = "stages.0.5.norm.weight"
    assert np.array_equal(rescaled.tensors[last], deeper.tensors[last] / np.float32(3))


def test_its_file_is_read_where_the_same_network_is_known(
    tower: ArchSpec, make_ticket: MakeTicket, register: Callable[..., None], tmp_path: Path
) -> None:
    ticket, path = make_ticket("tower3"), tmp_path / "tower.st"
    save_ticket(ticket, path)
    assert load_ticket(path) == ticket
    assert "stages.1.2.conv" in CliRunner().invoke(application, ["inspect", str(path)]).output
    forget("tower")
    with pytest.raises(BundleError, match=r"\(got 'tower'\); a network of your own must be made known in this process"):
        load_ticket(path)
    register("tower", lambda arch: Tower(replace(arch, depth=1)), stages=STAGES, default_width=2)
    with pytest.raises(BundleError, match=r"a tower3 must have 8 layers \(got 16\)"):
        load_ticket(path)


def test_a_ticket_of_it_is_found(tower: ArchSpec, stripes: ImageData) -> None:
    arch = parse_arch("tower2", num_classes=2, in_channels=1)
    recipe = Recipe(name="tiny", epochs=1, batch=16, lr=0.01, crop=0, flip=False, rewind="1it")
    ticket = find_ticket(arch, stripes, recipe, levels=1, device=Compute())
    assert ticket == find_ticket(arch, stripes, recipe, levels=1, device=Compute())
    assert ticket.kept == ticket.total - round(0.2 * ticket.total)
