from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ticketkit import connect as module
from ticketkit.connect import connect, connect_ticket, interpolate, line_between
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, RecipeError, RunError, TicketkitError
from ticketkit.models import instantiate
from ticketkit.provenance import Weights
from ticketkit.recipe import Recipe
from ticketkit.report.connection import Curve, Point
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, Trained, accuracy_of, recalibrate, train

RECIPE = Recipe(name="tiny", epochs=2, batch=16, lr=0.05, nesterov=True, crop=1)
CPU = Compute()


@pytest.fixture
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    return make_ticket("resnet8-w2", density=0.4, in_channels=1, num_classes=2, weights=Weights(role="rewind", step=3))


@pytest.fixture
def batches(stripes: ImageData) -> Batches:
    return Batches(stripes, RECIPE)


def trained_by_hand(ticket: Ticket, batches: Batches, seed: int, end: int) -> Trained:
    noise = derive_seed(seed, "connect", end)
    return train(ticket.arch, ticket.tensors, ticket.mask, batches, seed=noise, compute=CPU, first_step=3)


def without_time(curve: Curve) -> Curve:
    return replace(curve, seconds=0.0)


def test_the_ends_are_two_trainings_that_differ_in_noise_alone(ticket: Ticket, stripes: ImageData, batches: Batches):
    connection = connect_ticket(ticket, stripes, RECIPE, seeds=(7, 8), points=3, device=CPU)
    assert [curve.seed for curve in connection.curves] == [7, 8]
    for curve in connection.curves:
        ends = [trained_by_hand(ticket, batches, curve.seed, end) for end in (0, 1)]
        assert curve.ends == (ends[0].accuracy, ends[1].accuracy)
        assert curve.points == line_between(
            ticket.arch, ends[0].tensors, ends[1].tensors, batches, compute=CPU, points=3
        )
        gaps = [(ends[0].tensors[name] - ends[1].tensors[name])[kept] for name, kept in ticket.mask.items()]
        assert curve.distance == pytest.approx(np.linalg.norm(np.concatenate(gaps)), rel=1e-6)
        assert curve.distance > 0
    assert connection.start_step == 3
    assert (connection.name, connection.ticket_id) == (ticket.arch.name, ticket.id)
    assert connection.setting["dataset"]["fingerprint"] == stripes.fingerprint


def test_the_line_begins_and_ends_at_the_recalibrated_ends(ticket: Ticket, batches: Batches):
    ends = [trained_by_hand(ticket, batches, 0, end).tensors for end in (0, 1)]
    line = line_between(ticket.arch, ends[0], ends[1], batches, compute=CPU, points=5)
    assert [point.alpha for point in line] == [0, 0.25, 0.5, 0.75, 1]
    for tensors, point in zip(ends, (line[0], line[-1]), strict=True):
        model = recalibrate(instantiate(ticket.arch, tensors), batches, CPU)
        assert point.accuracy == accuracy_of(model, batches, CPU)
    assert line[0].loss != line[-1].loss


def test_the_losses_are_mean_cross_entropies_without_augmentation(
    ticket: Ticket, batches: Batches, stripes: ImageData, monkeypatch: pytest.MonkeyPatch
):
    """A network that knows one answer: its loss by hand, and of the training images the whole are seen as they are."""
    tensors = dict(ticket.tensors)
    tensors["fc.weight"] = np.zeros_like(tensors["fc.weight"])
    tensors["fc.bias"] = np.array([1.0, 0.0], dtype=np.float32)
    line = line_between(ticket.arch, tensors, tensors, batches, compute=CPU, points=2)
    right, wrong = np.log1p(np.exp(-1)), np.log1p(np.exp(1))
    assert line[0].loss == pytest.approx(np.where(stripes.test_labels == 0, right, wrong).mean(), rel=1e-6)
    assert line[0].train_loss == pytest.approx(np.where(stripes.train_labels == 0, right, wrong).mean(), rel=1e-6)
    monkeypatch.setattr(module, "TRAINING_IMAGES", 32)  # every second of 64: all of one class
    halved = line_between(ticket.arch, tensors, tensors, batches, compute=CPU, points=2)
    assert halved[0].train_loss == pytest.approx(right, rel=1e-6)
    assert halved[0].loss == line[0].loss


def test_equal_noise_leaves_no_barrier_and_no_distance(
    ticket: Ticket, batches: Batches, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "derive_seed", lambda seed, *_: seed)
    curve = connect(ticket.arch, ticket.tensors, ticket.mask, batches, seed=5, compute=CPU, first_step=3, points=4)
    assert curve.ends[0] == curve.ends[1]
    assert curve.barrier == curve.loss_barrier == curve.train_loss_barrier == curve.distance == 0


def test_a_point_is_the_ends_weighted_and_pruned_weights_stay_zero(ticket: Ticket, batches: Batches):
    first, second = (trained_by_hand(ticket, batches, 0, end).tensors for end in (0, 1))
    for alpha in (0.0, 0.3, 1.0):
        point = interpolate(first, second, alpha)
        assert list(point) == list(first)
        for name, array in point.items():
            assert array.dtype == first[name].dtype
            if array.dtype.kind == "f":
                np.testing.assert_allclose(
                    array, (1 - alpha) * first[name] + alpha * second[name], rtol=1e-5, atol=1e-7
                )
        assert not any(point[name][~kept].any() for name, kept in ticket.mask.items())
    assert all(interpolate(first, second, 0)[name].tobytes() == first[name].tobytes() for name in first)
    assert all(interpolate(first, second, 1)[name].tobytes() == second[name].tobytes() for name in first)


def test_between_equal_values_is_that_value_and_counters_are_not_mixed():
    random = np.random.default_rng(0)
    values = random.standard_normal(10_000).astype(np.float32)
    same = interpolate({"w": values}, {"w": values}, 1 / 3)
    assert same["w"].tobytes() == values.tobytes()
    counters = interpolate({"n": np.array(4)}, {"n": np.array(9)}, 0.5)
    assert counters["n"] == 4


def test_what_follows_from_the_seed_follows_again(ticket: Ticket, stripes: ImageData):
    def run(seeds: tuple[int, ...]) -> list[Curve]:
        connection = connect_ticket(ticket, stripes, RECIPE, seeds=seeds, points=3, device=CPU)
        return [without_time(curve) for curve in connection.curves]

    first, again = run((1,)), run((0, 1))
    assert first == again[1:], "a pair does not depend on which others there are"
    assert again[0] != replace(again[1], seed=0)


def test_progress_is_told_in_order(ticket: Ticket, stripes: ImageData):
    told: list[tuple[object, ...]] = []

    def on_epoch(seed: int, end: int, progress: Progress) -> None:
        told.append((seed, end, progress.step))

    def on_point(seed: int, point: Point) -> None:
        told.append((seed, point.alpha))

    connect_ticket(
        ticket,
        stripes,
        RECIPE,
        seeds=(4,),
        points=2,
        start="0",
        device=CPU,
        on_epoch=on_epoch,
        on_point=on_point,
        on_curve=lambda curve: told.append((curve.seed,)),
    )
    assert told == [(4, 0, 4), (4, 0, 8), (4, 1, 4), (4, 1, 8), (4, 0.0), (4, 1.0), (4,)]


def test_a_dense_network_is_connected_too(ticket: Ticket, batches: Batches):
    curve = connect(ticket.arch, ticket.tensors, None, batches, seed=0, compute=CPU, points=2)
    assert curve.distance > 0


def test_what_does_not_fit_is_refused(ticket: Ticket, stripes: ImageData, make_ticket: Callable[..., Ticket]):
    with pytest.raises(TicketkitError, match="seeds must be one or more different numbers"):
        connect_ticket(ticket, stripes, RECIPE, seeds=(0, 0))
    with pytest.raises(TicketkitError, match=r"at least 2 points, its ends \(got 1\)"):
        connect_ticket(ticket, stripes, RECIPE, points=1)
    with pytest.raises(ArchError, match="in_channels"):
        connect_ticket(make_ticket("resnet8-w2", num_classes=2), stripes, RECIPE)
    short = Recipe(name="short", epochs=1, batch=64, lr=0.1)
    with pytest.raises(RecipeError, match=r"rewind step must lie before the end of training, 1 steps \(got 3\)"):
        connect_ticket(ticket, stripes, short)
    final = make_ticket("resnet8-w2", in_channels=1, num_classes=2, weights=Weights(role="final", step=9))
    with pytest.raises(RecipeError, match="start 0"):
        connect_ticket(final, stripes, RECIPE)


def test_a_loss_that_is_not_finite_is_refused(ticket: Ticket, batches: Batches):
    huge = np.full_like(ticket.tensors["fc.weight"], 3e38)
    broken = dict(ticket.tensors) | {"fc.weight": huge}
    with pytest.raises(RunError, match=r"finite all along the line \(got nan at alpha 0\.000\)"):
        line_between(ticket.arch, broken, broken, batches, compute=CPU, points=2)
