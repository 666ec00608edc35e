"""What a ticket's last transformation says of its units: which came from where, and which are copies."""

from __future__ import annotations

from ticketkit.errors import TicketkitError
from ticketkit.stretch import parse_stage_map
from ticketkit.ticket import Ticket


def stages_of(ticket: Ticket) -> tuple[tuple[int, ...], ...]:
    """The source unit of each of a stretched ticket's units, stage by stage.

    Raises:
        TicketkitError: If the ticket was not stretched.
    """
    if not ticket.provenance.transformations:
        raise TicketkitError("a ticket must have been stretched to say where its units are from (it was not)")
    return parse_stage_map(ticket.provenance.transformations[-1].mapping).for_stages(len(ticket.arch.stages))


def copies_of(ticket: Ticket) -> frozenset[tuple[int, int]]:
    """Stage and unit of every copy of an earlier unit; empty for a ticket that was not stretched."""
    if not ticket.provenance.transformations:
        return frozenset()
    return frozenset(
        (stage, unit)
        for stage, sources in enumerate(stages_of(ticket))
        for unit, source in enumerate(sources)
        if source in sources[:unit]
    )
