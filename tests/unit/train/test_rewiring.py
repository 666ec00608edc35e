from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ticketkit.errors import RecipeError
from ticketkit.train.flat import FlatParameters
from ticketkit.train.rewiring import Rewiring, rewire

FIRST = [5.0, -1.0, 0.5, 3.0, -4.0, 2.0, 0.0, 0.0, 0.0, 0.0]
"""Six of the first layer's ten weights are kept, the last four pruned."""

SECOND = [[0.3, -0.1, 0.2, 0.0], [0.0, 0.0, 0.4, 0.5]]
"""Five of the second layer's eight weights are kept; some of the others' values are zero by chance or by mask."""

KEPT = {
    "0.weight": np.array([FIRST]) != 0,
    "1.weight": np.array([[True, True, True, False], [False, False, True, True]]),
}


def network() -> tuple[FlatParameters, torch.optim.SGD, nn.Sequential]:
    """Two layers with masks, and one without, whose momentum is 7 everywhere."""
    model = nn.Sequential(nn.Linear(10, 1, bias=False), nn.Linear(4, 2), nn.Linear(2, 3))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([FIRST]))
        model[1].weight.copy_(torch.tensor(SECOND))
    flat = FlatParameters(model, KEPT)
    optimiser = torch.optim.SGD([flat.values], lr=0.1, momentum=0.9)
    flat.set_momentum(optimiser, np.full(flat.values.numel(), 7, dtype=np.float32))
    return flat, optimiser, model


def give_gradients(flat: FlatParameters, first: list[float], second: list[list[float]] | None = None) -> None:
    for name, values in (("0.weight", [first]), ("1.weight", SECOND if second is None else second)):
        part, _ = flat.masked[name]
        flat.gradients[part] = torch.tensor(values).flatten()


def parts(flat: FlatParameters, of: Tensor) -> list[list[float]]:
    return [of[part].tolist() for part, _ in flat.masked.values()]


def exchange(rewiring: Rewiring, gradients: list[float], **arguments: int) -> tuple[FlatParameters, list[float]]:
    """Rewire once; the network, and its momentum in the first layer."""
    flat, optimiser, _ = network()
    give_gradients(flat, gradients)
    rewire(flat, optimiser, rewiring, arguments.get("step", 0), 100)
    return flat, flat.momentum(optimiser)[flat.masked["0.weight"][0]].tolist()


# --- when, and how many


def test_an_exchange_is_due_at_every_interval_but_the_first_and_before_the_end() -> None:
    rewiring = Rewiring(grow="gradient", interval=10, end=0.75)
    due = [step for step in range(100) if rewiring.is_due(step, 100)]
    assert due == [10, 20, 30, 40, 50, 60, 70]
    assert rewiring.count(100) == 7
    assert not rewiring.is_due(60, 80), "the end itself is none"
    assert [rewiring.count(total) for total in (0, 1, 13, 14, 80, 81)] == [0, 0, 0, 1, 5, 6]


@pytest.mark.parametrize("interval", [1, 3, 7])
@pytest.mark.parametrize("end", [0.5, 1.0])
def test_the_count_is_how_often_one_is_due(interval: int, end: float) -> None:
    rewiring = Rewiring(grow="random", interval=interval, end=end)
    for total in range(40):
        assert rewiring.count(total) == sum(rewiring.is_due(step, total) for step in range(total))


def test_the_fraction_falls_to_0_as_a_cosine() -> None:
    rewiring = Rewiring(grow="gradient", drop=0.4, end=0.5)
    assert rewiring.fraction(0, 200) == pytest.approx(0.4)
    assert rewiring.fraction(25, 200) == pytest.approx(0.2 * (1 + math.sqrt(0.5)))
    assert rewiring.fraction(50, 200) == pytest.approx(0.2)
    assert rewiring.fraction(100, 200) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "field", [{"drop": 0.0}, {"drop": 1.0}, {"end": 0.0}, {"end": 1.1}, {"interval": 0}, {"drop": math.nan}]
)
def test_fields_out_of_their_range_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(
        RecipeError, match=r"drop in \(0, 1\), end in \(0, 1\] and an interval of 1 step or more \(got "
    ):
        Rewiring(grow="gradient", **field)


# --- what is exchanged


def test_the_smallest_go_and_the_largest_gradients_come() -> None:
    # Half of six kept weights: 0.5, −1 and 2 go. Of all then pruned, the gradients 9, −8 and 6 are the largest.
    gradients = [100.0, 1.0, -2.0, 100.0, 100.0, 3.0, 6.0, -8.0, 5.0, 9.0]
    flat, momentum = exchange(Rewiring(grow="gradient", drop=0.5), gradients)
    mask, values = parts(flat, flat.mask)[0], parts(flat, flat.values.detach())[0]
    assert mask == [1, 0, 0, 1, 1, 0, 1, 1, 0, 1]
    assert values == [5.0, 0, 0, 3.0, -4.0, 0, 0, 0, 0, 0]
    assert momentum == [7, 0, 0, 7, 7, 0, 0, 0, 0, 0]
    assert not torch.signbit(flat.values.detach()[flat.mask == 0]).any(), "and no zero is negative"


def test_one_that_is_dropped_and_chosen_again_stays_as_it_was() -> None:
    # As before, but −1 has the largest gradient of all that are pruned once it has gone.
    gradients = [100.0, -50.0, -2.0, 100.0, 100.0, 3.0, 6.0, -8.0, 5.0, 9.0]
    flat, momentum = exchange(Rewiring(grow="gradient", drop=0.5), gradients)
    assert parts(flat, flat.mask)[0] == [1, 1, 0, 1, 1, 0, 0, 1, 0, 1]
    assert parts(flat, flat.values.detach())[0] == [5.0, -1.0, 0, 3.0, -4.0, 0, 0, 0, 0, 0]
    assert momentum == [7, 7, 0, 7, 7, 0, 0, 0, 0, 0]


def test_every_layer_keeps_its_count_and_what_is_unmasked_its_values() -> None:
    flat, optimiser, model = network()
    give_gradients(flat, [float(number) for number in range(10)], [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    unmasked = {name: value.clone() for name, value in model.named_parameters() if name not in KEPT}
    gradients = flat.gradients.clone()
    rewire(flat, optimiser, Rewiring(grow="gradient", drop=0.5), 0, 100)
    assert [sum(mask) for mask in parts(flat, flat.mask)] == [6, 5]
    # In the second layer two of five go, −0.1 and 0.2; the largest gradients of the pruned are 6 and 5.
    assert parts(flat, flat.mask)[1] == [1, 0, 0, 0, 1, 1, 1, 1]
    assert parts(flat, flat.values.detach())[1] == pytest.approx([0.3, 0, 0, 0, 0, 0, 0.4, 0.5])
    for name, value in unmasked.items():
        assert torch.equal(model.get_parameter(name), value)
    outside = torch.ones_like(flat.mask, dtype=torch.bool)
    for part, _ in flat.masked.values():
        outside[part] = False
    assert flat.mask[outside].all()
    assert (flat.momentum(optimiser)[outside.numpy()] == 7).all()
    assert torch.equal(flat.gradients, gradients)
    assert flat.pruned_are_zero()


def test_the_fraction_rounds_down() -> None:
    def dropped(drop: float, step: int) -> int:
        flat, _ = exchange(Rewiring(grow="gradient", drop=drop, end=1.0), [0.0] * 6 + [1.0] * 4, step=step)
        return int(sum(parts(flat, flat.mask)[0][6:]))

    assert [dropped(0.34, step) for step in (0, 20, 50, 80, 100)] == [2, 1, 1, 0, 0]  # of 2.04, 1.8, 1.02, 0.19, 0


def test_growing_at_random_follows_the_seed_and_the_step_alone() -> None:
    def mask(seed: int, step: int, gradients: list[float]) -> list[float]:
        flat, _ = exchange(Rewiring(grow="random", drop=0.5, end=1.0, seed=seed), gradients, step=step)
        assert sum(parts(flat, flat.mask)[0]) == 6
        assert parts(flat, flat.mask)[0][0] == 1, "the largest stays"
        return [value for layer in parts(flat, flat.mask) for value in layer]

    some, other = [float(number) for number in range(10)], [float(-number * 3) for number in range(10)]
    assert mask(1, 0, some) == mask(1, 0, other)
    assert len({tuple(mask(seed, 0, some)) for seed in range(20)}) > 5
    assert len({tuple(mask(1, step, some)) for step in range(10)}) > 2


def test_a_dense_layer_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 2, bias=False))
    flat = FlatParameters(model, {"0.weight": np.ones((2, 4), dtype=np.bool_)})
    before = flat.values.detach().clone()
    flat.gradients.fill_(1)
    optimiser = torch.optim.SGD([flat.values], lr=0.1)
    rewire(flat, optimiser, Rewiring(grow="gradient", drop=0.5), 0, 100)
    assert torch.equal(flat.values.detach(), before)
    assert flat.mask.all()
