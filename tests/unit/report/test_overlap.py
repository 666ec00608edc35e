"""Overlap of two tickets, against loops over single weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ticketkit.errors import ArchError
from ticketkit.mask import Mask
from ticketkit.report.overlap import compare
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def _counts(a: Ticket, b: Ticket, name: str) -> tuple[int, int, int, int, int, int]:
    """Total, kept by a, kept by b, both, either, equal: one weight at a time."""
    counts = [0] * 6
    left, right = (ticket.tensors[name].reshape(-1) for ticket in (a, b))
    keeps = [ticket.mask[name].reshape(-1) if name in ticket.mask else np.ones(left.size, bool) for ticket in (a, b)]
    for x, y, in_a, in_b in zip(left, right, *keeps, strict=True):
        facts = (True, in_a, in_b, in_a and in_b, in_a or in_b, in_a and in_b and x.tobytes() == y.tobytes())
        counts = [count + bool(fact) for count, fact in zip(counts, facts, strict=True)]
    return tuple(counts)  # type: ignore[return-value]


def test_against_a_loop(make_ticket: MakeTicket) -> None:
    a, b = make_ticket(density=0.4), make_ticket(density=0.6, seed=1)
    # A third ticket with b's mask, and a's values in the first layers.
    tensors = dict(b.tensors) | {name: a.tensors[name] for name in list(a.tensors)[:12]}
    c = make_ticket(tensors=tensors, mask=b.mask)
    for other in (b, c, a):
        overlap = compare(a, other)
        assert [f"{layer.name}.weight" for layer in overlap.layers] == list(a.mask)
        sums = np.zeros(6, dtype=int)
        for layer in overlap.layers:
            total, kept, other_kept, both, either, equal = found = _counts(a, other, f"{layer.name}.weight")
            sums += found
            assert (layer.total, layer.kept, layer.other_kept) == (total, kept, other_kept)
            assert (layer.both, layer.either, layer.equal) == (both, either, equal)
            assert layer.iou == both / either
        assert (overlap.total, overlap.kept, overlap.other_kept) == tuple(sums[:3])
        assert (overlap.both, overlap.equal, overlap.iou) == (sums[3], sums[5], sums[3] / sums[4])
        assert (overlap.id, overlap.other_id) == (a.id, other.id)
    assert compare(a, b).equal == 0
    assert 0 < compare(a, c).equal < compare(a, c).both


def test_a_ticket_shares_everything_with_itself(make_ticket: MakeTicket) -> None:
    ticket = make_ticket(density=0.3)
    overlap = compare(ticket, ticket)
    assert overlap.iou == 1
    assert overlap.equal == overlap.both == ticket.kept


def test_comparing_is_symmetric(make_ticket: MakeTicket) -> None:
    a, b = make_ticket(density=0.4), make_ticket(density=0.1, seed=1)
    there, back = compare(a, b), compare(b, a)
    assert (there.both, there.equal, there.iou, there.iou_by_chance) == (
        back.both,
        back.equal,
        back.iou,
        back.iou_by_chance,
    )
    assert (there.kept, there.other_kept) == (back.other_kept, back.kept)


def test_empty_masks_agree(make_ticket: MakeTicket) -> None:
    empty, full = make_ticket(density=0.0), make_ticket(density=1.0)
    assert compare(empty, empty).iou == 1
    assert compare(empty, empty).layers[0].iou == compare(empty, empty).iou_by_chance == 1
    assert compare(empty, full).iou == 0
    assert compare(full, full).iou_by_chance == 1


def test_bits_are_compared_not_numbers(make_ticket: MakeTicket) -> None:
    plain = make_ticket(density=1.0)
    positive = dict(plain.tensors) | {"conv.weight": np.zeros((2, 3, 3, 3), dtype=np.float32)}
    negative = dict(positive) | {"conv.weight": -positive["conv.weight"]}
    overlap = compare(make_ticket(tensors=positive, mask=plain.mask), make_ticket(tensors=negative, mask=plain.mask))
    assert overlap.layers[0].equal == 0
    assert overlap.layers[1].equal == overlap.layers[1].both


def test_other_types_share_no_value(make_ticket: MakeTicket) -> None:
    overlap = compare(make_ticket(density=0.5), make_ticket(density=0.5, dtype="float16"))
    assert overlap.iou == 1
    assert overlap.equal == 0


def test_a_layer_that_one_of_them_does_not_mask_is_kept_whole(make_ticket: MakeTicket) -> None:
    a = make_ticket(density=0.5)
    b = make_ticket(density=0.5, mask=Mask({name: a.mask[name] for name in a.mask if name != "fc.weight"}))
    last = compare(a, b).layers[-1]
    assert (last.name, last.kept, last.other_kept, last.both, last.equal) == ("fc", 40, 80, 40, 40)
    assert compare(b, a).layers[-1].other_kept == 40


def test_chance_is_what_random_masks_share(make_ticket: MakeTicket) -> None:
    a, b = make_ticket("resnet8", density=0.3), make_ticket("resnet8", density=0.2, seed=1)
    assert compare(a, b).iou_by_chance == pytest.approx(0.06 / (0.3 + 0.2 - 0.06), abs=1e-4)
    assert compare(a, b).iou == pytest.approx(compare(a, b).iou_by_chance, abs=0.01)


@pytest.mark.parametrize("other", [{"arch_name": "resnet14-w2"}, {"num_classes": 7}, {"arch_name": "resnet8-w2-pad"}])
def test_other_networks_are_refused(make_ticket: MakeTicket, other: dict[str, object]) -> None:
    message = r"^tickets to compare must be of one network \(got cifar-resnet8-w2, 10 classes, 3 input channels; and "
    with pytest.raises(ArchError, match=message):
        compare(make_ticket(), make_ticket(**other))


def test_json_has_the_sums_and_the_layers(make_ticket: MakeTicket) -> None:
    source = make_ticket("resnet8-w2")
    overlap = compare(source, stretch_ticket(source, "8"))
    keys = {"total", "kept", "other_kept", "both", "equal", "iou", "iou_by_chance"}
    assert overlap.to_json().keys() == keys | {"other_id", "layers"}
    assert all(layer.keys() == keys | {"index", "name"} for layer in overlap.to_json()["layers"])
