"""What holds for every stretch, against an oracle of a few lines that knows the networks by their tensors' names."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ticketkit.stretch import POLICIES, StageMap, parse_stage_map, plan_stretch, resolve_target, stretch_ticket
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]

counts = st.integers(1, 7)
orders = st.sampled_from(sorted(POLICIES))
stretching = st.sampled_from([name for name, policy in sorted(POLICIES.items()) if policy.direction == "stretch"])
seeds = st.integers(0, 3)
unit_lists = st.lists(st.integers(0, 9_999), min_size=1, max_size=40).map(tuple)


def _origin(name: str, source_units: int, target_units: int, stages: tuple[tuple[int, ...], ...]) -> str:
    """The oracle: name of the source tensor that a target tensor must come from."""
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if match is None:
        return name
    stage, unit = divmod(int(match[1]), target_units)
    return f"blocks.{stage * source_units + stages[stage][unit]}.{match[2]}"


@st.composite
def stage_maps(draw: st.DrawFn) -> tuple[int, int, tuple[tuple[int, ...], ...]]:
    """Units of a source and of a target, and any lawful mapping of their three stages."""
    source = draw(st.integers(2, 5))
    target = draw(st.integers(1, 7))
    elastic = st.tuples(*[st.integers(1, source - 1)] * (target - 1))
    return source, target, tuple((0, *draw(elastic)) for _ in range(3))


@given(mapped=stage_maps(), seed=seeds)
def test_every_target_tensor_is_the_source_tensor_of_the_mapping(
    make_ticket: MakeTicket, mapped: tuple[int, int, tuple[tuple[int, ...], ...]], seed: int
) -> None:
    source_units, target_units, stages = mapped
    source = make_ticket(f"cifar-resnet{6 * source_units + 2}-w2", seed=seed)
    result = stretch_ticket(source, str(6 * target_units + 2), mapping=StageMap(stages))
    # Exactly once: the names are those of the network, no more and no fewer, and each has its own source's bits.
    assert list(result.stored) == [entry.name for entry in result.arch.state()]
    for name, array in result.tensors.items():
        origin = _origin(name, source_units, target_units, stages)
        assert array.tobytes() == source.tensors[origin].tobytes()
        assert array.dtype == source.tensors[origin].dtype
        assert (name in result.mask) == (origin in source.mask)
        if name in result.mask:
            np.testing.assert_array_equal(result.mask[name], source.mask[origin])


@given(mapped=stage_maps(), seed=seeds)
def test_kept_counts_and_sparsity_add_up(
    make_ticket: MakeTicket, mapped: tuple[int, int, tuple[tuple[int, ...], ...]], seed: int
) -> None:
    source_units, target_units, stages = mapped
    source = make_ticket(f"cifar-resnet{6 * source_units + 2}-w2", seed=seed, density=0.2)
    result = stretch_ticket(source, str(6 * target_units + 2), mapping=StageMap(stages))
    origins = [_origin(name, source_units, target_units, stages) for name in result.mask]
    kept = sum(int(source.mask[origin].sum()) for origin in origins)
    total = sum(source.mask[origin].size for origin in origins)
    assert (result.kept, result.total) == (kept, total) == (result.mask.kept, result.mask.total)
    assert result.sparsity == 1 - kept / total
    assert result.provenance.transformations[-1].sparsity_after == result.sparsity


@given(units=counts, order=orders, seed=seeds)
def test_the_same_depth_is_the_identity(make_ticket: MakeTicket, units: int, order: str, seed: int) -> None:
    source = make_ticket(f"cifar-resnet{6 * units + 2}-w2", seed=seed)
    assert same_values(stretch_ticket(source, source.arch, order=order), source)


@given(units=st.integers(2, 5), more=st.integers(1, 6), seed=seeds)
def test_append_then_squeeze_gives_the_source_back(make_ticket: MakeTicket, units: int, more: int, seed: int) -> None:
    source = make_ticket(f"cifar-resnet{6 * units + 2}-w2", seed=seed)
    deep = stretch_ticket(source, str(6 * (units + more) + 2), order="append")
    assert not same_values(deep, source)
    assert same_values(stretch_ticket(deep, source.arch), source)


@given(units=st.integers(2, 5), copies=st.integers(1, 3), seed=seeds)
def test_interpolate_evenly_then_alternate_gives_the_source_back(
    make_ticket: MakeTicket, units: int, copies: int, seed: int
) -> None:
    source = make_ticket(f"cifar-resnet{6 * units + 2}-w2", seed=seed)
    deep_units = 1 + (units - 1) * (1 + copies)
    deep = stretch_ticket(source, str(6 * deep_units + 2), order="interpolate")
    assert same_values(stretch_ticket(deep, source.arch, order="alternate"), source)


@given(units=st.integers(2, 6), more=st.integers(0, 12), order=st.sampled_from(["append", "interpolate"]))
def test_a_stretch_uses_every_unit_about_equally_often(
    make_ticket: MakeTicket, units: int, more: int, order: str
) -> None:
    source = make_ticket("resnet8-w2").arch
    shallow, deep = (resolve_target(source, str(6 * count + 2)) for count in (units, units + more))
    for sources in plan_stretch(shallow, deep, order=order).stages:
        uses = [sources.count(unit) for unit in range(units)]
        assert uses[0] == 1
        assert set(uses[1:]) <= {1 + more // (units - 1), 1 + -(-more // (units - 1))}
        assert uses[1:] == sorted(uses[1:], reverse=True)


@given(stages=st.lists(unit_lists, min_size=1, max_size=4).map(tuple))
def test_a_mapping_is_read_back_from_its_string(stages: tuple[tuple[int, ...], ...]) -> None:
    assert parse_stage_map(str(StageMap(stages))) == StageMap(stages)


@given(units=st.integers(2, 5), target=counts, order=orders)
def test_overall_sparsity_lies_between_the_layers(make_ticket: MakeTicket, units: int, target: int, order: str) -> None:
    source = make_ticket(f"cifar-resnet{6 * units + 2}-w2", density=0.25)
    result = stretch_ticket(source, str(6 * target + 2), order=order)
    densities = [Fraction(int(array.sum()), array.size) for array in result.mask.values()]
    assert min(densities) <= Fraction(result.kept, result.total) <= max(densities)
