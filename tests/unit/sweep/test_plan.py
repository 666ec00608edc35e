"""What there is to do for a study: each thing once, under a name that follows from what it depends on alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from ticketkit.arch import parse_arch
from ticketkit.errors import ArchError, RecipeError, StretchError, StudyError, TicketkitError
from ticketkit.sweep import Study
from ticketkit.sweep.laboratory import data_of
from ticketkit.sweep.plan import Plan, plan_study
from ticketkit.sweep.run import Shard
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source
from ticketkit.verify import ARMS, Target

MakePlan = Callable[..., Plan]

OTHER = DataChoice(dataset="digits", limit=96)


def files(plan: Plan) -> list[str]:
    return [task.file for task in plan.cells]


def finds(plan: Plan) -> list[str]:
    return [task.file for task in plan.finds]


def arms(plan: Plan) -> Counter[str]:
    return Counter(task.place.arm for task in plan.cells)


def sources(*names: str) -> tuple[Source, ...]:
    return tuple(Source(arch=name) for name in names)


# --- each thing once


def test_an_arm_is_trained_for_each_thing_that_it_depends_on(make_plan: MakePlan) -> None:
    plan = make_plan()
    assert len(set(files(plan))) == len(plan.cells)
    assert len({task.place for task in plan.cells}) == len(plan.cells)
    seeds, sparsities, tickets = 2, 2, 2
    assert arms(plan) == {
        "dense": seeds,
        "imp": seeds * sparsities,
        "ticket": seeds * sparsities * tickets,
        "random": seeds * sparsities * tickets,
    }
    assert arms(make_plan(sources=sources("resnet14-w2")))["imp"] == seeds * sparsities, "as often with one source"


def test_every_arm_there_is(make_plan: MakePlan) -> None:
    plan = make_plan(arms=("all",), sparsities=(0.5,), seeds=(0,))
    tickets = {arm for arm in ARMS if ARMS[arm].depends_on == "ticket"}
    copies = {"extra-snip", "random-copies"}
    assert arms(plan) == {arm: 2 if arm in tickets - copies else 1 for arm in ARMS}
    assert plan.left_out == tuple(
        f"{arm} for resnet20-w2 from resnet32-w2: there must be replicated units in the ticket (it has none)"
        for arm in sorted(copies)
    )
    squeezed = make_plan(arms=("all",), sources=sources("resnet32-w2"))
    assert {*arms(squeezed)} == {*ARMS} - copies
    assert squeezed.left_out == plan.left_out, "each once, whatever the seed and sparsity"


def test_ticket_cells_say_where_they_come_from_and_others_do_not(make_plan: MakePlan) -> None:
    for task in make_plan().cells:
        place = task.place
        depends = ARMS[place.arm].depends_on
        assert (place.sparsity is None) == (depends == "network")
        assert (place.source is None) == (place.policy is None) == (task.source is None) == (depends != "ticket")
        assert task.target == Target.at(task.target.arch, place.sparsity or 0.5)
        assert task.file.startswith(f"train/{place.arm}_cifar-resnet20-w2_")
        assert task.file.endswith(".json")


def test_a_network_named_twice_is_one(make_plan: MakePlan) -> None:
    one = make_plan(sources=sources("resnet14-w2"))
    assert files(make_plan(sources=sources("resnet14-w2", "cifar-resnet14-w2"))) == files(one)
    assert files(make_plan(sources=sources("CIFAR-resnet14-w2"))) == files(one)
    assert files(make_plan(sources=sources("resnet14-w2"), targets=("resnet20-w2", "cifar-resnet20-w2"))) == files(one)


def test_no_source_is_its_own_target(make_plan: MakePlan) -> None:
    both = make_plan(sources=sources("resnet14-w2", "resnet20-w2"))
    assert {task.place.source for task in both.cells} == {None, "resnet14-w2"}
    with pytest.raises(StudyError, match="a source that is not its own target"):
        make_plan(sources=sources("resnet20-w2"), arms=("ticket",))
    assert arms(make_plan(sources=sources("resnet20-w2"))) == {"dense": 2, "imp": 4}


def test_a_source_like_the_target_but_trained_otherwise_is_one(make_plan: MakePlan, make_study: Callable) -> None:
    recipe = replace(make_study().recipe, name="slow", lr=0.01)
    plan = make_plan(
        sources=(Source(arch="resnet20-w2", data=OTHER), Source(arch="resnet20-w2", recipe=recipe)), arms=("ticket",)
    )
    assert arms(plan) == {"ticket": 8}
    assert {task.place.source for task in plan.cells} == {"resnet20-w2 on digits[:96]", "resnet20-w2 with slow"}
    same = Source(arch="resnet20-w2", data=DataChoice(dataset="digits", limit=64), recipe=make_study().recipe)
    with pytest.raises(StudyError, match="not its own target"):
        make_plan(sources=(same,), arms=("ticket",))


def test_sources_that_reports_could_not_tell_apart_are_refused(make_plan: MakePlan, make_study: Callable) -> None:
    slow, slower = (Source(arch="resnet14-w2", recipe=replace(make_study().recipe, lr=lr)) for lr in (0.01, 0.005))
    with pytest.raises(StudyError, match=r"must differ in .* name of recipe \(got 'resnet14-w2 with tiny' twice\)"):
        make_plan(sources=(slow, slower))


def test_policies_that_come_to_one_mapping_are_one(make_plan: MakePlan) -> None:
    append, interpolate = PolicyChoice(name="append"), PolicyChoice(name="interpolate", order="interpolate")
    one = make_plan(policies=(append,))
    assert files(make_plan(policies=(append, interpolate))) == files(one), "with one unit to replicate"
    by_hand = PolicyChoice(name="by hand", mapping="0:0;1:1;2:2")
    two = make_plan(policies=(PolicyChoice(name="keep", order="keep-early"), by_hand), sources=sources("resnet32-w2"))
    assert {task.place.policy for task in two.cells} == {None, "keep"}, "however the mapping is written"
    three = make_plan(policies=(append, interpolate), sources=sources("resnet20-w2"), targets=("resnet44-w2",))
    assert {task.place.policy for task in three.cells} == {None, "append", "interpolate"}
    ablated = make_plan(policies=(append, replace(append, name="permuted", random_copies=True)))
    assert {task.place.policy for task in ablated.cells} == {None, "append", "permuted"}


def test_a_policy_with_explicit_units_is_another(make_plan: MakePlan) -> None:
    policies = tuple(PolicyChoice(name=f"unit {unit}", units=(unit,)) for unit in (1, 2))
    plan = make_plan(policies=policies, sources=sources("resnet32-w2"), targets=("resnet44-w2",))
    assert arms(plan)["ticket"] == 8


# --- IMP runs


def test_a_network_that_is_source_and_target_has_one_run(make_plan: MakePlan) -> None:
    plan = make_plan(sources=sources("resnet14-w2", "resnet20-w2"), targets=("resnet20-w2", "resnet32-w2"), seeds=(0,))
    assert Counter(task.target.arch.short_name for task in plan.finds) == {
        "resnet14-w2": 1,
        "resnet20-w2": 1,
        "resnet32-w2": 1,
    }
    shared = next(task for task in plan.finds if task.target.arch.short_name == "resnet20-w2")
    kept = [Target.at(shared.target.arch, sparsity).kept for sparsity in (0.5, 0.8)]
    assert sorted(shared.counts) == sorted(kept), "for its own arms"
    assert [target.arch.short_name for target, _ in shared.tickets] == ["resnet32-w2"] * 2, "and for tickets"


def test_a_source_trained_as_the_study_is_shares_its_run_however_that_is_said(
    make_plan: MakePlan, make_study: Callable[..., Study]
) -> None:
    study = make_study()
    said = Source(arch="cifar-resnet20-w2", data=study.data, recipe=study.recipe)
    plain = make_plan(sources=sources("resnet20-w2"), targets=("resnet20-w2", "resnet32-w2"))
    assert finds(make_plan(sources=(said,), targets=("resnet20-w2", "resnet32-w2"))) == finds(plain)


def test_cells_need_the_runs_that_they_use(make_plan: MakePlan) -> None:
    plan = make_plan(arms=("ticket", "dense", "imp", "lrr", "snip"))
    by_file = {task.file: task for task in plan.finds}
    for task in plan.cells:
        needed = [by_file[file] for file in task.needs]
        assert all(find.place.seed == task.place.seed for find in needed)
        names = [(find.place.arm, find.target.arch.short_name) for find in needed]
        expected = {
            "ticket": [("imp", task.place.source)],
            "imp": [("imp", "resnet20-w2")],
            "lrr": [("lrr", "resnet20-w2")],
        }
        assert names == expected.get(task.place.arm, [])
        if task.place.arm in {"imp", "lrr"}:
            assert task.target.kept in needed[0].counts
        if task.place.arm == "ticket":
            assert (task.target, task.policy) in needed[0].tickets
    assert {file for task in plan.cells for file in task.needs} == {*by_file}, "and no other is made"


def test_without_an_arm_that_is_found_there_no_run_is_made_on_the_target(make_plan: MakePlan) -> None:
    plan = make_plan(arms=("ticket", "dense", "snip", "rigl"))
    assert {task.target.arch.short_name for task in plan.finds} == {"resnet14-w2", "resnet32-w2"}


# --- a study that grows


GROWN = {
    "a seed": {"seeds": (0, 1, 5)},
    "an arm": {"arms": ("rigl", "ticket", "dense", "imp", "random", "lrr")},
    "a sparsity": {"sparsities": (0.3, 0.5, 0.8)},
    "a source": {"sources": sources("resnet44-w2", "resnet14-w2", "resnet32-w2")},
    "a target": {"targets": ("resnet44-w2", "resnet20-w2")},
    "a policy": {"policies": (PolicyChoice(name="append"), PolicyChoice(name="permuted", random_copies=True))},
    "lines": {"connect": ("ticket", "imp")},
    "what reports say": {"title": "Another", "margin": 1.0, "reference": "dense"},
}


@pytest.mark.parametrize("change", GROWN)
def test_a_larger_study_goes_on_where_the_smaller_was(make_plan: MakePlan, change: str) -> None:
    small, large = make_plan(), make_plan(**GROWN[change])
    assert {*files(small)} <= {*files(large)}
    new = len(large.cells) - len(small.cells)
    assert new > 0 or change == "what reports say"
    places = {task.file: task.place for task in large.cells}
    assert all(places[task.file] == task.place for task in small.cells)


@pytest.mark.parametrize("change", ["a seed", "a source", "a policy", "what reports say"])
def test_what_does_not_concern_an_imp_run_leaves_it_done(make_plan: MakePlan, change: str) -> None:
    small, large = {*finds(make_plan())}, {*finds(make_plan(**GROWN[change]))}
    if change == "a policy":  # it concerns the sources, which are asked for more tickets, and not the target
        small = {file for file in small if "resnet20-w2" in file}
    assert small <= large


def test_a_run_of_which_more_is_wanted_is_looked_at_again(make_plan: MakePlan) -> None:
    """Its levels are kept apart, in ``runs``, so that only those that are missing are trained."""
    before, after = make_plan(seeds=(0,)), make_plan(seeds=(0,), sparsities=(0.5, 0.8, 0.9))
    assert not {*finds(before)} & {*finds(after)}
    source_only = make_plan(sources=sources("resnet20-w2"), targets=("resnet32-w2",), arms=("ticket",))
    source_and_target = make_plan(sources=sources("resnet14-w2", "resnet20-w2"), targets=("resnet20-w2", "resnet32-w2"))
    assert not {*finds(source_only)} & {*finds(source_and_target)}


def test_the_order_of_a_study_s_lists_names_nothing_otherwise(make_plan: MakePlan) -> None:
    turned = make_plan(
        sources=sources("resnet32-w2", "resnet14-w2"), sparsities=(0.8, 0.5), arms=("random", "imp", "dense", "ticket")
    )
    assert {*files(turned)} == {*files(make_plan())}
    assert {*finds(turned)} == {*finds(make_plan())}


@pytest.mark.parametrize(
    ("change", "unchanged"),
    [
        ({"rate": 0.3}, {"dense", "rigl"}),
        ({"data": OTHER}, set()),
        ({"start": "0"}, set()),
        ({"dst_multiplier": 3}, {"ticket", "dense", "imp", "random"}),
        ({"points": 5}, {"ticket", "dense", "imp", "random", "rigl"}),
    ],
)
def test_a_cell_s_name_changes_with_what_it_depends_on(
    make_plan: MakePlan, change: dict[str, object], unchanged: set[str]
) -> None:
    names = ("ticket", "dense", "imp", "random", "rigl")
    one = make_plan(arms=names, connect=("imp",))
    other = make_plan(arms=names, connect=("imp",), **change)
    kept = {*files(one)} & {*files(other)}
    assert {task.place.arm for task in one.cells if task.place.kind == "train" and task.file in kept} == unchanged
    lines = [task.file in kept for task in one.cells if task.place.kind == "connect"]
    assert all(lines) if "dst_multiplier" in change else not any(lines)


def test_another_recipe_changes_every_name(make_plan: MakePlan, make_study: Callable[..., Study]) -> None:
    other = make_plan(recipe=replace(make_study().recipe, epochs=3))
    assert not {*files(other)} & {*files(make_plan())}
    assert not {*finds(other)} & {*finds(make_plan())}


NAMES = [
    "train/dense_cifar-resnet20-w2_s0_48ca9adcb70d.json",
    "train/imp_cifar-resnet20-w2_80_s0_bec67072e63c.json",
    "train/ticket_cifar-resnet20-w2_from-resnet14-w2_append_80_s0_eb3e2c3d7d5d.json",
    "train/random_cifar-resnet20-w2_from-resnet14-w2_append_80_s0_85450b65489e.json",
]


def test_names_are_for_ever(make_plan: MakePlan) -> None:
    """A name that changes is a study that is done again; change this test only with formats/sweep-v1.md."""
    plan = make_plan(seeds=(0,), sparsities=(0.8,), sources=sources("resnet14-w2"))
    assert files(plan) == NAMES


# --- order, shards


def test_cells_come_by_target_and_sparsity_and_what_is_shared_first(make_plan: MakePlan) -> None:
    plan = make_plan(targets=("resnet20-w2", "resnet44-w2"), connect=("ticket", "imp"))
    order = [(task.place.target, task.place.sparsity) for task in plan.cells if task.place.arm == "ticket"]
    assert order == sorted(order, key=lambda pair: ("resnet44" in pair[0], pair[1]))
    assert list(dict.fromkeys(order)) == [
        (f"cifar-{target}", sparsity) for target, sparsity in product(("resnet20-w2", "resnet44-w2"), (0.5, 0.8))
    ]
    assert [task.place.arm for task in plan.cells[:3]] == ["dense", "imp", "imp"]
    assert [task.place.kind for task in plan.cells[:3]] == ["train", "train", "connect"]


def test_reports_have_arms_in_the_study_s_order(make_plan: MakePlan, make_study: Callable[..., Study]) -> None:
    names = ("imp", "random", "ticket", "dense")
    index = make_plan(arms=names, connect=("erk",)).index(make_study(), "the command")
    assert index.arms == names
    assert (index.title, index.reference, index.margin, index.command) == ("Tiny", "imp", 0.005, "the command")
    everything = make_plan(arms=("all",)).index(make_study(), "").arms
    assert everything[0] == "ticket"
    assert len(everything) == len(ARMS), "those that one ticket lets be trained are there"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_shards_partition_a_study(make_plan: MakePlan, count: int) -> None:
    plan = make_plan()
    parts = [Shard(number=number, count=count).of(plan.cells) for number in range(1, count + 1)]
    assert sorted(task.file for part in parts for task in part) == sorted(files(plan))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("number", "count"), [(0, 2), (3, 2), (1, 0), (-1, 4)])
def test_a_shard_is_one_of_so_many(number: int, count: int) -> None:
    with pytest.raises(StudyError, match=f"one of 1/{count} to"):
        Shard(number=number, count=count)


# --- what is refused before anything is trained


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"targets": ("resnet15",)}, ArchError, "resnet15"),
        ({"sources": sources("nonsense")}, ArchError, "nonsense"),
        ({"targets": ("resnet14-w4",)}, StretchError, "differ from its source cifar-resnet14-w2 in depth alone"),
        ({"targets": ("vgg11-w2",)}, StretchError, "in depth alone"),
        ({"targets": ("vit3-w8-p2-i32",)}, ArchError, r"image size of .* must be 8×8"),
        ({"policies": (PolicyChoice(name="x", order="zigzag"),)}, StretchError, "zigzag"),
        ({"policies": (PolicyChoice(name="x", mapping="0:0;1:1"),)}, StretchError, "must cover the 3 units"),
        ({"policies": (PolicyChoice(name="x", mapping="0:0;7:1,2"),)}, StretchError, "one of the 2 units"),
        (
            {"policies": (PolicyChoice(name="x", units=(9,)),)},
            StretchError,
            r"policy 'x' must turn resnet14-w2 into resnet20-w2: .* \(got 9\)",
        ),
        ({"arms": ("ticket", "imps")}, TicketkitError, "did you mean 'imp'"),
        ({"connect": ("imps",)}, TicketkitError, "'imps'"),
        ({"connect": ("rigl",)}, StudyError, r"train as all others do \(got 'rigl'\)"),
        ({"reference": "ipm"}, TicketkitError, "'ipm'"),
        ({"reference": "ticket"}, StudyError, "another arm than the ticket itself"),
    ],
)
def test_what_cannot_be_is_refused(
    make_plan: MakePlan, change: dict[str, object], error: type[TicketkitError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        make_plan(**change)
    assert "\n" not in str(caught.value)


def test_units_that_cannot_be_rescaled_are_refused(make_plan: MakePlan) -> None:
    rescaled = (PolicyChoice(name="x", rescale=True),)
    with pytest.raises(StretchError, match="must end in a normalisation on a residual branch"):
        make_plan(sources=sources("mobilenetv1-3-w2"), targets=("mobilenetv1-4-w2",), policies=rescaled)


def test_a_rewind_step_behind_the_end_is_refused(make_plan: MakePlan, make_study: Callable[..., Study]) -> None:
    recipe = replace(make_study().recipe, rewind="9it")
    with pytest.raises(RecipeError, match="before the end of training, 4 steps"):
        make_plan(recipe=recipe)
    with pytest.raises(RecipeError, match="before the end of training, 4 steps"):
        make_plan(sources=(Source(arch="resnet14-w2", recipe=recipe),))


def test_a_ticket_found_on_other_data_has_the_target_s_classes(make_study: Callable[..., Study], stripes) -> None:
    study = make_study(sources=(Source(arch="resnet14-w2", data=DataChoice(dataset="stripes")),), arms=("ticket",))
    plan = plan_study(study, lambda choice: stripes if choice.dataset == "stripes" else data_of(choice))
    assert {task.place.source for task in plan.cells} == {"resnet14-w2 on stripes"}
    assert {task.target.arch for task in plan.finds} == {parse_arch("resnet14-w2", num_classes=2, in_channels=1)}
    assert {target.arch.num_classes for find in plan.finds for target, _ in find.tickets} == {10}
