"""What is to be done follows from the ticket; what it does not say, and cannot be guessed, is told in a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ticketkit.data import ImageData
from ticketkit.errors import DataError, RecipeError, RunError
from ticketkit.provenance import DatasetInfo
from ticketkit.reproduce import plan_reproduction
from ticketkit.reproduce.plan import MOST_LEVELS, Environment
from ticketkit.selection import drop_count
from ticketkit.stretch import Adjustments, stretch_ticket
from ticketkit.ticket import Ticket
from ticketkit.train.setting import network_for


def saying(ticket: Ticket, **changes: Any) -> Ticket:
    return replace(ticket, provenance=replace(ticket.provenance, **changes))


def test_a_ticket_says_all_that_finding_it_took(found: Ticket, stripes: ImageData) -> None:
    plan = plan_reproduction(found)
    assert (plan.network, plan.level, plan.rate, plan.seed, plan.tolerance) == ("cifar-resnet14-w2", 2, 0.4, 3, 0.005)
    assert plan.recipe.to_dict() == found.provenance.recipe
    assert (plan.rewinding, plan.prunable, plan.prune_head, plan.is_final) == ("weights", None, True, False)
    assert plan.transformations == ()
    assert network_for(plan.network, stripes) == found.arch
    plan.check(stripes)


def test_a_stretched_ticket_says_it_too_and_what_was_done_to_it(found: Ticket, stripes: ImageData) -> None:
    once = stretch_ticket(found, "20", adjustments=Adjustments(random_copies=True, sparsity=0.8, seed=7))
    twice = stretch_ticket(once, "32", num_classes=5)
    plan = plan_reproduction(twice)
    assert (plan.network, network_for(plan.network, stripes)) == ("cifar-resnet14-w2", found.arch)
    (_, first), (_, second) = plan.transformations
    assert first.adjustments == Adjustments(random_copies=True, sparsity=0.8, seed=7)
    assert (second.num_classes, second.in_channels) == (5, None)
    plan.check(stripes)


@pytest.mark.parametrize(
    ("name", "loader", "limits"),
    [
        ("digits", "digits", ()),
        ("cifar10[:5000]", "cifar10", ((5000, None),)),
        ("cifar10[:5000,:1000]", "cifar10", ((5000, 1000),)),
        ("cifar10[:,:1000]", "cifar10", ((None, 1000),)),
        ("folder:flowers[:200][:100]", "folder", ((200, None), (100, None))),
        ("folder:a[b]c", "folder", ()),
    ],
)
def test_the_name_of_the_data_says_how_to_load_and_limit_it(
    found: Ticket, name: str, loader: str, limits: tuple[object, ...]
) -> None:
    info = DatasetInfo(name=name, fingerprint="sha256:" + "0" * 64, train=1, test=1)
    plan = plan_reproduction(saying(found, dataset=info))
    assert (plan.loader, plan.limits) == (loader, limits)


def test_the_limits_are_those_that_data_are_named_after(found: Ticket, stripes: ImageData) -> None:
    data = stripes.limited(40).limited(32, 16)
    info = DatasetInfo(name=data.name, fingerprint=data.fingerprint, train=32, test=16)
    plan = plan_reproduction(saying(found, dataset=info))
    again = stripes
    for train, test in plan.limits:
        again = again.limited(train, test)
    assert (again.name, again.fingerprint) == (data.name, data.fingerprint)


@pytest.mark.parametrize(
    ("recorded", "environment"),
    [
        ({"device": "cpu", "precision": "fp32", "threads": 2}, Environment(device="cpu", precision="fp32", threads=2)),
        (
            {"device": "NVIDIA H100", "precision": "bf16", "deterministic": True, "ranks": 4, "torch": "2.9"},
            Environment(device="cuda", precision="bf16", deterministic=True, ranks=4),
        ),
        ({}, Environment()),
        (None, Environment()),
    ],
)
def test_where_it_was_computed_can_be_asked_for_again(
    found: Ticket, recorded: dict[str, Any] | None, environment: Environment
) -> None:
    assert plan_reproduction(saying(found, environment=recorded)).environment == environment


@pytest.mark.parametrize("recorded", [{"threads": 10**9}, {"threads": True}, {"precision": "fp8"}, {"compiled": "yes"}])
def test_an_environment_that_is_none_is_refused(found: Ticket, recorded: dict[str, Any]) -> None:
    plan = plan_reproduction(saying(found, environment=recorded))
    with pytest.raises(RunError, match="the ticket's environment must be one that can be repeated"):
        _ = plan.environment


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "custom"}, r"must have been found by imp or lrr to be reproduced \(got 'custom'\)"),
        ({"seed": None, "recipe": None}, r"it lacks recipe, seed\)"),
        (
            {"dataset": None, "environment": {"imported_from": {"format": "open-lth"}}},
            r"it lacks dataset; it was imported\)",
        ),
        ({"level": MOST_LEVELS + 1}, r"must be of one of 1,000 levels \(got 1,001\)"),
    ],
)
def test_what_it_lacks_is_told(found: Ticket, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        plan_reproduction(saying(found, **changes))


def test_a_recipe_that_is_none_is_refused(found: Ticket) -> None:
    with pytest.raises(RecipeError, match="must be among"):
        plan_reproduction(saying(found, recipe={"speed": 1}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "fold"}, r"must be a stretch to be done again \(got 'fold'\)"),
        ({"settings": {"colour": 1}}, r"must have known settings to be done again \(got 'colour'\)"),
        ({"settings": {"sparsity": "half"}}, r"the ticket's transformation must be one that can be repeated"),
    ],
)
def test_a_transformation_of_another_kind_is_refused(found: Ticket, changes: dict[str, Any], message: str) -> None:
    stretched = stretch_ticket(found, "20")
    (done,) = stretched.provenance.transformations
    with pytest.raises(RunError, match=message):
        plan_reproduction(saying(stretched, transformations=(replace(done, **changes),)))


def test_tensors_that_were_named_one_by_one_are_known_until_it_is_stretched(
    make_ticket: Callable[..., Ticket], stripes: ImageData
) -> None:
    whole = make_ticket("resnet14-w2", in_channels=1, num_classes=2)
    names = ("conv.weight", "blocks.1.conv1.weight")
    mask = type(whole.mask)({name: whole.mask[name] for name in names})
    some = Ticket.from_arrays(
        whole.arch, whole.tensors, mask, weights=whole.weights, provenance=replace(whole.provenance, recipe=recipe())
    )
    assert plan_reproduction(some).prunable == names
    with pytest.raises(RunError, match=r"follow none, so those of cifar-resnet14-w2 are not known"):
        plan_reproduction(stretch_ticket(some, "20"))


def recipe() -> dict[str, Any]:
    return {"name": "tiny", "epochs": 2, "batch": 16, "lr": 0.05}


def test_other_data_are_refused(found: Ticket, stripes: ImageData) -> None:
    with pytest.raises(
        DataError, match=r"must be those that the ticket was found on, 'stripes' of sha256:.* stripes\["
    ):
        plan_reproduction(found).check(stripes.limited(32))


def test_a_level_that_pruned_otherwise_is_refused(found: Ticket, stripes: ImageData) -> None:
    fewer = drop_count({name: found.tensors[name] for name in found.mask}, found.mask, 5)
    odd = Ticket.from_arrays(
        found.arch, found.tensors, fewer, weights=found.weights, provenance=found.provenance, results=found.results
    )
    for ticket in (odd, stretch_ticket(odd, "20")):
        with pytest.raises(RunError, match=rf"of level 2 must keep {found.kept:,} of .* \(got {odd.kept:,}: a study's"):
            plan_reproduction(ticket).check(stripes)
