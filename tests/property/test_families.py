"""What holds for every network of every family: its names, its layers, and its tickets' ways to other depths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.arch.spec import LIMITS
from ticketkit.errors import ArchError
from ticketkit.stretch import POLICIES, StageMap, plan_stretch, stretch_ticket
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]

small = st.integers(1, 8)


@st.composite
def mlp_variants(draw: st.DrawFn, width: int) -> str:
    runs = draw(st.lists(st.tuples(small, st.integers(1, 7)), max_size=3))
    text = f"mlp-1-{width}" + "".join(f"-{features}x{count}" for features, count in runs) + "-1"
    return parse_arch(text).variant


@st.composite
def specs(draw: st.DrawFn, *, widths: st.SearchStrategy[int] = small, deepest: int = 60) -> ArchSpec:
    """Any network of any family; those that no family has are left out."""
    family = FAMILIES[draw(st.sampled_from(sorted(FAMILIES)))]
    width = draw(st.one_of(widths, st.just(family.default_width)))
    variants = {
        "vgg": st.sampled_from(["", "fc2", "fc3", "fc10"]),
        "vit": st.sampled_from(["", "p2", "p8", "i8", "i64", "p16-i224"]),
        "mlp": mlp_variants(width),
    }
    depths = [depth for depth in range(1, deepest) if family.has_depth(depth)]
    try:
        return ArchSpec(
            family=family.name,
            depth=draw(st.sampled_from(depths)),
            width=width,
            num_classes=draw(small),
            in_channels=draw(small),
            variant=draw(variants.get(family.name, st.sampled_from(family.variants))),
        )
    except ArchError:
        assume(False)
        raise


@given(spec=specs(widths=st.integers(1, LIMITS["width"]), deepest=300))
def test_every_network_has_one_name_which_reads_back(spec: ArchSpec) -> None:
    numbers = {"num_classes": spec.num_classes, "in_channels": spec.in_channels}
    for name in (spec.name, spec.short_name, spec.name.upper()):
        assert parse_arch(name, **numbers) == spec
    # Within the family, the short label does as well, and so it does for the defaults of a ticket of that width.
    label = FAMILIES[spec.family].short + FAMILIES[spec.family].write(spec)
    assert parse_arch(label, within=spec.family, **numbers) == spec


@given(text=st.from_regex(r"(mlp|vit|vgg|mobilenetv1|resnet|cifar-resnet)[a-z0-9-]{0,12}", fullmatch=True))
def test_a_text_is_a_network_or_one_line(text: str) -> None:
    message, spec = "", None
    try:
        spec = parse_arch(text)
    except ArchError as error:
        message = str(error)
    assert message.isprintable()
    if spec is not None:
        assert parse_arch(spec.name, num_classes=spec.num_classes, in_channels=spec.in_channels) == spec


@given(spec=specs())
def test_layers_hold_together(spec: ArchSpec) -> None:
    layers = spec.layers()
    assert [layer.index for layer in layers] == list(range(len(layers)))
    names = [entry.name for entry in spec.state()]
    assert len(set(names)) == len(names)
    assert all(count >= 1 for count in spec.stages)
    assert len(spec.entries) == len(spec.stages)
    places = {(layer.stage, layer.unit) for layer in layers if layer.stage is not None}
    assert places == {(stage, unit) for stage, count in enumerate(spec.stages) for unit in range(count)}
    assert {layer.role for layer in layers if layer.stage is None} <= {"stem", "fixed", "head"}
    assert {layer.role for layer in layers if layer.unit} <= {"unit"}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[ArchSpec, ArchSpec]:
    """Two small networks that differ in depth alone."""
    source = draw(specs(widths=st.integers(1, 3), deepest=27).filter(lambda spec: spec.parameters < 40_000))
    family = FAMILIES[source.family]
    depths = [depth for depth in range(1, 36) if family.has_depth(depth)]
    fields = {name: getattr(source, name) for name in ("family", "width", "num_classes", "in_channels", "variant")}
    try:
        target = ArchSpec(depth=draw(st.sampled_from(depths)), **fields)
    except ArchError:
        assume(False)
        raise
    pairs = list(zip(source.entries, source.stages, target.stages, strict=True))
    assume(not any(wanted > found == entry for entry, found, wanted in pairs))  # nothing there to replicate
    return source, target


def _arrays(ticket: Ticket) -> list[np.ndarray]:
    return [content for stored in ticket.stored.values() for _, content in stored.parts()]


def _named(spec: ArchSpec) -> dict[str, object]:
    return {"arch_name": spec.name, "num_classes": spec.num_classes, "in_channels": spec.in_channels}


@given(pair=pairs(), order=st.sampled_from(sorted(POLICIES)), seed=st.integers(0, 3))
def test_any_depth_to_any_other(
    make_ticket: MakeTicket, pair: tuple[ArchSpec, ArchSpec], order: str, seed: int
) -> None:
    source, target = pair
    ticket = make_ticket(**_named(source), seed=seed)
    result = stretch_ticket(ticket, target, order=order)
    assert list(result.stored) == [entry.name for entry in target.state()]
    stages = plan_stretch(source, target, order=order).stages
    places = {(layer.stage, layer.unit): [] for layer in source.layers()}
    for entry in source.state():
        places[entry.layer.stage, entry.layer.unit].append(entry.name)
    taken: dict[tuple[int | None, int | None], int] = {}
    for entry in target.state():
        stage, unit = place = (entry.layer.stage, entry.layer.unit)
        origin = place if stage is None else (stage, stages[stage][unit])
        position = taken.get(place, 0)
        taken[place] = position + 1
        assert result.stored[entry.name] is ticket.stored[places[origin][position]]
    assert result.kept == sum(int(mask.sum()) for mask in result.mask.values())
    if source == target:
        assert same_values(result, ticket)
    for name, array in result.tensors.items():
        assert not any(np.shares_memory(array, other) for other in (result.tensors[name], *_arrays(ticket)))


@given(pair=pairs(), seed=st.integers(0, 3))
def test_append_and_back_is_the_source(make_ticket: MakeTicket, pair: tuple[ArchSpec, ArchSpec], seed: int) -> None:
    source, target = pair
    assume(all(wanted >= found for found, wanted in zip(source.stages, target.stages, strict=True)))
    ticket = make_ticket(**_named(source), seed=seed)
    deep = stretch_ticket(ticket, target, order="append")
    assert same_values(stretch_ticket(deep, source), ticket)


@given(pair=pairs(), seed=st.integers(0, 3))
def test_a_plan_given_as_a_mapping_does_the_same(
    make_ticket: MakeTicket, pair: tuple[ArchSpec, ArchSpec], seed: int
) -> None:
    source, target = pair
    ticket = make_ticket(**_named(source), seed=seed)
    stage_map = plan_stretch(source, target)
    by_map = stretch_ticket(ticket, target, mapping=StageMap(stage_map.stages))
    assert same_values(by_map, stretch_ticket(ticket, target))
    assert same_values(by_map, stretch_ticket(ticket, target, mapping=str(stage_map)))
