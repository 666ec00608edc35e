"""Where two tickets differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ticketkit.encoding import Dense
from ticketkit.provenance import LevelResult, Results, Weights
from ticketkit.report.difference import Difference, FieldDifference
from ticketkit.report.overlap import compare
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def test_a_ticket_does_not_differ_from_itself(make_ticket: MakeTicket) -> None:
    found = Difference.of(make_ticket(), make_ticket())
    assert found.id == found.other_id
    assert (found.fields, found.unmasked_different) == ((), ())
    assert found.overlap is not None
    assert found.overlap.equal == make_ticket().kept
    assert found.to_json()["equal"] is True


def test_every_field_that_differs_is_named(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    results = Results(levels=(LevelResult(level=0, kept=5, total=9, accuracy=0.5),), winning_level=0)
    provenance = dataclasses.replace(ticket.provenance, seed=7, recipe={"epochs": 3, "learning_rate": 0.1})
    other = dataclasses.replace(ticket, provenance=provenance, results=results, weights=Weights(role="final"))
    found = Difference.of(ticket, other)
    assert found.fields == (
        FieldDifference(field="weights.role", first="rewind", other="final"),
        FieldDifference(field="weights.step", first=14, other=None),
        FieldDifference(field="provenance.seed", first=0, other=7),
        FieldDifference(field="provenance.recipe.epochs", first=2, other=3),
        FieldDifference(field="results.levels[0].level", first=None, other=0),
        FieldDifference(field="results.levels[0].kept", first=None, other=5),
        FieldDifference(field="results.levels[0].total", first=None, other=9),
        FieldDifference(field="results.levels[0].accuracy", first=None, other=0.5),
        FieldDifference(field="results.winning_level", first=None, other=0),
    )
    assert {(entry.field, entry.other, entry.first) for entry in found.fields} == {
        (entry.field, entry.first, entry.other) for entry in Difference.of(other, ticket).fields
    }


def test_tensors_without_a_mask_are_compared_bit_for_bit(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    bias = ticket.tensors["fc.bias"]
    bias[0] = np.nextafter(bias[0], np.float32(9))
    halved = Dense(ticket.tensors["bn.weight"].astype(np.float16))
    other = dataclasses.replace(ticket, stored={**ticket.stored, "fc.bias": Dense(bias), "bn.weight": halved})
    found = Difference.of(ticket, other)
    assert found.unmasked_different == ("bn.weight", "fc.bias")
    assert found.unmasked == len(ticket.stored) - len(ticket.mask)
    assert found.overlap is not None
    assert found.overlap.to_json() == compare(ticket, other).to_json()


def test_what_one_alone_masks_is_compared_with_the_masked(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    other = dataclasses.replace(ticket, stored={**ticket.stored, "fc.weight": Dense(ticket.tensors["fc.weight"])})
    for found in (Difference.of(ticket, other), Difference.of(other, ticket)):
        assert found.unmasked == len(ticket.stored) - len(ticket.mask)
        assert found.overlap is not None
        assert len(found.overlap.layers) == len(ticket.mask)


def test_tickets_of_different_networks_are_not_compared_layer_by_layer(make_ticket: MakeTicket) -> None:
    ticket = make_ticket("resnet14-w2")
    other = stretch_ticket(ticket, "20")
    found = Difference.of(ticket, other)
    fields = {entry.field: (entry.first, entry.other) for entry in found.fields}
    assert fields["architecture.name"] == ("cifar-resnet14-w2", "cifar-resnet20-w2")
    assert fields["architecture.depth"] == (14, 20)
    assert fields["provenance.parent"] == (None, ticket.id)
    assert fields["provenance.transformations[0].kind"] == (None, "stretch")
    assert (found.overlap, found.unmasked, found.unmasked_different) == (None, None, ())
    assert found.to_json()["unmasked"] is None
