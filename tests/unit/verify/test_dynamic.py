from __future__ import annotations

from collections.abc import Callable

import pytest

from ticketkit.models import initialise
from ticketkit.prune.erk import erk_counts
from ticketkit.recipe import Recipe
from ticketkit.ticket import Ticket
from ticketkit.train.schedule import learning_rate
from ticketkit.verify import ARMS, Context
from ticketkit.verify.dynamic import dynamic_start, lengthened

MakeContext = Callable[..., Context]


def test_it_starts_from_scratch_with_erks_densities(ticket: Ticket, make_context: MakeContext) -> None:
    start = dynamic_start(make_context(ticket, seed=9, dst_multiplier=3), grow="gradient")
    assert start.mask is not None
    shapes = {name: mask.shape for name, mask in ticket.mask.items()}
    assert {name: int(mask.sum()) for name, mask in start.mask.items()} == erk_counts(shapes, ticket.kept)
    fresh = initialise(ticket.arch, 9)
    assert all(start.tensors[name].tobytes() == fresh[name].tobytes() for name in fresh)
    assert start.first_step == 0
    assert start.recipe is not None
    assert start.recipe.epochs == 6
    assert start.setup.sparse == start.setup.dense == 0


def test_rigl_grows_by_gradient_and_set_at_random_from_the_arms_seed(ticket: Ticket, make_context: MakeContext) -> None:
    rigl, another, seeded = (
        ARMS[name].start(make_context(ticket, seed)).rewiring for name, seed in (("rigl", 1), ("set", 1), ("set", 2))
    )
    assert rigl is not None
    assert another is not None
    assert seeded is not None
    assert (rigl.grow, another.grow) == ("gradient", "random")
    assert another.seed != seeded.seed
    assert (rigl.drop, rigl.interval, rigl.end) == (0.3, 100, 0.75), "RigL's own"


@pytest.mark.parametrize("schedule", ["step", "cosine"])
@pytest.mark.parametrize("times", [1, 5])
def test_a_lengthened_schedule_is_the_same_one_stretched(schedule: str, times: int) -> None:
    recipe = Recipe(
        name="r", epochs=6, batch=8, lr=0.4, schedule=schedule, milestones=(2, 5), warmup=1.5, rewind="3it", crop=1
    )
    longer = lengthened(recipe, times)
    assert (longer.epochs, longer.milestones, longer.warmup) == (6 * times, (2 * times, 5 * times), 1.5 * times)
    assert {**longer.to_dict(), "epochs": 6, "milestones": (2, 5), "warmup": 1.5} == recipe.to_dict()
    for step in range(6, 24):  # behind the warm-up
        assert learning_rate(longer, times * step, 4) == pytest.approx(learning_rate(recipe, step, 4))
    peak = [learning_rate(longer, step, 4) for step in range(6 * times)]
    assert peak == pytest.approx([0.4 * (step + 1) / (6 * times) for step in range(6 * times)])
