from __future__ import annotations

from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket
from ticketkit.verify.lineage import copies_in, stages_of


def test_a_ticket_that_was_not_stretched_has_no_stages(ticket: Ticket) -> None:
    assert stages_of(ticket) is None
    assert copies_in(stages_of(ticket)) == frozenset()


def test_the_sources_of_units_are_the_mappings(stretched: Ticket) -> None:
    assert stages_of(stretched) == ((0, 1, 1),) * 3
    mapped = stretch_ticket(stretched, "resnet26", mapping="0:0;1:1,3;2:2|0:0;1:3;2:1,2|0:0;1:1,2,3")
    assert stages_of(mapped) == ((0, 1, 2, 1), (0, 2, 2, 1), (0, 1, 1, 1))


def test_a_copy_is_every_unit_but_the_first_of_its_source() -> None:
    stages = ((0, 1, 2, 1), (0, 2, 2, 1), (0, 1, 1, 1))
    assert copies_in(stages) == {(0, 3), (1, 2), (2, 2), (2, 3)}


def test_only_the_last_transformation_counts(stretched: Ticket) -> None:
    squeezed = stretch_ticket(stretched, "resnet14")
    assert stages_of(squeezed) == ((0, 1),) * 3
    assert copies_in(stages_of(squeezed)) == frozenset()
    again = stretch_ticket(stretched, "resnet20")
    assert copies_in(stages_of(again)) == frozenset(), "all units are the source's own by now"
