from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch.nn import functional

from ticketkit.models import instantiate
from ticketkit.prune import Subject
from ticketkit.prune.grasp import flow_scores, prune

MakeSubject = Callable[..., Subject]
Gradient = dict[str, np.ndarray]


def gradient_at(subject: Subject, weights: Mapping[str, np.ndarray]) -> Gradient:
    """Gradient of the mean loss over all images at given weights, of the remaining ones, in float64."""
    model = instantiate(subject.arch, subject.tensors).double().train()
    with torch.no_grad():
        for name, weight in weights.items():
            model.get_parameter(name).copy_(torch.from_numpy(weight))
    count = 0
    for images, labels in subject.batches():
        functional.cross_entropy(model(images.double()), labels, reduction="sum").backward()
        count += len(labels)
    return {name: mask * model.get_parameter(name).grad.numpy() / count for name, mask in subject.mask.items()}


def remaining(subject: Subject) -> dict[str, np.ndarray]:
    return {name: (subject.tensors[name] * mask).astype(np.float64) for name, mask in subject.mask.items()}


def flow(gradient: Gradient) -> float:
    return sum(float((part**2).sum()) for part in gradient.values())


@pytest.mark.parametrize("network", ["mlp-3-4-4-2", "resnet8-w1", "vgg11-w1"])
@pytest.mark.parametrize("density", [1.0, 0.7])
def test_the_score_is_the_weight_times_the_gradients_change_along_itself(
    network: str, density: float, make_subject: MakeSubject
) -> None:
    subject = make_subject(network, density=density)
    scores = flow_scores(subject)
    weights = remaining(subject)
    gradient = gradient_at(subject, weights)
    step = 1e-6 / flow(gradient) ** 0.5
    ahead, behind = (
        gradient_at(subject, {name: weight + sign * step * gradient[name] for name, weight in weights.items()})
        for sign in (1, -1)
    )
    signs = set()
    expected = {name: weights[name] * (ahead[name] - behind[name]) / (2 * step) for name in subject.mask}
    largest = max(abs(score).max() for score in expected.values())  # of all tensors: they are ranked together
    for name, mask in subject.mask.items():
        np.testing.assert_allclose(scores[name], expected[name], rtol=2e-3, atol=1e-4 * largest)
        assert scores[name].shape == mask.shape
        assert not scores[name][~mask].any()
        signs |= set(np.sign(scores[name][mask]))
    assert {-1, 1} <= signs


@pytest.mark.parametrize("density", [1.0, 0.7])
def test_to_first_order_removing_a_weight_changes_the_gradient_flow_by_minus_twice_its_score(
    density: float, make_subject: MakeSubject
) -> None:
    subject = make_subject("mlp-3-4-4-2", density=density)
    scores = flow_scores(subject)
    weights = remaining(subject)
    part = 1e-6
    largest = max(float(abs(score).max()) for score in scores.values())
    for name, mask in subject.mask.items():
        for place in map(tuple, np.argwhere(mask)):
            flows = []
            for sign in (1, -1):
                moved = {other: weight.copy() for other, weight in weights.items()}
                moved[name][place] *= 1 - sign * part
                flows.append(flow(gradient_at(subject, moved)))
            change = (flows[0] - flows[1]) / (2 * part)
            assert change / 2 == pytest.approx(-scores[name][place], rel=1e-3, abs=1e-4 * largest)


def test_those_without_which_the_flow_is_strongest_go_by_sign(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2", density=0.8)
    scores = flow_scores(subject)
    pruned = prune(subject, subject.mask.kept // 4)
    kept = np.concatenate([scores[name][mask] for name, mask in pruned.items()])
    gone = np.concatenate([scores[name][subject.mask[name] & ~mask] for name, mask in pruned.items()])
    assert gone.max() <= kept.min()
    assert -gone.min() > kept.min() > 0, "a score far below zero goes before a small one above"


def test_images_weigh_the_same_however_they_are_batched(make_subject: MakeSubject) -> None:
    whole = flow_scores(make_subject("mlp-12-6-6-4", images=7, batch=7))
    parts = flow_scores(make_subject("mlp-12-6-6-4", images=7, batch=3))
    for name, score in whole.items():
        np.testing.assert_allclose(parts[name], score, rtol=1e-3, atol=1e-5 * abs(score).max())


def test_a_transformers_score_has_a_second_derivative(make_subject: MakeSubject) -> None:
    scores = flow_scores(make_subject("vit1-w8-p4-i8"))
    subject = make_subject("vit1-w8-p4-i8")
    head = {"head.weight": 0.1 + np.ones_like(subject.tensors["head.weight"]).cumsum(axis=0) * np.float32(0.1)}
    assert not any(score.any() for score in scores.values()), "its output layer starts at zero: no gradient"
    moved = make_subject("vit1-w8-p4-i8", tensors=dict(subject.tensors) | head)
    assert all(np.isfinite(score).all() and score.any() for score in flow_scores(moved).values())
