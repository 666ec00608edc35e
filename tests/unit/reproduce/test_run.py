"""A ticket comes out again, whatever was done to it; and where it does not, that shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ticketkit.bundle import load_ticket
from ticketkit.data import ImageData
from ticketkit.errors import DataError, RunError
from ticketkit.find import LevelReport, find_ticket
from ticketkit.reproduce import plan_reproduction, reproduce_ticket
from ticketkit.reproduce.run import compute_for
from ticketkit.stretch import Adjustments, stretch_ticket
from ticketkit.ticket import Ticket
from ticketkit.train import Compute


def test_a_found_ticket_comes_out_again(found: Ticket, stripes: ImageData) -> None:
    seen: list[LevelReport] = []
    result = reproduce_ticket(found, stripes, on_level=seen.append)
    assert result.ticket == found
    assert result.agreement.state == "identical"
    assert [report.result.level for report in seen] == [0, 1, 2]
    assert [(step.then, step.now) for step in result.agreement.steps] == [(found.id, found.id)]


def test_a_ticket_of_a_level_before_the_last_comes_out_again(found: Ticket, stripes: ImageData) -> None:
    levels: list[LevelReport] = []
    reproduce_ticket(found, stripes, on_level=levels.append)
    for report in levels[:2]:
        assert reproduce_ticket(report.ticket, stripes).ticket == report.ticket


@pytest.mark.parametrize("rewinding", ["weights", "rate"])
def test_what_a_run_keeps_comes_out_again(stripes: ImageData, found: Ticket, tmp_path: Path, rewinding: str) -> None:
    plan = plan_reproduction(found)
    options = {"levels": 2, "rate": 0.4, "rewinding": rewinding, "device": Compute(), "run_dir": tmp_path}
    last = find_ticket(found.arch, stripes, plan.recipe, **options)
    kept = load_ticket(tmp_path / "level-02.st")
    assert (kept.weights.role, last.weights.role) == ("final", "final" if rewinding == "rate" else "rewind")
    for ticket in (last, kept, load_ticket(tmp_path / "rewind.st"), stretch_ticket(kept, "20")):
        result = reproduce_ticket(ticket, stripes)
        assert result.agreement.state == "identical", ticket
        assert result.ticket == ticket


def test_every_transformation_is_done_again(found: Ticket, stripes: ImageData) -> None:
    first = stretch_ticket(found, "20", order="interpolate", adjustments=Adjustments(random_copies=True, seed=5))
    second = stretch_ticket(first, "32", adjustments=Adjustments(rescale=True, sparsity=0.8, scope="layer"))
    third = stretch_ticket(second, "26", order="alternate", num_classes=7, in_channels=2, adjustments=None)
    result = reproduce_ticket(third, stripes)
    assert result.ticket == third
    assert [step.then == step.now for step in result.agreement.steps] == [True] * 4
    assert [step.architecture for step in result.agreement.steps] == [
        ticket.arch.name for ticket in (found, first, second, third)
    ]


def test_a_tolerance_that_only_the_found_ticket_says_changes_ids_and_no_weight(
    found: Ticket, stripes: ImageData
) -> None:
    plan = plan_reproduction(found)
    generous = find_ticket(
        found.arch, stripes, plan.recipe, seed=3, levels=2, rate=0.4, tolerance=0.1, device=Compute()
    )
    assert reproduce_ticket(generous, stripes).ticket == generous
    result = reproduce_ticket(stretch_ticket(generous, "20"), stripes)
    assert result.agreement.state == "same"
    assert {difference.field for difference in result.agreement.differences} == {
        "provenance.parent",
        "provenance.transformations.0.parent",
    }


def test_a_ticket_that_was_changed_does_not_come_out_again(found: Ticket, stripes: ImageData) -> None:
    tensors = {name: np.array(tensor) for name, tensor in found.tensors.items()}
    tensors["bn.bias"][0] += 1
    changed = Ticket.from_arrays(
        found.arch, tensors, found.mask, weights=found.weights, provenance=found.provenance, results=found.results
    )
    result = reproduce_ticket(changed, stripes)
    assert result.agreement.state == "differs"
    assert (result.agreement.iou, result.agreement.differences) == (1.0, ())


def test_another_precision_differs_and_is_near(found: Ticket, stripes: ImageData) -> None:
    result = reproduce_ticket(found, stripes, device=Compute(precision="bf16"))
    assert result.agreement.state == "differs"
    assert not result.agreement.holds()
    assert result.agreement.holds(within=1.0)
    fields = {difference.field for difference in result.agreement.differences}
    assert "provenance.environment.precision" in fields


def test_a_killed_reproduction_goes_on(found: Ticket, stripes: ImageData, tmp_path: Path) -> None:
    def kill(report: LevelReport) -> None:
        if report.result.level:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce_ticket(found, stripes, run_dir=tmp_path, on_level=kill)
    seen: list[LevelReport] = []
    result = reproduce_ticket(found, stripes, run_dir=tmp_path, resume=True, on_level=seen.append)
    assert result.ticket == found
    assert [report.resumed for report in seen] == [True, True, False]


def test_nothing_is_trained_on_other_data_or_from_what_cannot_be_repeated(
    found: Ticket, stripes: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketkit.reproduce.run.find_ticket", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(DataError, match="must be those that the ticket was found on"):
        reproduce_ticket(found, stripes.limited(32))
    with pytest.raises(RunError, match="must have been found by"):
        reproduce_ticket(replace(found, provenance=replace(found.provenance, method="custom")), stripes)


def test_it_computes_as_the_ticket_says_unless_told_otherwise(found: Ticket, stripes: ImageData) -> None:
    said = replace(
        found, provenance=replace(found.provenance, environment={"device": "cpu", "precision": "bf16", "threads": 3})
    )
    plan = plan_reproduction(said)
    assert compute_for(plan, stripes) == Compute(precision="bf16", threads=3)
    other = compute_for(plan, stripes, "cpu", precision="fp32", threads=1, deterministic=True, graphs=False)
    assert other == Compute(deterministic=True, graphs=False)
