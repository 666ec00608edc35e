"""Tickets for a study: of exactly the number of weights that is wanted, whichever way they are stretched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.data import ImageData
from ticketkit.errors import StretchError
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Weights
from ticketkit.recipe import Recipe
from ticketkit.selection import drop_lowest
from ticketkit.stretch import stretch_ticket
from ticketkit.sweep.elastic import _pruned_until, elastic_ticket, mapping_of
from ticketkit.sweep.study import PolicyChoice
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute
from ticketkit.verify import Bench, Target

APPEND = PolicyChoice(name="append")
RATE = 0.4


def arch_of(name: str, **ends: int) -> ArchSpec:
    return parse_arch(name, **({"num_classes": 2, "in_channels": 1} | ends))


@pytest.fixture(scope="module")
def make_bench(stripes: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    """IMP on a network; its levels are trained once for all tests."""
    runs = tmp_path_factory.mktemp("runs")
    recipe = Recipe(name="tiny", epochs=2, batch=16, lr=0.05, crop=1)

    def make(name: str) -> Bench:
        arch = arch_of(name)
        return Bench(
            arch=arch,
            prunable=arch.prunable_names(),
            batches=Batches(stripes, recipe),
            compute=Compute(),
            seed=5,
            rewind_step=3,
            rate=RATE,
            runs=runs,
        )

    return make


WAYS = {
    "growing": ("resnet14-w2", "resnet32-w2", APPEND),
    "growing, interpolated": ("resnet20-w2", "resnet32-w2", replace(APPEND, order="interpolate")),
    "growing in one unit": ("resnet20-w2", "resnet44-w2", replace(APPEND, units=(2,))),
    "shrinking": ("resnet32-w2", "resnet14-w2", APPEND),
    "shrinking by hand": ("resnet20-w2", "resnet14-w2", PolicyChoice(name="by hand", mapping="0:0;2:1")),
    "the same depth": ("resnet14-w2", "resnet14-w2", APPEND),
    "permuted copies": ("resnet14-w2", "resnet32-w2", replace(APPEND, random_copies=True)),
    "rescaled copies": ("resnet14-w2", "resnet32-w2", replace(APPEND, rescale=True)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sparsity", [0.05, 0.4, 0.75, 0.93])
def test_exactly_so_many_weights_are_kept(make_bench: Callable[[str], Bench], way: str, sparsity: float) -> None:
    source, target, policy = WAYS[way]
    bench, wanted = make_bench(source), Target.at(arch_of(target), sparsity)
    elastic = elastic_ticket(bench, wanted.arch, policy, wanted.kept, seed=3)
    assert elastic.ticket.kept == wanted.kept
    assert elastic.ticket.arch == wanted.arch
    assert elastic.source.arch == bench.arch
    assert elastic.ticket.weights == Weights(role="rewind", step=3)
    last = elastic.ticket.provenance.transformations[-1]
    assert last.parent == elastic.source.id
    assert last.mapping == mapping_of(bench.arch, wanted.arch, policy)
    assert elastic.ticket == elastic_ticket(bench, wanted.arch, policy, wanted.kept, seed=3).ticket


@pytest.mark.parametrize("way", [way for way in WAYS if way != "permuted copies"])
def test_the_dense_network_holds_what_the_ticket_s_file_lacks(make_bench: Callable[[str], Bench], way: str) -> None:
    source, target, policy = WAYS[way]
    bench, wanted = make_bench(source), Target.at(arch_of(target), 0.8)
    elastic = elastic_ticket(bench, wanted.arch, policy, wanted.kept, seed=3)
    whole = stretch_ticket(
        bench.rewind_ticket(), wanted.arch, order=policy.order, units=policy.units, mapping=policy.mapping
    )
    assert elastic.dense.keys() == elastic.ticket.tensors.keys()
    for name, array in elastic.ticket.tensors.items():
        assert elastic.dense[name].tobytes() == whole.tensors[name].tobytes()
        if name in elastic.ticket.mask:
            mask = elastic.ticket.mask[name]
            assert array[mask].tobytes() == elastic.dense[name][mask].tobytes()
            assert not array[~mask].any()


def test_the_source_s_ticket_is_imp_s_where_nothing_has_to_be_cut(make_bench: Callable[[str], Bench]) -> None:
    bench = make_bench("resnet14-w2")
    for level in (1, 2, 4):
        above = bench.level(level - 1)
        mask = drop_lowest({name: np.abs(above.tensors[name]) for name in above.mask}, above.mask, RATE)
        own = Ticket.from_arrays(
            bench.arch, bench.rewound, mask, weights=Weights(role="rewind", step=3), provenance=Provenance(method="x")
        )
        for target in ("resnet14-w2", "resnet20-w2", "resnet32-w2"):
            stretched = stretch_ticket(own, arch_of(target))
            elastic = elastic_ticket(bench, arch_of(target), APPEND, stretched.kept, seed=3)
            assert elastic.source.mask == mask
            assert elastic.ticket.mask == stretched.mask
            provenance = elastic.source.provenance
            assert provenance.level == level
            assert provenance.flops == above.provenance.flops, "the levels that were trained for it"
            assert "sparsity" not in (elastic.ticket.provenance.transformations[-1].settings or {})


def test_no_level_is_trained_that_is_not_needed(make_bench: Callable[[str], Bench], tmp_path: Path) -> None:
    bench = make_bench("resnet14-w2")
    bench.runs = tmp_path
    target = Target.at(arch_of("resnet32-w2"), 0.7)
    level = elastic_ticket(bench, target.arch, APPEND, target.kept, seed=3).source.provenance.level
    assert level is not None
    names = sorted(path.name for path in tmp_path.glob("*/level-*.st"))
    assert names == [f"level-{number:02d}.st" for number in range(level)]


def test_what_is_above_what_is_wanted_is_the_least(make_bench: Callable[[str], Bench]) -> None:
    """The last weight of the source that goes would take too many of its copies with it."""
    bench, arch = make_bench("resnet14-w2"), arch_of("resnet32-w2")
    for kept in range(1500, 1510):
        elastic = elastic_ticket(bench, arch, APPEND, kept, seed=3)
        plain = stretch_ticket(elastic.source, arch)
        assert kept <= plain.kept < kept + 4, "of four copies at most"
        assert elastic.ticket.mask.within(plain.mask)


def test_masks_of_one_source_nest(make_bench: Callable[[str], Bench]) -> None:
    bench, arch = make_bench("resnet14-w2"), arch_of("resnet32-w2")
    total = Target.at(arch, 0.5).total
    masks = [
        elastic_ticket(bench, arch, APPEND, round((1 - sparsity) * total), seed=3).source.mask
        for sparsity in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
    ]
    assert all(after.within(before) and after.kept < before.kept for before, after in pairwise(masks))


def test_permuted_copies_leave_the_originals_and_the_counts(make_bench: Callable[[str], Bench]) -> None:
    source, target, policy = WAYS["permuted copies"]
    bench, wanted = make_bench(source), Target.at(arch_of(target), 0.8)
    permuted, plain = (
        elastic_ticket(bench, wanted.arch, one, wanted.kept, seed=3)
        for one in (policy, replace(policy, random_copies=False))
    )
    assert permuted.source.mask == plain.source.mask
    assert permuted.ticket.mask != plain.ticket.mask
    settings = permuted.ticket.provenance.transformations[-1].settings or {}
    assert (settings["random_copies"], settings["seed"]) == (True, 3)
    other = elastic_ticket(bench, wanted.arch, policy, wanted.kept, seed=4)
    assert other.ticket.mask != permuted.ticket.mask


def test_rescaling_changes_normalisation_alone(make_bench: Callable[[str], Bench]) -> None:
    source, target, policy = WAYS["rescaled copies"]
    bench, wanted = make_bench(source), Target.at(arch_of(target), 0.8)
    rescaled, plain = (
        elastic_ticket(bench, wanted.arch, one, wanted.kept, seed=3).ticket
        for one in (policy, replace(policy, rescale=False))
    )
    assert rescaled.mask == plain.mask
    changed = {n for n, array in rescaled.tensors.items() if array.tobytes() != plain.tensors[n].tobytes()}
    assert changed
    assert all(".bn" in name for name in changed)


# --- other classes and channels


@pytest.mark.parametrize("ends", [{"num_classes": 10}, {"in_channels": 3}, {"num_classes": 10, "in_channels": 3}])
@pytest.mark.parametrize("depth", [14, 20])
def test_new_ends_are_dense_and_the_rest_makes_up_for_it(
    make_bench: Callable[[str], Bench], ends: dict[str, int], depth: int
) -> None:
    bench, wanted = make_bench("resnet14-w2"), Target.at(arch_of(f"resnet{depth}-w2", **ends), 0.6)
    elastic = elastic_ticket(bench, wanted.arch, APPEND, wanted.kept, seed=3)
    assert elastic.ticket.kept == wanted.kept
    assert elastic.ticket.arch == wanted.arch
    same = elastic_ticket(bench, arch_of(f"resnet{depth}-w2"), APPEND, wanted.kept, seed=3)
    fresh = {n for n, t in elastic.ticket.tensors.items() if t.shape != same.ticket.tensors[n].shape}
    assert fresh
    for name in fresh:
        kept = elastic.ticket.mask.get(name)
        if kept is not None:
            assert np.count_nonzero(~kept) < 4, "but for what is too many by a copy or two"
            assert elastic.ticket.tensors[name][kept].tobytes() == elastic.dense[name][kept].tobytes()


def test_new_ends_that_are_larger_than_the_ticket_are_refused_before_a_level_is_trained(
    make_bench: Callable[[str], Bench], tmp_path: Path
) -> None:
    bench = make_bench("resnet14-w2")
    bench.runs = tmp_path
    with pytest.raises(
        StretchError, match=r"able to keep 100 weights \(the layers that are made anew have 800 of them\)"
    ):
        elastic_ticket(bench, arch_of("resnet14-w2", num_classes=100), APPEND, 100, seed=3)
    assert [path.name for path in tmp_path.glob("*/level-*.st")] == ["level-00.st"]


def test_where_imp_does_not_get_so_far_is_said(make_bench: Callable[[str], Bench]) -> None:
    bench = make_bench("resnet14-w2")
    with pytest.raises(StretchError, match=r"keep 0 weights \(IMP on cifar-resnet14-w2 does not get below 1 of them\)"):
        elastic_ticket(bench, arch_of("resnet14-w2"), APPEND, 0, seed=3)


# --- the last level


class Uneven:
    """A level of IMP, of which only the weights and the mask are looked at."""

    def __init__(self, weights: dict[str, np.ndarray], mask: Mask) -> None:
        self.tensors, self.mask = weights, mask


@st.composite
def levels(draw: st.DrawFn) -> tuple[Uneven, dict[str, int]]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    weights, masks, uses = {}, {}, {}
    for number, size in enumerate(sizes):
        values = draw(st.lists(st.integers(-4, 4), min_size=size, max_size=size))
        kept = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        kept[0] = True
        weights[f"t{number}"] = np.array(values, dtype=np.float32)
        masks[f"t{number}"] = np.array(kept)
        uses[f"t{number}"] = draw(st.integers(0, 4))
    return Uneven(weights, Mask(masks)), uses


@given(levels(), st.data())
def test_weights_go_one_by_one_as_long_as_enough_copies_remain(
    level: tuple[Uneven, dict[str, int]], data: st.DataObject
) -> None:
    last, uses = level
    most = sum(uses[name] * int(kept.sum()) for name, kept in last.mask.items())
    least = data.draw(st.integers(0, most))
    places = [(name, place) for name, kept in last.mask.items() for place in np.flatnonzero(kept)]
    order = sorted(places, key=lambda found: abs(last.tensors[found[0]][found[1]]))  # stable, as the rule is
    remaining, gone = most, 0
    for name, _ in order:
        if remaining - uses[name] < least:
            break
        remaining, gone = remaining - uses[name], gone + 1
    mask = _pruned_until(last, uses, least)
    assert {(name, place) for name, kept in mask.items() for place in np.flatnonzero(kept)} == {*order[gone:]}
