"""``ticketkit reproduce``: what it prints, how it ends, and what it refuses before it trains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from click.testing import CliRunner, Result

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import BundleError, DataError, RunError
from ticketkit.provenance import Tool
from ticketkit.ticket import Ticket

SMALL = ["--limit", "128", "--levels", "1", "--rate", "0.5", "--rewind", "1it"]
SMALL += [part for field in ("epochs=2", "warmup=0") for part in ("--set", field)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ticket that the command found, and one that it stretched."""
    folder = tmp_path_factory.mktemp("reproduce")
    run("find", "--arch", "resnet14-w2", *SMALL, "--device", "cpu", "-o", folder / "a.st")
    run("stretch", folder / "a.st", "--to", "20", "-o", folder / "b.st")
    return folder


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(application, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def lines_of(text: str) -> list[str]:
    return unstyle(text).splitlines()


def saved(folder: Path, name: str, ticket: Ticket, **changes: Any) -> Path:
    path = folder / name
    save_ticket(replace(ticket, provenance=replace(ticket.provenance, **changes)), path)
    return path


def test_a_found_ticket_is_identical(folder: Path) -> None:
    result = run("reproduce", folder / "a.st")
    lines = lines_of(result.stdout)
    assert max(map(len, lines)) <= 80
    assert "made by  IMP on cifar-resnet14-w2: 1 level of 50.00 %, seed 0" in lines
    assert "data     digits[:128]: 128 training, 899 test images" in lines
    assert "verdict  identical: the same id, so the same bytes" in lines
    assert f"ticket   {load_ticket(folder / 'a.st').id}" in lines
    told = result.stderr.splitlines()
    assert [line.split("  ")[0] for line in told] == ["level", "level"]
    assert all("  then " in line for line in told), "no note, since nothing is computed otherwise"


def test_a_stretched_ticket_is_followed_from_its_parent(folder: Path, tmp_path: Path) -> None:
    lines = lines_of(run("reproduce", folder / "b.st", "-o", tmp_path / "again.st").stdout)
    assert "         stretch to cifar-resnet20-w2 (append)" in lines
    assert "parent   cifar-resnet14-w2: the same id" in lines
    assert (tmp_path / "again.st").read_bytes() == (folder / "b.st").read_bytes()


def test_another_version_gives_the_same_weights_and_names_itself(folder: Path, tmp_path: Path) -> None:
    ticket = load_ticket(folder / "a.st")
    environment = {**(ticket.provenance.environment or {}), "torch": "2.9.0", "ticketkit": "0.1.0"}
    path = saved(tmp_path, "old.st", ticket, tool=Tool(version="0.1.0"), environment=environment)
    result = run("reproduce", path)
    assert "note     not computed as then, so it may differ: ticketkit 0.1.0 then," in result.stderr
    text = unstyle(result.stdout)
    assert "verdict  the same weights, mask and accuracies, bit for bit; another id" in text
    assert "provenance.environment.torch 2.9.0 then" in text
    assert "provenance.tool.version 0.1.0 then" in text


def test_what_differs_exits_with_3_unless_it_is_near_enough(folder: Path) -> None:
    arguments = ["reproduce", folder / "a.st", "--precision", "bf16"]
    result = run(*arguments, code=3)
    lines = lines_of(result.stdout)
    assert max(map(len, lines)) <= 80
    head = next(line for line in lines if line.startswith("level"))
    assert head.split() == ["level", "kept", "then", "now", "points"]
    assert any(line.startswith("verdict  differs: accuracies are at most") for line in lines)
    assert "precision fp32 then, bf16 now" in " ".join(result.stderr.split())
    assert not any("results." in line for line in lines), "the table has them"
    near = run(*arguments, "--within", "100", "--json")
    document = json.loads(near.stdout)
    assert document["verdict"] == "differs"
    assert document["reproduced"] is True
    assert document["within"] == 1.0


def test_a_stretched_ticket_that_differs_has_no_accuracies_to_be_near(folder: Path) -> None:
    result = run("reproduce", folder / "b.st", "--precision", "bf16", "--within", "100", code=3)
    text = " ".join(unstyle(result.stdout).split())
    assert "the ticket records no accuracies to compare" in text
    assert "parent cifar-resnet14-w2: another id" in text


def test_the_document_is_as_its_format_says(folder: Path) -> None:
    document = json.loads(run("reproduce", folder / "b.st", "--json").stdout)
    page = (Path(__file__).parents[3] / "formats" / "reproduce-v1.md").read_text(encoding="utf-8")
    for member in document:
        assert f"`{member}`" in page, member
    assert document["format"] == {"name": "ticketkit-reproduce", "version": "1.0"}
    assert document["id"] == document["made"] == load_ticket(folder / "b.st").id
    assert (document["verdict"], document["reproduced"], document["out"]) == ("identical", True, None)
    assert (document["iou"], document["equal"], document["differences"], document["levels"]) == (1.0, 1.0, [], [])
    assert [step["then"] == step["now"] for step in document["steps"]] == [True, True]
    assert document["environment"]["device"] == "cpu"


def test_a_killed_run_goes_on_with_its_folder(folder: Path, tmp_path: Path) -> None:
    run("reproduce", folder / "a.st", "--run-dir", tmp_path / "run")
    result = run("reproduce", folder / "a.st", "--run-dir", tmp_path / "run", "--resume")
    assert result.stderr.count("from the run folder") == 2
    assert "identical" in result.stdout


def test_what_cannot_be_done_is_told_before_anything_is_trained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketkit.reproduce.run.find_ticket", lambda *_, **__: pytest.fail("it was trained"))
    ticket = load_ticket(folder / "a.st")
    dataset = ticket.provenance.dataset
    assert dataset is not None
    with pytest.raises(BundleError, match="must not be overwritten"):
        run("reproduce", folder / "a.st", "-o", folder / "b.st")
    with pytest.raises(RunError, match="must have been found by imp or lrr"):
        run("reproduce", saved(tmp_path, "custom.st", ticket, method="custom"))
    other = replace(dataset, fingerprint="sha256:" + "0" * 64)
    with pytest.raises(DataError, match="must be those that the ticket was found on"):
        run("reproduce", saved(tmp_path, "other.st", ticket, dataset=other))
    unknown = replace(dataset, name="stripes")
    with pytest.raises(DataError, match="data set must be one of"):
        run("reproduce", saved(tmp_path, "unknown.st", ticket, dataset=unknown))
    assert "--resume needs --run-dir" in run("reproduce", folder / "a.st", "--resume", code=2).stderr
