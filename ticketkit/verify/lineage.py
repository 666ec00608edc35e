"""What a ticket's last transformation says of its units: which came from where, and which are copies."""

from __future__ import annotations

from ticketkit.stretch import parse_stage_map
from ticketkit.ticket import Ticket

Stages = tuple[tuple[int, ...], ...]
"""The source unit of each unit, stage by stage."""


def stages_of(ticket: Ticket) -> Stages | None:
    """The source unit of each of a ticket's units; None if it was not stretched."""
    if not ticket.provenance.transformations:
        return None
    return parse_stage_map(ticket.provenance.transformations[-1].mapping).for_stages(len(ticket.arch.stages))


def copies_in(stages: Stages | None) -> frozenset[tuple[int, int]]:
    """Stage and unit of every copy of an earlier unit; empty for a ticket that was not stretched."""
    return frozenset(
        (stage, unit)
        for stage, sources in enumerate(stages or ())
        for unit, source in enumerate(sources)
        if source in sources[:unit]
    )
