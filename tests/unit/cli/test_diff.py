"""``ticketkit diff``: where two tickets differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import BundleError
from ticketkit.provenance import LevelResult, Provenance, Results
from ticketkit.report.difference import Difference
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]

FORMAT = Path(__file__).parents[3] / "formats" / "diff-v1.md"


def _run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(application, [command, *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def paths(make_ticket: MakeTicket, tmp_path: Path) -> tuple[Path, Path]:
    save_ticket(make_ticket("resnet20-w2"), tmp_path / "a.st")
    save_ticket(make_ticket("resnet20-w2", density=0.5, seed=1), tmp_path / "b.st")
    return tmp_path / "a.st", tmp_path / "b.st"


def test_two_of_one_network(paths: tuple[Path, Path], make_ticket: MakeTicket) -> None:
    done = _run("diff", *paths)
    first, other = make_ticket("resnet20-w2"), make_ticket("resnet20-w2", density=0.5, seed=1)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[:3] == [f"first    {paths[0]}", f"id       {first.id}", "network  cifar-resnet20-w2"]
    assert f"id       {other.id}" in lines
    assert ["provenance.seed", "0", "1"] in [line.split() for line in lines]
    found = Difference.of(first, other)
    assert found.unmasked is not None
    equal = found.unmasked - len(found.unmasked_different)
    assert lines[-1] == f"{equal} of {found.unmasked} tensors without a mask are equal, bit for bit"
    compared = _run("inspect", paths[0], "--compare", paths[1]).stdout
    for block in compared.split("\n\n")[-2:]:
        assert block.strip() in done.stdout, "the same tables as inspect --compare"


def test_the_same_ticket_twice(paths: tuple[Path, Path]) -> None:
    text = _run("diff", paths[0], paths[0]).stdout
    assert "their documents say the same of network and provenance" in text
    assert "100.00 % intersection over union" in text


def test_two_of_different_networks(paths: tuple[Path, Path], make_ticket: MakeTicket, tmp_path: Path) -> None:
    save_ticket(stretch_ticket(make_ticket("resnet20-w2"), "32"), tmp_path / "deep.st")
    done = _run("diff", paths[0], tmp_path / "deep.st")
    assert done.exit_code == 0
    assert "network  cifar-resnet20-w2 and cifar-resnet32-w2" in done.stdout
    assert "overlap  none: they are of different networks" in done.stdout
    assert ["architecture.depth", "20", "32"] in [line.split() for line in done.stdout.splitlines()]


def test_a_list_that_one_of_them_lacks_is_one_line(make_ticket: MakeTicket, tmp_path: Path) -> None:
    levels = tuple(LevelResult(level=level, kept=100 - level, total=100, accuracy=0.1 * level) for level in range(7))
    found = make_ticket("resnet20-w2")
    tested = dataclasses.replace(found, results=Results(levels=levels, winning_level=None, tolerance=0.005))
    save_ticket(found, tmp_path / "found.st")
    save_ticket(tested, tmp_path / "tested.st")
    text = _run("diff", tmp_path / "found.st", tmp_path / "tested.st").stdout
    rows = [line.split() for line in text.splitlines() if line.startswith("results")]
    assert rows == [["results.levels", "7", "entries"], ["results.tolerance", "0.005"]]
    longer = dataclasses.replace(found, results=Results(levels=levels[:4], winning_level=None, tolerance=0.005))
    save_ticket(longer, tmp_path / "found.st", overwrite=True)
    text = _run("diff", tmp_path / "found.st", tmp_path / "tested.st").stdout
    assert [line.split() for line in text.splitlines() if line.startswith("results")] == [
        ["results.levels", "3", "more", "entries"]
    ]


def test_numbers_that_differ_late_are_told_apart(make_ticket: MakeTicket, tmp_path: Path) -> None:
    for name, rate in (("a.st", 0.2), ("b.st", 0.2000000001)):
        save_ticket(make_ticket(provenance=Provenance(method="imp", rate=rate)), tmp_path / name)
    text = _run("diff", tmp_path / "a.st", tmp_path / "b.st").stdout
    assert ["provenance.rate", "0.2", "0.2000000001"] in [line.split() for line in text.splitlines()]


def test_json_holds_the_comparison_of_inspect_and_its_keys_are_documented(
    paths: tuple[Path, Path], make_ticket: MakeTicket, tmp_path: Path
) -> None:
    document = json.loads(_run("diff", *paths, "--json").stdout)
    assert list(document) == ["format", "first", "other", "equal", "fields", "unmasked", "comparison"]
    assert document["format"] == {"name": "ticketkit-diff", "version": "1.0"}
    assert document["first"] == {"path": str(paths[0]), "id": make_ticket("resnet20-w2").id}
    assert document["other"]["path"] == str(paths[1])
    assert document["equal"] is False
    assert document["fields"] == [{"field": "provenance.seed", "first": 0, "other": 1}]
    assert document["unmasked"].keys() == {"tensors", "different"}
    inspected = json.loads(_run("inspect", paths[0], "--compare", paths[1], "--json").stdout)
    assert document["comparison"] == inspected["comparison"]
    specified = FORMAT.read_text(encoding="utf-8")
    assert all(f"`{key}`" in specified for key in (*document, *document["unmasked"], "fields[].field"))
    save_ticket(make_ticket("resnet14-w2"), tmp_path / "other.st")
    document = json.loads(_run("diff", paths[0], tmp_path / "other.st", "--json").stdout)
    assert (document["unmasked"], document["comparison"]) == (None, None)
    assert json.loads(_run("diff", paths[0], paths[0], "--json").stdout)["equal"] is True


def test_hashes_are_compared_unless_told_not_to(paths: tuple[Path, Path]) -> None:
    content = bytearray(paths[1].read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] ^= 1
    paths[1].write_bytes(content)
    with pytest.raises(BundleError, match=r"SHA-256 of .*b\.st$"):
        _run("diff", *paths)
    assert _run("diff", *paths, "--no-verify").exit_code == 0


def test_no_line_is_wider_than_80_columns(make_ticket: MakeTicket, tmp_path: Path) -> None:
    ticket = make_ticket("resnet110-w2")
    wordy = Provenance(method="\x1b" * 200, recipe={"r" * 300: "v" * 300}, transformations=())
    save_ticket(ticket, tmp_path / "a.st")
    save_ticket(dataclasses.replace(ticket, provenance=wordy), tmp_path / "b.st")
    text = _run("diff", tmp_path / "a.st", tmp_path / "b.st").stdout
    long = [line for line in text.splitlines() if len(line) > 80 and str(tmp_path) not in line]
    assert long == []
    assert "\x1b" not in text
