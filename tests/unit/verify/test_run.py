from collections.abc import Callable

import numpy as np
import pytest

from ticketkit.data import ImageData
from ticketkit.errors import ArchError, RecipeError, TicketkitError
from ticketkit.models import initialise
from ticketkit.provenance import Weights
from ticketkit.recipe import Recipe
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, train
from ticketkit.verify import ARMS, Context, RunReport, verify_ticket

RECIPE = Recipe(name="tiny", epochs=2, batch=16, lr=0.05, nesterov=True, crop=1)
CPU = Compute()


@pytest.fixture
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    return make_ticket("resnet8-w2", density=0.4, in_channels=1, num_classes=2, weights=Weights(role="rewind", step=3))


def context_of(ticket: Ticket, stripes: ImageData, seed: int = 0) -> Context:
    return Context(ticket=ticket, batches=Batches(stripes, RECIPE), compute=CPU, seed=seed)


@pytest.mark.parametrize("name", sorted(ARMS))
def test_every_arm_starts_with_the_networks_tensors(ticket: Ticket, stripes: ImageData, name: str):
    start = ARMS[name].start(context_of(ticket, stripes))
    assert list(start.tensors) == list(ticket.tensors)
    assert all(start.tensors[key].shape == array.shape for key, array in ticket.tensors.items())
    if start.mask is not None:
        assert {key: int(mask.sum()) for key, mask in start.mask.items()} == {
            key: int(mask.sum()) for key, mask in ticket.mask.items()
        }, "every masked arm keeps the ticket's count in every layer"
    assert ARMS[name].summary


@pytest.mark.parametrize("name", sorted(ARMS))
def test_every_arm_follows_from_its_seed(ticket: Ticket, stripes: ImageData, name: str):
    first, again = (ARMS[name].start(context_of(ticket, stripes, seed=5)) for _ in range(2))
    assert first.mask == again.mask
    assert all(first.tensors[key].tobytes() == again.tensors[key].tobytes() for key in first.tensors)


def test_random_permutes_masks_and_keeps_the_tickets_weights_where_it_can(ticket: Ticket, stripes: ImageData):
    start = ARMS["random"].start(context_of(ticket, stripes))
    assert start.mask is not None
    assert start.mask != ticket.mask
    for name, mask in ticket.mask.items():
        both = mask & start.mask[name]
        assert np.array_equal(start.tensors[name][both], ticket.tensors[name][both])
        new = start.mask[name] & ~mask
        assert (start.tensors[name][new] != 0).all(), "a weight the ticket lacks gets a draw, not a zero"
    assert np.array_equal(start.tensors["bn.weight"], ticket.tensors["bn.weight"])
    other = ARMS["random"].start(context_of(ticket, stripes, seed=1))
    assert other.mask != start.mask


def test_reinit_keeps_the_mask_and_draws_everything_else(ticket: Ticket, stripes: ImageData):
    start = ARMS["reinit"].start(context_of(ticket, stripes, seed=4))
    assert start.mask == ticket.mask
    fresh = initialise(ticket.arch, 4)
    assert all(np.array_equal(start.tensors[name], fresh[name]) for name in fresh)


def test_arms_are_trained_alike(ticket: Ticket, stripes: ImageData):
    seen: list[RunReport] = []
    report = verify_ticket(ticket, stripes, RECIPE, seeds=(7, 8), device=CPU, on_run=seen.append)
    assert [(item.run.seed, item.arm) for item in seen] == [
        (seed, arm) for seed in (7, 8) for arm in ("ticket", "dense", "random", "reinit")
    ]
    assert report.start_step == 3
    by_hand = train(
        ticket.arch,
        ticket.tensors,
        ticket.mask,
        Batches(stripes, RECIPE),
        seed=derive_seed(8, "verify"),
        compute=CPU,
        first_step=3,
    )
    assert report.arm("ticket").runs[1].accuracy == by_hand.accuracy
    assert report.arm("ticket").runs[1].loss == by_hand.loss
    assert report.arm("ticket").kept == ticket.kept
    assert report.arm("dense").kept == report.arm("dense").total == ticket.total


def test_an_arm_does_not_depend_on_which_others_there_are(ticket: Ticket, stripes: ImageData):
    alone = verify_ticket(ticket, stripes, RECIPE, arms=["random"], seeds=(1,), device=CPU)
    together = verify_ticket(ticket, stripes, RECIPE, seeds=(0, 1), device=CPU)
    assert alone.arm("random").runs[0].accuracy == together.arm("random").runs[1].accuracy
    assert alone.arm("random").runs[0].loss == together.arm("random").runs[1].loss


def test_start_0_trains_the_whole_schedule(ticket: Ticket, stripes: ImageData):
    report = verify_ticket(ticket, stripes, RECIPE, arms=[], seeds=(0,), start="0", device=CPU)
    assert report.start_step == 0


def test_another_ticket_is_an_arm(ticket: Ticket, stripes: ImageData, make_ticket: Callable[..., Ticket]):
    rival = make_ticket("resnet14-w2", density=0.4, in_channels=1, num_classes=2)
    report = verify_ticket(ticket, stripes, RECIPE, arms=[], rivals={"imp": rival}, seeds=(0,), device=CPU)
    assert [arm.name for arm in report.arms] == ["ticket", "imp"]
    assert report.arm("imp").total == rival.total


def test_what_does_not_fit_is_refused(ticket: Ticket, stripes: ImageData, make_ticket: Callable[..., Ticket]):
    with pytest.raises(
        TicketkitError, match=r"arm must be one of dense, random, reinit, ticket \(got 'denes'\); did you"
    ):
        verify_ticket(ticket, stripes, RECIPE, arms=["denes"])
    with pytest.raises(TicketkitError, match="named once"):
        verify_ticket(ticket, stripes, RECIPE, arms=["dense", "dense"])
    with pytest.raises(TicketkitError, match="seeds must be one or more different numbers"):
        verify_ticket(ticket, stripes, RECIPE, seeds=())
    with pytest.raises(ArchError, match="in_channels"):
        verify_ticket(make_ticket("resnet8-w2", num_classes=2), stripes, RECIPE)
    short = Recipe(name="short", epochs=1, batch=64, lr=0.1)
    with pytest.raises(RecipeError, match=r"rewind step must lie before the end of training, 1 steps \(got 3\)"):
        verify_ticket(ticket, stripes, short)
    final = make_ticket("resnet8-w2", in_channels=1, num_classes=2, weights=Weights(role="final", step=9))
    with pytest.raises(RecipeError, match="start 0"):
        verify_ticket(final, stripes, RECIPE)


def test_a_ticket_in_half_precision_is_trained_in_the_networks_own(
    stripes: ImageData, make_ticket: Callable[..., Ticket]
):
    half = make_ticket("resnet8-w2", in_channels=1, num_classes=2, dtype="float16")
    report = verify_ticket(half, stripes, RECIPE, arms=["random"], seeds=(0,), start="0", device=CPU)
    assert [arm.name for arm in report.arms] == ["ticket", "random"]
