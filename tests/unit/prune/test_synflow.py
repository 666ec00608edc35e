from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ticketkit.encoding import Array
from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.prune import Subject
from ticketkit.prune.synflow import ROUNDS, SynapticFlow, prune, schedule

MakeSubject = Callable[..., Subject]


def measure(subject: Subject, mask: Mask | None = None) -> tuple[float, dict[str, Array]]:
    return SynapticFlow.of(subject).measure(subject.mask if mask is None else mask)


def without(mask: Mask, name: str, place: tuple[int, ...]) -> Mask:
    arrays = {other: array.copy() for other, array in mask.items()}
    arrays[name][place] = False
    return Mask(arrays)


@pytest.mark.parametrize("density", [1.0, 0.7])
def test_an_mlps_flow_is_the_product_of_its_magnitudes(density: float, make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-3-4-5-2", density=density)
    weights = subject.mask.applied_to(subject.tensors)
    first, second, last = (
        np.abs(weights[name]).astype(np.float64) for name in ("fc_layers.0.weight", "fc_layers.1.weight", "fc.weight")
    )
    flow, scores = measure(subject)
    assert scores.keys() == {"fc_layers.0.weight", "fc_layers.1.weight"}
    assert flow == pytest.approx((last @ second @ first).sum())
    behind_first, behind_second = (last @ second).sum(axis=0), last.sum(axis=0)
    assert scores["fc_layers.0.weight"] == pytest.approx(behind_first[:, None] * first)
    assert scores["fc_layers.1.weight"] == pytest.approx(behind_second[:, None] * second * first.sum(axis=1))


@pytest.mark.parametrize("network", ["mlp-3-4-5-2", "mlp-12-6-6-6-4", "vgg11-w2", "vgg11-w1-fc3", "mobilenetv1-2-w1"])
def test_the_flow_is_conserved_from_layer_to_layer(network: str, make_subject: MakeSubject) -> None:
    flow, scores = measure(make_subject(network, density=0.9))
    assert flow > 0
    for score in scores.values():
        assert score.dtype == np.float64
        assert score.min() >= 0
        assert score.sum() == pytest.approx(flow)


@pytest.mark.parametrize("network", ["resnet8-w2", "resnet8-w1-pad", "imagenet-resnet26-w1", "mobilenetv1-1-w1"])
def test_without_a_weight_the_flow_is_less_by_its_score(network: str, make_subject: MakeSubject) -> None:
    subject = make_subject(network, density=0.9)
    network_flow = SynapticFlow.of(subject)
    flow, scores = network_flow.measure(subject.mask)
    for name, mask in subject.mask.items():
        place = tuple(np.argwhere(mask)[-1])
        fewer, _ = network_flow.measure(without(subject.mask, name, place))
        assert flow - fewer == pytest.approx(scores[name][place], abs=1e-9 * flow)


def test_neither_data_nor_biases_nor_normalisation_matter(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2")
    others = {name: value * 3 + 1 for name, value in subject.tensors.items() if name not in subject.mask}
    others["fc.weight"] = subject.tensors["fc.weight"]
    moved = replace(
        subject,
        tensors=dict(subject.tensors) | others,
        batches=lambda: [(images + 9, labels * 0) for images, labels in subject.batches()],
    )
    assert measure(moved)[0] == measure(subject)[0]
    assert prune(moved, 100) == prune(subject, 100)


def test_signs_do_not_matter(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet8-w2")
    flipped = replace(subject, tensors=dict(subject.tensors) | {name: -subject.tensors[name] for name in subject.mask})
    assert prune(flipped, 100) == prune(subject, 100)


def test_the_schedule_is_exponential_and_ends_at_what_is_wanted() -> None:
    left = schedule(100_000, 1_000)
    assert len(left) == ROUNDS == 100
    assert (left[0], left[49], left[99]) == (round(100_000 * 0.01**0.01), 10_000, 1_000)
    assert np.allclose(np.diff(np.log(left)), np.log(0.01) / 100, atol=1e-3)
    assert schedule(77, 77) == [77] * 100
    assert set(schedule(77, 0)) == {0}


def test_each_round_scores_what_the_last_one_left(make_subject: MakeSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = make_subject("resnet8-w4")
    kept = round(0.1 * subject.mask.kept)
    seen: list[Mask] = []
    original = SynapticFlow.measure

    def watched(self: SynapticFlow, mask: Mask) -> tuple[float, dict[str, Array]]:
        seen.append(mask)
        return original(self, mask)

    monkeypatch.setattr(SynapticFlow, "measure", watched)
    result = prune(subject, kept)
    assert [mask.kept for mask in seen] == [subject.mask.kept, *schedule(subject.mask.kept, kept)[:-1]]
    nested = [*seen, result]
    assert all(later.within(earlier) for earlier, later in pairwise(nested))


def test_no_layer_of_a_resnet20_is_empty_at_98_percent(make_subject: MakeSubject) -> None:
    subject = make_subject("resnet20-w8")
    pruned = prune(subject, round(0.02 * subject.mask.kept))
    assert all(mask.any() for mask in pruned.values())
    assert measure(subject, pruned)[0] > 0


@pytest.mark.parametrize("network", ["mlp-8-8x50-2", "mlp-6-6-9-5-4", "vgg11-w2"])
@pytest.mark.parametrize("equal", [False, True], ids=["drawn", "equal"])
def test_flow_is_left_as_long_as_that_is_possible(network: str, equal: bool, make_subject: MakeSubject) -> None:
    subject = make_subject(network)
    if equal:  # then a layer's weights have equal scores, and so have layers of equal size
        halves = {name: np.full_like(subject.tensors[name], 0.5) for name in subject.mask}
        subject = replace(subject, tensors=dict(subject.tensors) | halves)
    critical = len(subject.mask)  # one weight a layer
    pruned = prune(subject, critical)
    assert [int(mask.sum()) for mask in pruned.values()] == [1] * critical
    assert measure(subject, pruned)[0] > 0
    assert measure(subject, prune(subject, critical - 1))[0] == 0


def test_a_flow_beyond_float64_is_refused(make_subject: MakeSubject) -> None:
    subject = make_subject("mlp-4-4x30-2")
    huge = {name: np.full_like(subject.tensors[name], 1e20) for name in subject.mask}
    with pytest.raises(MaskError, match=r"^the synaptic flow must be finite, in float64 \(got inf\)$"):
        prune(replace(subject, tensors=dict(subject.tensors) | huge), 40)


def test_a_transformer_is_refused(make_subject: MakeSubject) -> None:
    layers = "attention, embedding, layer_norm"
    with pytest.raises(MaskError, match=rf"^synflow must be given a network of .* \(got vit1-w8-i8 with {layers}\)$"):
        prune(make_subject("vit1-w8-i8"), 10)
