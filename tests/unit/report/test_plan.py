"""A plan says before a stretch what it will do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ticketkit.arch import parse_arch
from ticketkit.bundle import read_header, save_ticket
from ticketkit.errors import StretchError
from ticketkit.report.plan import StretchPlan
from ticketkit.stretch import explain_plan, parse_stage_map, plan_stretch, stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


@pytest.mark.parametrize(
    ("name", "to", "order"),
    [
        ("resnet20-w2", "resnet56-w2", "interpolate"),
        ("resnet26-w2", "14", "keep-late"),
        ("vgg13-w2", "vgg19-w2", "append"),
        ("mobilenetv1-3-w2", "7", "append"),
        ("mlp-64-32x3-16-10", "7", "append"),
        ("vit2-w16-p2-i8", "4", "append"),
    ],
)
def test_it_foretells_what_the_stretch_keeps(
    make_ticket: MakeTicket, tmp_path: Path, name: str, to: str, order: str
) -> None:
    arch = "cifar-" + name if name == "resnet26-w2" else name
    ticket = make_ticket(arch)
    save_ticket(ticket, tmp_path / "t.st")
    done = stretch_ticket(ticket, to, order=order)
    mapping = plan_stretch(ticket.arch, done.arch, order=order)
    plan = StretchPlan.of(ticket.arch, done.arch, mapping, order=order, header=read_header(tmp_path / "t.st"))
    assert (plan.source_kept, plan.source_total) == (ticket.kept, ticket.total)
    assert (plan.kept, plan.total) == (done.kept, done.total)
    for planned, explained in zip(plan.stages, explain_plan(ticket, done), strict=True):
        assert (planned.sources, planned.source_units) == (explained.sources, explained.source_units)
        assert planned.kept is not None
        assert planned.total is not None
        assert 1 - planned.kept / planned.total == pytest.approx(explained.sparsity_after)
    assert plan.mapping.for_stages(len(plan.stages)) == mapping.for_stages(len(plan.stages))


def test_dropped_units_are_named_and_counts_need_a_ticket() -> None:
    source, target = parse_arch("resnet20"), parse_arch("resnet14")
    plan = StretchPlan.of(source, target, parse_stage_map("0:0;2:1"), order="explicit")
    assert [stage.dropped for stage in plan.stages] == [(1,)] * 3
    assert str(plan.mapping) == "0:0;2:1"
    assert plan.kept is plan.stages[0].kept is None


@pytest.mark.parametrize("mapping", ["0:0;1:1", "0:0;1:1;3:2", "0:0,1;1:2", "0:0;1:1;2:2|0:0;1:1;2:2"])
def test_a_mapping_that_does_not_fit_is_refused(mapping: str) -> None:
    arch = parse_arch("resnet20")
    with pytest.raises(StretchError):
        StretchPlan.of(arch, arch, parse_stage_map(mapping), order="explicit")
