from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from ticketkit.document import canonical
from ticketkit.encoding import Bitmask, Dense
from ticketkit.errors import MaskError
from ticketkit.mask import Mask
from ticketkit.provenance import Results, Weights
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]


def replaced(ticket: Ticket, **stored: object) -> Ticket:
    changed = {name.replace("__", "."): value for name, value in stored.items()}
    return dataclasses.replace(ticket, stored={**ticket.stored, **changed})  # type: ignore[arg-type]


def test_tensors_are_dense_and_zero_where_pruned(make_ticket: MakeTicket) -> None:
    ticket = make_ticket(density=0.3)
    assert list(ticket.tensors) == [entry.name for entry in ticket.arch.state()]
    assert len(ticket.tensors) == len(ticket.stored)
    for name, kept in ticket.mask.items():
        assert np.array_equal(ticket.tensors[name] != 0, kept), name
    assert ticket.tensors["bn.num_batches_tracked"] == 14


def test_counts_agree_with_the_mask(make_ticket: MakeTicket) -> None:
    ticket = make_ticket(density=0.3)
    assert (ticket.kept, ticket.total) == (ticket.mask.kept, ticket.mask.total)
    assert ticket.density == ticket.mask.density
    assert ticket.sparsity == ticket.mask.sparsity
    assert f"{ticket.sparsity:.2%}" in repr(ticket)


def test_from_arrays_gives_back_what_it_got(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    again = Ticket.from_arrays(
        ticket.arch, ticket.tensors, ticket.mask, weights=ticket.weights, provenance=ticket.provenance
    )
    assert again == ticket
    assert hash(again) == hash(ticket)
    assert again.document == ticket.document


def test_values_under_pruned_weights_do_not_matter(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    filled = {
        name: np.where(ticket.mask[name], array, 7) for name, array in ticket.tensors.items() if name in ticket.mask
    }
    again = Ticket.from_arrays(
        ticket.arch,
        {**ticket.tensors, **{name: array.astype(np.float32) for name, array in filled.items()}},
        ticket.mask,
        weights=ticket.weights,
        provenance=ticket.provenance,
    )
    assert again.id == ticket.id


def test_stored_order_is_the_network_s_and_frozen(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    shuffled = dataclasses.replace(ticket, stored=dict(reversed(ticket.stored.items())))
    assert list(shuffled.stored) == list(ticket.stored)
    assert shuffled.id == ticket.id
    with pytest.raises(TypeError):
        ticket.stored["conv.weight"] = ticket.stored["bn.bias"]  # type: ignore[index]


def test_id_follows_everything(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    others = [
        make_ticket(seed=1),
        make_ticket(density=0.31),
        make_ticket(num_classes=3),
        dataclasses.replace(ticket, weights=Weights(role="rewind", step=15)),
        dataclasses.replace(ticket, provenance=dataclasses.replace(ticket.provenance, level=6)),
        dataclasses.replace(ticket, results=Results(tolerance=0.01)),
    ]
    ids = {ticket.id, *(other.id for other in others)}
    assert len(ids) == 1 + len(others)
    assert all(other != ticket for other in others)
    assert ticket != "ticket"


def test_same_values_looks_past_provenance(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    assert same_values(ticket, dataclasses.replace(ticket, weights=Weights(role="final")))
    assert not same_values(ticket, make_ticket(seed=1))
    assert not same_values(ticket, make_ticket("resnet8-w3"))
    head = Dense(ticket.tensors["fc.weight"])
    assert not same_values(ticket, replaced(ticket, fc__weight=head))


def test_missing_and_unknown_tensors_are_refused(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    less = {name: stored for name, stored in ticket.stored.items() if name != "fc.bias"}
    with pytest.raises(MaskError, match=r"cifar-resnet8-w2 must hold fc\.bias \(got none\)"):
        dataclasses.replace(ticket, stored=less)
    with pytest.raises(MaskError, match=r"its own tensors only \(got extra\)"):
        replaced(ticket, extra=Dense(np.zeros(1, np.float32)))


def test_wrong_shape_and_type_are_refused(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    with pytest.raises(MaskError, match=r"fc\.bias of cifar-resnet8-w2 must have shape \(10,\) \(got \(9,\)\)"):
        replaced(ticket, fc__bias=Dense(np.zeros(9, np.float32)))
    with pytest.raises(MaskError, match=r"fc\.bias of cifar-resnet8-w2 must be of type F32 \(got I64\)"):
        replaced(ticket, fc__bias=Dense(np.zeros(10, np.int64)))
    with pytest.raises(MaskError, match=r"must be of type I64 \(got F32\)"):
        replaced(ticket, bn__num_batches_tracked=Dense(np.zeros((), np.float32)))


def test_only_weights_of_some_kinds_take_a_mask(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    masked = Bitmask.encode(np.ones(2, np.float32), np.ones(2, np.bool_))
    with pytest.raises(MaskError, match=r"conv2d, linear and attention layers only \(got bn\.weight\)"):
        replaced(ticket, bn__weight=masked)
    with pytest.raises(MaskError, match="at least one masked tensor"):
        dataclasses.replace(ticket, stored={name: Dense(array) for name, array in ticket.tensors.items()})


def test_a_mask_of_other_tensors_is_refused(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    with pytest.raises(MaskError, match=r"must cover tensors of cifar-resnet8-w2 only \(got other\)"):
        make_ticket(mask=Mask({**ticket.mask, "other": np.ones(1, np.bool_)}))


def test_half_and_double_precision_are_kept(make_ticket: MakeTicket) -> None:
    for dtype, name in (("float16", "F16"), ("float64", "F64")):
        ticket = make_ticket(dtype=dtype)
        assert ticket.stored["conv.weight"].dtype == name
        assert ticket.tensors["bn.running_var"].dtype == dtype


def test_the_documents_text_is_its_canonical_form(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    assert ticket.document_text == canonical(ticket.document).decode()
    assert ticket.document["id"] == ticket.id


def test_a_mask_cannot_be_written_to(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    with pytest.raises(ValueError, match="read-only"):
        ticket.mask["conv.weight"][0] = False
