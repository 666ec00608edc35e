"""What every registered family must keep: its data are its torch model, and tickets of it stretch exactly.

Where a stretch is checked, the oracle is a table of which source unit each target unit must come from, written by hand,
and one regular expression that finds the unit in a tensor's name. It knows nothing of stages, plans or the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, StretchError
from ticketkit.find import find_ticket
from ticketkit.models import MODELS, build_model, export_tensors, initialise, instantiate
from ticketkit.recipe import Recipe
from ticketkit.stretch import POLICIES, StageMap, plan_stretch, stretch_ticket
from ticketkit.ticket import Ticket, same_values
from ticketkit.train import Compute, check_fits

MakeTicket = Callable[..., Ticket]

EXAMPLES = [name for family in FAMILIES.values() for name in family.examples]
SMALL = {family.name: family.examples[-1] for family in FAMILIES.values()}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def image_shape(arch: ArchSpec) -> tuple[int, int, int]:
    """Some shape of images that a network takes."""
    family = FAMILIES[arch.family]
    size = family.image_size(arch) or 16
    shape = (arch.in_channels, size, size)
    return shape if family.image_channels(shape) == arch.in_channels else (arch.in_channels, 1, 1)


# --- the data are the model


@pytest.mark.parametrize("name", EXAMPLES)
def test_names_shapes_types_and_order_are_the_models(name: str) -> None:
    arch = parse_arch(name, num_classes=7)
    with torch.device("meta"):
        model = build_model(arch)
    dtypes = {torch.float32: "F32", torch.int64: "I64"}
    found = [(key, tuple(value.shape), dtypes[value.dtype]) for key, value in model.state_dict().items()]
    assert found == [(entry.name, entry.tensor.shape, entry.tensor.dtype) for entry in arch.state()]
    trainable = [entry.name for entry in arch.state() if entry.tensor.trainable]
    assert [key for key, _ in model.named_parameters()] == trainable
    assert sum(value.numel() for value in model.parameters()) == arch.parameters


@pytest.mark.parametrize("name", EXAMPLES)
def test_layers_are_modules_and_kinds_say_which(name: str) -> None:
    kinds = {
        "conv2d": torch.nn.Conv2d,
        "linear": torch.nn.Linear,
        "batch_norm": torch.nn.BatchNorm2d,
        "layer_norm": torch.nn.LayerNorm,
        "attention": torch.nn.MultiheadAttention,
        "embedding": torch.nn.Module,
    }
    arch = parse_arch(name)
    with torch.device("meta"):
        model = build_model(arch)
    for layer in arch.layers():
        assert isinstance(model.get_submodule(layer.name), kinds[layer.kind])
    weights = {key for key, value in model.named_parameters() if value.dim() > 1}
    embeddings = {entry.name for entry in arch.state() if entry.layer.kind == "embedding"}
    assert set(arch.prunable_names(prune_head=True)) == weights - embeddings


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_forward_pass_gives_logits_and_every_parameter_a_gradient(name: str) -> None:
    arch = parse_arch(name, num_classes=10)
    torch.manual_seed(0)
    model = build_model(arch)
    logits = model(torch.randn(3, *image_shape(arch)))
    assert logits.shape == (3, arch.num_classes)
    functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if key in arch.prunable_names(prune_head=True):
            assert parameter.grad.any(), key


# An MLP's name says what goes in; all others take what they are told.
@pytest.mark.parametrize("name", [name for name in EXAMPLES if parse_arch(name, in_channels=1).in_channels == 1])
def test_input_channels_are_the_specs(name: str) -> None:
    arch = parse_arch(name, in_channels=1)
    model = build_model(arch).eval()
    assert model(torch.zeros(2, *image_shape(arch))).shape == (2, arch.num_classes)


@pytest.mark.parametrize("name", EXAMPLES)
def test_initial_weights_follow_the_seed_alone(name: str) -> None:
    arch = parse_arch(name)
    torch.manual_seed(1)
    first = initialise(arch, 5)
    state = torch.get_rng_state()
    again = initialise(arch, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert [(key, value.shape) for key, value in first.items()] == [
        (entry.name, entry.tensor.shape) for entry in arch.state()
    ]
    assert all(np.isfinite(value).all() for value in first.values())
    assert all(first[key].tobytes() == again[key].tobytes() for key in first)
    other = initialise(arch, 6)
    heads = {entry.name for entry in arch.state() if entry.layer.role == "head"}  # a transformer's starts at zero
    assert all(not np.array_equal(first[key], other[key]) for key in set(arch.prunable_names()) - heads)
    exported = export_tensors(instantiate(arch, first))
    assert all(exported[key].tobytes() == first[key].tobytes() for key in first)


def test_families_and_models_are_the_same() -> None:
    assert list(FAMILIES) == list(MODELS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_units_of_a_stage_are_alike_but_for_its_entry(name: str) -> None:
    arch = parse_arch(name)
    units: dict[tuple[int, int], list[tuple]] = {}
    for layer in arch.layers():
        if layer.stage is not None:
            shape = (layer.kind, *((tensor.name, tensor.shape, tensor.dtype) for tensor in layer.tensors))
            units.setdefault((layer.stage, layer.unit), []).append(shape)
    assert len(arch.stages) == len(arch.entries) >= 1
    for stage, (count, entry) in enumerate(zip(arch.stages, arch.entries, strict=True)):
        alike = [units[stage, unit] for unit in range(int(entry), count)]
        assert all(unit == alike[0] for unit in alike)


# --- stretching


@dataclass(frozen=True)
class Case:
    """A stretch by appending: what of the target comes from where; what is not named has its own name's source."""

    source: str
    target: str
    origin: Mapping[str, str]


def _numbered(name: str, sources: list[int], *, to: int = 0, of: int = 0) -> dict[str, str]:
    """``name`` with ``{}`` for the number: target ``to`` + position comes from source ``of`` + unit."""
    return {name.format(to + place): name.format(of + unit) for place, unit in enumerate(sources)}


CASES = [
    Case(
        "resnet14-w2",
        "resnet32",
        _numbered("blocks.{}", [0, 1, 1, 1, 1])
        | _numbered("blocks.{}", [0, 1, 1, 1, 1], to=5, of=2)
        | _numbered("blocks.{}", [0, 1, 1, 1, 1], to=10, of=4),
    ),
    Case(
        "resnet18-w2",
        "resnet34",
        _numbered("layer1.{}", [0, 1, 1])
        | _numbered("layer2.{}", [0, 1, 1, 1])
        | _numbered("layer3.{}", [0, 1, 1, 1, 1, 1])
        | _numbered("layer4.{}", [0, 1, 1]),
    ),
    Case(
        "imagenet-resnet26-w2",
        "34",
        _numbered("layer1.{}", [0, 1, 1])
        | _numbered("layer2.{}", [0, 1, 2, 1])
        | _numbered("layer3.{}", [0, 1, 2, 3, 1, 2])
        | _numbered("layer4.{}", [0, 1, 2, 1]),
    ),
    Case(
        "resnet50-w1",
        "101",
        _numbered("layer3.{}", [0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]),
    ),
    Case(
        "vgg13-w2",
        "vgg19",  # convolutions and poolings are numbered together
        _numbered("layers.{}", [0, 1])
        | _numbered("layers.{}", [0, 1], to=3, of=3)
        | _numbered("layers.{}", [0, 1, 1, 1], to=6, of=6)
        | _numbered("layers.{}", [0, 1, 1, 1], to=11, of=9)
        | _numbered("layers.{}", [0, 1, 1, 1], to=16, of=12),
    ),
    Case(
        "vgg13-w2-fc2",
        "vgg13-fc4",
        {"classifier.0": "classifier.0", "classifier.2": "classifier.0", "classifier.4": "classifier.0"},
    ),
    Case("vgg11-w2-fc3", "vgg11-fc4", {"classifier.4": "classifier.0"}),
    Case(
        "mobilenetv1-3-w1",
        "mobilenetv1-7",
        _numbered("layers_part2.{}", [0, 1, 2, 0, 1, 2, 0]),
    ),
    Case("mobilenetv1-1-w1", "3", _numbered("layers_part2.{}", [0, 0, 0])),
    Case(
        "mlp-20-8-8-5-10",
        "mlp-20-8-8-8-8-5-10",
        _numbered("fc_layers.{}", [0, 1, 1, 1]) | {"fc_layers.4": "fc_layers.2"},
    ),
    Case("mlp-20-8-8-8-10", "7", _numbered("fc_layers.{}", [0, 1, 2, 1, 2, 1])),
    Case("mlp-20-8-5-5-5-4-10", "mlp-20-8-5x6-4-10", _numbered("fc_layers.{}", [0, 1, 2, 3, 2, 3, 2, 4])),
    Case(
        "vit3-w4-p2-i8",
        "5",
        _numbered("encoder.layers.encoder_layer_{}", [0, 1, 2, 0, 1]),
    ),
]

_UNIT = re.compile(
    r"(blocks\.\d+|layer\d\.\d+|layers\.\d+|classifier\.\d+|layers_part2\.\d+|fc_layers\.\d+"
    r"|encoder\.layers\.encoder_layer_\d+)(\..+)"
)


def origin_of(name: str, case: Case) -> str:
    match = _UNIT.fullmatch(name)
    return case.origin.get(match[1], match[1]) + match[2] if match else name


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}-{case.target}")
def test_every_target_tensor_is_the_oracles(case: Case, make_ticket: MakeTicket) -> None:
    source = make_ticket(case.source, seed=3)
    result = stretch_ticket(source, case.target, order="append")
    assert result.arch.stages > source.arch.stages
    assert list(result.stored) == [entry.name for entry in result.arch.state()]
    before, kept = source.tensors, 0
    for name, array in result.tensors.items():
        origin = origin_of(name, case)
        assert array.tobytes() == before[origin].tobytes(), (name, origin)
        assert (name in result.mask) == (origin in source.mask)
        if name in result.mask:
            assert np.array_equal(result.mask[name], source.mask[origin])
            kept += int(source.mask[origin].sum())
    assert result.kept == kept
    instantiate(result.arch, result.tensors)  # and a model takes them all


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}-{case.target}")
def test_squeezing_what_was_appended_gives_the_source_back(case: Case, make_ticket: MakeTicket) -> None:
    source = make_ticket(case.source, seed=4)
    deep = stretch_ticket(source, case.target, order="append")
    assert not same_values(deep, source)
    assert same_values(stretch_ticket(deep, source.arch), source)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}-{case.target}")
@pytest.mark.parametrize("order", sorted(POLICIES))
def test_the_same_network_is_the_identity(case: Case, order: str, make_ticket: MakeTicket) -> None:
    source = make_ticket(case.source, seed=5)
    for to in (source.arch, source.arch.name, source.arch.short_name, str(source.arch.depth)):
        assert same_values(stretch_ticket(source, to, order=order), source)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}-{case.target}")
def test_a_mapping_that_does_not_cover_is_refused(case: Case, make_ticket: MakeTicket) -> None:
    source = make_ticket(case.source)
    target = stretch_ticket(source, case.target).arch
    stages = plan_stretch(source.arch, target).stages
    grown = max(range(len(stages)), key=lambda stage: len(stages[stage]))

    def changed(sources: tuple[int, ...]) -> StageMap:
        return StageMap((*stages[:grown], sources, *stages[grown + 1 :]))

    with pytest.raises(StretchError, match=f"^stage {grown}: a mapping must cover the {len(stages[grown])} units"):
        stretch_ticket(source, target, mapping=changed(stages[grown][:-1]))
    with pytest.raises(StretchError, match=f"^stage {grown}: unit .* must come from one of the .* units of"):
        stretch_ticket(source, target, mapping=changed((*stages[grown][:-1], source.arch.stages[grown])))
    moved = changed((*stages[grown][:-1], 0))
    if source.arch.entries[grown]:
        with pytest.raises(StretchError, match=f"^stage {grown}: the first unit never moves"):
            stretch_ticket(source, target, mapping=moved)
    else:
        assert stretch_ticket(source, target, mapping=moved).arch == target


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("resnet34-w2", "resnet50", "in depth alone .* bottlenecks instead of basic blocks"),
        ("resnet18-w2", "cifar-resnet20", "in depth alone"),
        ("resnet20-w2", "vgg16", "in depth alone"),
        ("vgg13-w2", "vgg13-fc2", "hidden linear layers instead of no hidden linear layer"),
        ("vgg11-w2", "vgg13", "stage 0: there must be a unit to replicate"),
        ("vgg13-w2", "vgg16-w4", "in depth alone"),
        ("mlp-20-8-8-5-10", "mlp-20-8-8-10", "8 instead of 8 then 5"),
        ("mlp-20-8-8-5-10", "mlp-20-8-8-8-5-9", "in depth alone"),
        ("mlp-20-8-5-10", "mlp-20-8-8-5-10", "stage 0: there must be a unit to replicate"),
        ("vit3-w4-p2-i8", "vit-tiny12", "in depth alone"),
    ],
)
def test_a_target_of_another_design_is_refused(source: str, target: str, message: str, make_ticket: MakeTicket) -> None:
    with pytest.raises(StretchError, match=message):
        stretch_ticket(make_ticket(source), target)


def test_the_authors_mapping_for_mobilenet_reads_as_it_stands(make_ticket: MakeTicket) -> None:
    source = make_ticket("mobilenetv1-3-w1")
    result = stretch_ticket(source, "5", mapping="0:0,1;1:2;2:3,4")
    for number, origin in enumerate([0, 0, 1, 2, 2]):
        weight = result.tensors[f"layers_part2.{number}.conv1.weight"]
        assert np.array_equal(weight, source.tensors[f"layers_part2.{origin}.conv1.weight"])


# --- the rest of the house works on each family as it stands


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_bundle_holds_it(family: str, make_ticket: MakeTicket, tmp_path) -> None:
    ticket = make_ticket(SMALL[family])
    save_ticket(ticket, tmp_path / "t.st")
    assert load_ticket(tmp_path / "t.st") == ticket


def _images(arch: ArchSpec, *, size: int | None = None) -> ImageData:
    channels, height, width = image_shape(arch)
    if size is not None:
        height = width = size
    random = np.random.default_rng(0)
    labels = np.arange(24, dtype=np.int64) % arch.num_classes
    images = random.integers(0, 256, (24, channels, height, width), dtype=np.uint8)
    return ImageData(
        name="made",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        classes=tuple(f"class {number}" for number in range(arch.num_classes)),
    )


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_ticket_of_it_is_found(family: str) -> None:
    arch = parse_arch(SMALL[family], num_classes=10)
    recipe = Recipe(name="tiny", epochs=1, batch=8, lr=0.01, crop=0, flip=False, rewind="1it")
    ticket = find_ticket(arch, _images(arch), recipe, levels=1, device=Compute())
    assert ticket.arch == arch
    assert ticket.kept == ticket.total - round(0.2 * ticket.total)
    assert set(ticket.mask) == set(arch.prunable_names())


def test_a_family_says_what_images_it_takes() -> None:
    perceptron = parse_arch("mlp-64-16-16-10")
    check_fits(perceptron, _images(parse_arch("resnet8", in_channels=1), size=8))
    with pytest.raises(ArchError, match=r"^in_channels of mlp-64-16-16-10 must be 192, as in made \(got 64\)$"):
        check_fits(perceptron, _images(parse_arch("resnet8"), size=8))
    transformer = parse_arch("vit2-w16-p2-i8")
    check_fits(transformer, _images(transformer))
    with pytest.raises(ArchError, match=r"^the image size of vit2-w16-p2-i8 must be 16×16, as in made \(got 8×8\)$"):
        check_fits(transformer, _images(transformer, size=16))
