from collections.abc import Callable

import numpy as np
import pytest

from ticketkit.encoding import Bitmask
from ticketkit.errors import StretchError
from ticketkit.stretch import Adjustments, stretch_ticket
from ticketkit.ticket import Ticket, same_values


@pytest.fixture
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    return make_ticket("resnet14-w4", density=0.3)


def test_without_adjustments_nothing_is_recorded(ticket: Ticket):
    done = stretch_ticket(ticket, "20").provenance.transformations[-1]
    assert done.settings is None
    assert same_values(stretch_ticket(ticket, "20", adjustments=Adjustments()), stretch_ticket(ticket, "20"))


def test_random_copies_permutes_the_masks_of_copies_alone(ticket: Ticket):
    plain = stretch_ticket(ticket, "26")  # B0 B1 B1 B1
    adjusted = stretch_ticket(ticket, "26", adjustments=Adjustments(random_copies=True, seed=5))
    changed = {name for name in plain.mask if not np.array_equal(plain.mask[name], adjusted.mask[name])}
    copies = {f"blocks.{4 * stage + unit}" for stage in range(3) for unit in (2, 3)}
    assert {name.rpartition(".conv")[0] for name in changed} == copies
    assert adjusted.kept == plain.kept
    for name in changed:
        assert adjusted.mask[name].sum() == plain.mask[name].sum()
        both = adjusted.mask[name] & plain.mask[name]
        assert np.array_equal(adjusted.tensors[name][both], plain.tensors[name][both])
        assert (adjusted.tensors[name][adjusted.mask[name]] != 0).all()
    assert not np.array_equal(adjusted.mask["blocks.2.conv1.weight"], adjusted.mask["blocks.3.conv1.weight"])
    assert adjusted == stretch_ticket(ticket, "26", adjustments=Adjustments(random_copies=True, seed=5))
    assert adjusted != stretch_ticket(ticket, "26", adjustments=Adjustments(random_copies=True, seed=6))
    assert adjusted.provenance.transformations[-1].settings == {"random_copies": True, "seed": 5}


def test_rescale_divides_the_last_normalisation_by_the_number_of_copies(make_ticket: Callable[..., Ticket]):
    ticket = make_ticket("resnet20-w4")
    plain = stretch_ticket(ticket, "resnet32-w4", mapping="0:0;1:1,2,3;2:4")
    adjusted = stretch_ticket(ticket, "resnet32-w4", mapping="0:0;1:1,2,3;2:4", adjustments=Adjustments(rescale=True))
    for name, array in plain.tensors.items():
        block, _, rest = name.removeprefix("blocks.").partition(".")
        replicated = block.isdigit() and int(block) % 5 in (1, 2, 3)
        divisor = 3 if replicated and rest in ("bn2.weight", "bn2.bias") else 1
        np.testing.assert_array_equal(adjusted.tensors[name], array / np.array(divisor, array.dtype), err_msg=name)
    assert adjusted.provenance.transformations[-1].settings == {"rescale": True}


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_sparsity_is_matched_exactly_with_the_smallest_weights_gone(ticket: Ticket, scope: str):
    plain = stretch_ticket(ticket, "20")
    adjusted = stretch_ticket(ticket, "20", adjustments=Adjustments(sparsity=0.9, scope=scope))
    assert adjusted.kept == round(0.1 * adjusted.total)
    assert adjusted.mask.within(plain.mask)
    dropped, kept = [], []
    for name, stored in adjusted.stored.items():
        if isinstance(stored, Bitmask):
            gone = plain.mask[name] & ~adjusted.mask[name]
            magnitudes = np.abs(plain.tensors[name])
            dropped.append(magnitudes[gone])
            kept.append(magnitudes[adjusted.mask[name]])
            if scope == "layer":
                before = int(plain.mask[name].sum())
                assert abs(stored.kept - before * adjusted.kept / plain.kept) < 1
                assert dropped[-1].max(initial=0) <= kept[-1].min(initial=np.inf)
            assert np.array_equal(adjusted.tensors[name][adjusted.mask[name]], plain.tensors[name][adjusted.mask[name]])
    if scope == "global":
        assert np.concatenate(dropped).max() <= np.concatenate(kept).min()
    assert adjusted.provenance.transformations[-1].settings == {"sparsity": 0.9, "scope": scope}
    assert adjusted.provenance.transformations[-1].sparsity_after == adjusted.sparsity


def test_a_ticket_cannot_be_made_denser(ticket: Ticket):
    with pytest.raises(StretchError, match=r"at least the stretched ticket's 70\.\d+% \(got 50\.0000%\)"):
        stretch_ticket(ticket, "20", adjustments=Adjustments(sparsity=0.5))
    with pytest.raises(StretchError, match="above 0 and below 1"):
        Adjustments(sparsity=1.0)


def test_other_classes_and_channels_make_head_and_stem_anew(ticket: Ticket):
    moved = stretch_ticket(ticket, "20", num_classes=7, in_channels=1, adjustments=Adjustments(seed=3))
    assert (moved.arch.num_classes, moved.arch.in_channels, moved.arch.depth) == (7, 1, 20)
    assert moved.tensors["fc.weight"].shape == (7, 16)
    assert moved.tensors["conv.weight"].shape == (4, 1, 3, 3)
    assert moved.mask["fc.weight"].all()
    assert moved.mask["conv.weight"].all()
    plain = stretch_ticket(ticket, "20")
    fresh = {"conv.weight", "fc.weight", "fc.bias"}
    assert all(moved.stored[name] is plain.stored[name] for name in plain.stored if name not in fresh)
    assert abs(moved.tensors["fc.bias"]).max() <= 16**-0.5
    assert moved.tensors["conv.weight"].std() == pytest.approx((2 / 9) ** 0.5, rel=0.5)
    assert moved.provenance.transformations[-1].settings == {"num_classes": 7, "in_channels": 1, "seed": 3}
    assert moved == stretch_ticket(ticket, "20", num_classes=7, in_channels=1, adjustments=Adjustments(seed=3))
    assert moved != stretch_ticket(ticket, "20", num_classes=7, in_channels=1, adjustments=Adjustments(seed=4))


def test_classes_that_stay_make_nothing_anew(ticket: Ticket):
    same = stretch_ticket(ticket, "14", num_classes=10, in_channels=3)
    assert same_values(same, ticket)
    assert same.provenance.transformations[-1].settings is None
