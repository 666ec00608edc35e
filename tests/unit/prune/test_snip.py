from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from ticketkit.mask import Mask
from ticketkit.models import instantiate
from ticketkit.prune import Subject
from ticketkit.prune.snip import prune, sensitivities

MakeSubject = Callable[..., Subject]


def loss_with(subject: Subject, switches: Mapping[str, np.ndarray]) -> float:
    """Mean loss over all images of a network whose weights are multiplied by switches, in float64."""
    model = instantiate(subject.arch, subject.tensors).double().train()
    with torch.no_grad():
        for name, switch in switches.items():
            model.get_parameter(name).mul_(torch.from_numpy(switch))
        sums = [
            functional.cross_entropy(model(images.double()), labels, reduction="sum")
            for images, labels in subject.batches()
        ]
    return float(sum(sums)) / sum(len(labels) for _, labels in subject.batches())


@pytest.mark.parametrize("network", ["mlp-3-4-4-2", "resnet8-w1", "vgg11-w1"])
@pytest.mark.parametrize("density", [1.0, 0.7])
def test_the_score_is_the_derivative_of_the_loss_by_the_connections_switch(
    network: str, density: float, make_subject: MakeSubject
) -> None:
    subject = make_subject(network, density=density)
    scores = sensitivities(subject)
    assert scores.keys() == subject.mask.keys()
    step = 1e-6
    for name, mask in subject.mask.items():
        assert scores[name].dtype == np.float32
        assert scores[name].shape == mask.shape
        assert not scores[name][~mask].any()
        for place in np.argwhere(mask)[:3]:
            losses = []
            for sign in (1, -1):
                switches = {other: array.astype(np.float64) for other, array in subject.mask.items()}
                switches[name][tuple(place)] += sign * step
                losses.append(loss_with(subject, switches))
            derivative = (losses[0] - losses[1]) / (2 * step)
            assert scores[name][tuple(place)] == pytest.approx(abs(derivative), rel=1e-3, abs=1e-6)


def test_a_single_linear_layer_by_hand(make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-2-1-2", images=1)
    tensors = dict(subject.tensors)
    tensors["fc_layers.0.weight"] = np.array([[2.0, -1.0]], dtype=np.float32)
    tensors["fc_layers.0.bias"] = np.array([0.5], dtype=np.float32)
    tensors["fc.weight"] = np.array([[1.0], [-1.0]], dtype=np.float32)
    tensors["fc.bias"] = np.zeros(2, dtype=np.float32)
    batch = (torch.tensor([[[[3.0]], [[1.0]]]]), torch.tensor([1]))
    scores = sensitivities(replace(subject, tensors=tensors, batches=lambda: [batch]))
    hidden = 2 * 3 - 1 * 1 + 0.5
    wrong = 1 / (1 + np.exp(-2 * hidden))  # probability of the first class; the label is the second
    slope = wrong * 1 + wrong * 1  # the loss by the hidden unit: Σ (p − y) · weight
    assert scores["fc_layers.0.weight"] == pytest.approx(np.array([[2 * 3 * slope, 1 * 1 * slope]]))


def test_images_weigh_the_same_however_they_are_batched(make_subject: MakeSubject) -> None:
    whole = sensitivities(make_subject("mlp-12-6-6-4", images=7, batch=7))
    parts = sensitivities(make_subject("mlp-12-6-6-4", images=7, batch=3))
    for name, score in whole.items():
        np.testing.assert_allclose(parts[name], score, rtol=1e-4, atol=1e-7)


def test_the_running_statistics_do_not_matter(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2")
    moved = {name: value + 3 if "running" in name else value for name, value in subject.tensors.items()}
    before, after = sensitivities(subject), sensitivities(replace(subject, tensors=moved))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_least_sensitive_go(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2", density=0.8)
    scores = sensitivities(subject)
    pruned = prune(subject, subject.mask.kept // 2)
    kept = np.concatenate([scores[name][mask] for name, mask in pruned.items()])
    gone = np.concatenate([scores[name][subject.mask[name] & ~mask] for name, mask in pruned.items()])
    assert gone.max() <= kept.min()
    assert kept.min() > 0


def test_pruned_weights_stay_out_of_the_network(make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-12-6-6-4")
    half = Mask({name: np.arange(mask.size).reshape(mask.shape) % 2 == 0 for name, mask in subject.mask.items()})
    whole, halved = sensitivities(subject), sensitivities(replace(subject, mask=half))
    name = "fc_layers.1.weight"
    assert not np.allclose(whole[name][half[name]], halved[name][half[name]])
