"""Two tickets agree in their id, in all that they hold, or not at all; and it shows where they part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ticketkit.provenance import LevelResult, Results, Tool
from ticketkit.report.agreement import Difference, agreement, differences
from ticketkit.ticket import Ticket


def measured(*accuracies: float) -> Results:
    levels = tuple(
        LevelResult(level=number, kept=100 - number, total=100, accuracy=accuracy)
        for number, accuracy in enumerate(accuracies)
    )
    return Results(levels=levels, tolerance=0.005)


@pytest.fixture
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    return make_ticket(results=measured(0.9, 0.8))


def test_the_same_ticket_is_identical(ticket: Ticket) -> None:
    found = agreement(ticket, replace(ticket))
    assert (found.state, found.differences, found.iou, found.equal) == ("identical", (), 1.0, 1.0)
    assert [(pair.level, pair.kept, pair.difference) for pair in found.levels] == [(0, 100, 0), (1, 99, 0)]
    assert found.holds()


def test_another_tool_makes_the_same_ticket_with_another_id(ticket: Ticket) -> None:
    provenance = replace(ticket.provenance, tool=Tool(version="9.9"), environment={"torch": "9"})
    found = agreement(ticket, replace(ticket, provenance=provenance))
    assert found.state == "same"
    assert found.made != found.id
    assert found.holds()
    assert {difference.field for difference in found.differences} == {
        "provenance.environment",
        "provenance.tool.version",
    }


def test_other_weights_differ_and_accuracies_decide_where_they_may(
    make_ticket: Callable[..., Ticket], ticket: Ticket
) -> None:
    made = make_ticket(seed=1, results=measured(0.905, 0.79))
    found = agreement(ticket, replace(made, provenance=ticket.provenance))
    assert found.state == "differs"
    assert 0 < found.iou < 1
    assert found.equal == 0
    assert found.farthest is not None
    assert (found.farthest.level, found.farthest.difference) == (1, pytest.approx(-0.01))
    assert [found.holds(within) for within in (None, 0.009, 0.01)] == [False, False, True]


def test_the_same_weights_with_other_accuracies_differ(ticket: Ticket) -> None:
    # A ticket of level k says nothing of how level k was trained but the accuracy.
    found = agreement(ticket, replace(ticket, results=measured(0.9, 0.7)))
    assert found.same_values
    assert (found.state, found.holds(), found.holds(0.1)) == ("differs", False, True)


def test_a_ticket_without_accuracies_cannot_be_near(make_ticket: Callable[..., Ticket]) -> None:
    ticket, made = make_ticket(), make_ticket(seed=1, results=measured(0.9))
    found = agreement(ticket, made)
    assert (found.levels, found.farthest, found.holds(1.0)) == ((), None, False)
    assert not any(difference.field.startswith("results") for difference in found.differences)
    assert agreement(ticket, replace(ticket, results=measured(0.9))).state == "same", "it is not contradicted"


def test_every_member_that_differs_is_named() -> None:
    then = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": [1], "f": None}
    now = {"a": 1, "b": {"c": [1, 3], "g": True}, "e": [1, 2], "f": None}
    assert list(differences(then, now)) == [
        Difference(field="b.c.1", then=2, now=3),
        Difference(field="b.d", then="x", now=None),
        Difference(field="b.g", then=None, now=True),
        Difference(field="e", then=[1], now=[1, 2]),
    ]
    assert list(differences(then, then)) == []


def test_the_document_has_what_the_format_promises(ticket: Ticket) -> None:
    document = agreement(ticket, replace(ticket, results=measured(0.9, 0.7))).to_json()
    assert document["verdict"] == "differs"
    assert document["largest_difference"] == pytest.approx(0.1)
    assert document["levels"][1] == {"level": 1, "kept": 99, "then": 0.8, "now": 0.7}
    assert document["differences"] == [{"field": "results.levels.1.accuracy", "then": 0.8, "now": 0.7}]
