"""Every registered criterion, whatever it is, keeps what ``Criterion`` promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.prune import CRITERIA, Subject

MakeSubject = Callable[..., Subject]

NETWORKS = ("resnet8-w2", "resnet8-w2-pad", "vgg11-w1", "vgg11-w1-fc2", "mobilenetv1-1-w1", "mlp-12-6-6-4")


def test_the_criteria_are_registered() -> None:
    assert {"magnitude", "snip", "grasp", "synflow", "erk"} <= set(CRITERIA)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", list(CRITERIA))
def test_exactly_so_many_are_kept_within_the_mask_and_always_the_same(
    name: str, network: str, make_subject: MakeSubject
) -> None:
    subject = make_subject(network, density=0.8)
    kept = round(0.31 * subject.mask.kept)
    pruned = CRITERIA[name](subject, kept)
    assert pruned.kept == kept
    assert pruned.within(subject.mask)
    assert CRITERIA[name](subject, kept) == pruned


@pytest.mark.parametrize("name", list(CRITERIA))
def test_everything_and_nothing_can_be_kept(name: str, make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-5-4-4-3", density=0.7)
    assert CRITERIA[name](subject, subject.mask.kept) == subject.mask
    assert CRITERIA[name](subject, 0).kept == 0


@pytest.mark.parametrize("name", list(CRITERIA))
def test_an_empty_mask_stays_empty(name: str, make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-5-4-4-3", density=0)
    assert CRITERIA[name](subject, 0) == subject.mask


@pytest.mark.parametrize("name", list(CRITERIA))
@pytest.mark.parametrize("beyond", [-1, 1])
def test_more_than_there_are_or_less_than_none_is_refused(name: str, beyond: int, make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-12-6-6-4", density=0.5)
    kept = -1 if beyond < 0 else subject.mask.kept + 1
    with pytest.raises(MaskError, match=rf"must be from 0 to the {subject.mask.kept} .*\(got -?[0-9]+\)$"):
        CRITERIA[name](subject, kept)


@pytest.mark.parametrize("name", list(CRITERIA))
def test_pruned_weights_count_as_zero_and_nothing_given_is_changed(name: str, make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2", density=0.6)
    before = {key: value.copy() for key, value in subject.tensors.items()}
    kept = subject.mask.kept // 3
    pruned = CRITERIA[name](subject, kept)
    assert all(np.array_equal(before[key], value) for key, value in subject.tensors.items())
    zeroed = Subject(
        arch=subject.arch,
        tensors=subject.mask.applied_to(subject.tensors),
        mask=subject.mask,
        batches=subject.batches,
        seed=subject.seed,
    )
    assert CRITERIA[name](zeroed, kept) == pruned


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_a_criterion_that_looks_at_images_says_so_if_there_are_none(name: str, make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-5-4-4-3", batches=list)
    with pytest.raises(MaskError, match=r"must be given .*image.* \(got none\)$"):
        CRITERIA[name](subject, 3)


@pytest.mark.parametrize("name", ["snip", "grasp", "erk"])
def test_a_transformer_is_pruned_too(name: str, make_subject: MakeSubject) -> None:
    subject = make_subject("vit1-w8-p4-i8")
    pruned = CRITERIA[name](subject, 200)
    assert pruned.kept == 200
    assert isinstance(pruned, Mask)


@pytest.mark.parametrize("name", list(CRITERIA))
def test_the_numbers_are_the_networks_not_the_default_generators(name: str, make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-12-6-6-4")
    np.random.seed(1)
    first = CRITERIA[name](subject, 30)
    np.random.seed(2)
    assert CRITERIA[name](subject, 30) == first
