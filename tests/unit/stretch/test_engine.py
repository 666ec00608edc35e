"""The engine: what it moves, what it writes down, and every way it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from ticketkit.arch import FAMILIES, ArchSpec, Family, LayerList
from ticketkit.errors import ArchError, StretchError
from ticketkit.mask import Mask
from ticketkit.provenance import LevelResult, Provenance, Results, Weights
from ticketkit.stretch import StageMap, explain_plan, stretch_ticket
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]


@pytest.fixture
def odd_family() -> Iterator[Callable[[str], Ticket]]:
    """Tickets of a family whose unit 2 differs from unit 1: in number of layers, in kind or in shape."""

    def layers(spec: ArchSpec) -> tuple:
        net = LayerList()
        net.at("stem")
        net.conv2d("stem", spec.width, spec.in_channels, 1)
        for unit in range(spec.depth):
            net.at("unit" if unit else "entry", 0, unit)
            odd = unit == 2
            if odd and spec.variant == "kind":
                net.linear(f"u{unit}", spec.width, spec.width, bias=False)
            else:
                net.conv2d(f"u{unit}", spec.width, spec.width, 3 if odd and spec.variant == "shape" else 1)
            if odd and spec.variant == "count":
                net.batch_norm(f"u{unit}norm", spec.width)
        net.at("head")
        net.linear("head", spec.num_classes, spec.width)
        return tuple(net.layers)

    family = Family(
        name="odd",
        short="odd",
        default_width=2,
        prunes_head=True,
        variants=("", "count", "kind", "shape"),
        has_depth=bool,
        depths="any",
        layers=layers,
    )

    def make(variant: str) -> Ticket:
        arch = ArchSpec(family="odd", depth=3, width=2, variant=variant)
        state = {
            entry.name: np.zeros(entry.tensor.shape, dtype=np.int64 if entry.tensor.dtype == "I64" else np.float32)
            for entry in arch.state()
        }
        mask = Mask({name: np.ones(state[name].shape, dtype=np.bool_) for name in arch.prunable_names()})
        return Ticket.from_arrays(arch, state, mask, weights=Weights(role="init"), provenance=Provenance(method="test"))

    FAMILIES.register("odd", family)
    yield make
    del FAMILIES._values["odd"]


def test_units_move_whole_and_nothing_is_decoded(make_ticket: MakeTicket) -> None:
    source = make_ticket("resnet20-w2")
    result = stretch_ticket(source, "resnet32")
    assert list(result.stored) == [entry.name for entry in result.arch.state()]
    # Stage 1 of the target begins at block 5, of the source at block 3; its units come from 0, 1, 2, 1, 2.
    for target, origin in ((0, 0), (3, 1), (4, 2), (5, 3), (6, 4), (7, 5), (8, 4), (9, 5), (10, 6), (14, 8)):
        for name in result.stored:
            if name.startswith(f"blocks.{target}."):
                assert result.stored[name] is source.stored[name.replace(f"blocks.{target}.", f"blocks.{origin}.")]
    for name in ("conv.weight", "bn.running_mean", "bn.num_batches_tracked", "fc.weight", "fc.bias"):
        assert result.stored[name] is source.stored[name]


def test_the_result_says_where_it_comes_from(make_ticket: MakeTicket) -> None:
    results = Results(levels=(LevelResult(level=0, kept=10, total=10, accuracy=0.5),))
    source = make_ticket("resnet14-w2", results=results)
    source = replace(source, provenance=replace(source.provenance, created="2026-01-01T00:00:00Z"))
    deep = stretch_ticket(source, "resnet26", order="interpolate")
    back = stretch_ticket(deep, "20", drop=[3])
    assert deep.provenance.parent == source.id
    assert back.provenance.parent == deep.id
    first, second = back.provenance.transformations
    assert (first.parent, first.source, first.target) == (source.id, "cifar-resnet14-w2", "cifar-resnet26-w2")
    assert (first.kind, first.order, first.mapping) == ("stretch", "interpolate", "0:0;1:1,2,3|0:0;1:1,2,3|0:0;1:1,2,3")
    assert (second.parent, second.order, second.mapping) == (deep.id, "explicit", "0:0;1:1;2:2|0:0;1:1;2:2|0:0;1:1;2:2")
    assert first.sparsity_before == source.sparsity
    assert first.sparsity_after == second.sparsity_before == deep.sparsity
    assert second.sparsity_after == back.sparsity
    assert (back.weights, back.provenance.dataset) == (source.weights, source.provenance.dataset)
    # What was measured with the source was not measured with the result, and the file is a new one.
    assert deep.results is None
    assert deep.provenance.created is None


@pytest.mark.parametrize(
    ("source", "to", "arguments", "order"),
    [
        ("resnet14-w2", "20", {}, "append"),
        ("resnet14-w2", "20", {"order": "interpolate"}, "interpolate"),
        ("resnet20-w2", "14", {}, "keep-early"),
        ("resnet20-w2", "14", {"order": "keep-late"}, "keep-late"),
        ("resnet20-w2", "14", {"drop": [1]}, "explicit"),
        ("resnet20-w2", "14", {"mapping": "0:0;2:1"}, "explicit"),
        ("resnet20-w2", "20", {}, "append"),
    ],
)
def test_the_order_written_down_is_the_one_that_acted(
    make_ticket: MakeTicket, source: str, to: str, arguments: dict, order: str
) -> None:
    result = stretch_ticket(make_ticket(source), to, **arguments)
    assert result.provenance.transformations[-1].order == order


@pytest.mark.parametrize(
    "mapping", ["0:0;1:1,3;2:2,4", StageMap(((0, 1, 2, 1, 2),)), "|".join(["0:0;1:1,3;2:2,4"] * 3)]
)
def test_a_mapping_can_be_given(make_ticket: MakeTicket, mapping: str | StageMap) -> None:
    source = make_ticket("resnet20-w2")
    result = stretch_ticket(source, "32", mapping=mapping)
    assert same_values(result, stretch_ticket(source, "32", order="append"))
    assert result.provenance.transformations[-1].mapping == "|".join(["0:0;1:1,3;2:2,4"] * 3)


def test_each_stage_can_have_its_own_mapping(make_ticket: MakeTicket) -> None:
    source = make_ticket("resnet14-w2")
    result = stretch_ticket(source, "20", mapping="0:0;1:1,2|0:0;1:2,1|0:0;1:1,2")
    assert result.stored["blocks.5.conv1.weight"] is source.stored["blocks.3.conv1.weight"]


def test_a_plan_can_be_explained(make_ticket: MakeTicket) -> None:
    source = make_ticket("resnet14-w2", density=0.3)
    stages = explain_plan(source, stretch_ticket(source, "8", mapping="0:0"))
    assert [(plan.stage, plan.source_units, plan.sources) for plan in stages] == [
        (0, 2, (0,)),
        (1, 2, (0,)),
        (2, 2, (0,)),
    ]
    mask = source.mask
    for plan in stages:
        before = [
            mask[name]
            for name in mask
            if name.startswith((f"blocks.{2 * plan.stage}.", f"blocks.{2 * plan.stage + 1}."))
        ]
        after = [mask[name] for name in mask if name.startswith(f"blocks.{2 * plan.stage}.")]
        for arrays, sparsity in ((before, plan.sparsity_before), (after, plan.sparsity_after)):
            pruned = sum(np.count_nonzero(~array) for array in arrays)
            assert sparsity == pytest.approx(pruned / sum(array.size for array in arrays), abs=1e-12)


@pytest.mark.parametrize(
    ("to", "mapping", "message"),
    [
        ("32", "0:0;1:1,3;2:2", "stage 0: a mapping must cover the 5 units of cifar-resnet32-w2 (got 4)"),
        ("20", "0:0;1:1;2:2,3", "stage 0: a mapping must cover the 3 units of cifar-resnet20-w2 (got 4)"),
        ("26", "0:0;1:1;2:2;3:3", "stage 0: unit 3 must come from one of the 3 units of cifar-resnet20-w2 (got 3)"),
        ("20", "0:0|0:0|0:0;1:1;2:2", "stage 0: a mapping must cover the 3 units of cifar-resnet20-w2 (got 1)"),
        ("20", "1:0;0:1;2:2", "stage 0: the first unit never moves, so 0 must map to 0 alone (got 1:0)"),
        ("20", "0:0,1;2:2", "stage 0: the first unit never moves, so 0 must map to 0 alone (got 0:1)"),
        (
            "20",
            "0:0;1:1;2:2|0:0;1:1;2:2|0:0,2;1:1",
            "stage 2: the first unit never moves, so 0 must map to 0 alone (got 0:2)",
        ),
        ("20", "0:0;1:1;2:2|0:0", "a mapping must be for one stage or for all 3 (got 2 in 0:0;1:1;2:2|0:0)"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(make_ticket: MakeTicket, to: str, mapping: str, message: str) -> None:
    with pytest.raises(StretchError, match=f"^{re.escape(message)}$"):
        stretch_ticket(make_ticket("resnet20-w2"), to, mapping=mapping)


def test_a_unit_number_below_zero_is_refused(make_ticket: MakeTicket) -> None:
    source = make_ticket("resnet14-w2")
    with pytest.raises(StretchError, match=r"^stage 0"):
        stretch_ticket(source, source.arch, mapping=StageMap(((0, -1),)))


@pytest.mark.parametrize("arguments", [{"units": [1]}, {"drop": [1]}])
def test_a_mapping_says_all(make_ticket: MakeTicket, arguments: dict[str, list[int]]) -> None:
    with pytest.raises(StretchError, match=r"^units and drop must not be given with a mapping \(it says all\)$"):
        stretch_ticket(make_ticket("resnet14-w2"), "20", mapping="0:0;1:1,2", **arguments)


def test_a_target_that_does_not_exist_is_refused(make_ticket: MakeTicket) -> None:
    with pytest.raises(ArchError, match="nearest: resnet20 or cifar-resnet26"):
        stretch_ticket(make_ticket("resnet14-w2"), "21")


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("count", "stage 0, unit 2 must have the 2 layers of its target (its source, stage 0, unit 1, has 1)"),
        ("kind", "u2 (stage 0, unit 2) must come from a linear (got u1, a conv2d)"),
        (
            "shape",
            "u2.weight (stage 0, unit 2) must have shape (2, 2, 3, 3) (got (2, 2, 1, 1) of u1.weight, stage 0, unit 1)",
        ),
    ],
)
def test_units_that_differ_do_not_stand_in_for_each_other(
    odd_family: Callable[[str], Ticket], variant: str, message: str
) -> None:
    ticket = odd_family(variant)
    with pytest.raises(StretchError, match=f"^{re.escape(message)}$"):
        stretch_ticket(ticket, ticket.arch, mapping="0:0;1:1,2")


def test_the_engine_knows_no_family(odd_family: Callable[[str], Ticket]) -> None:
    ticket = odd_family("")
    assert stretch_ticket(ticket, "5").arch.stages == (5,)
