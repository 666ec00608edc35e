"""``ticketkit zoo``: listing, getting, adding, building."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import TicketkitError
from ticketkit.report.comparison import Report
from ticketkit.report.runs import ArmResult, Run
from ticketkit.sharing.zoo import parse_zoo
from ticketkit.sharing.zoo_files import build_zoo
from ticketkit.ticket import Ticket

EXAMPLES = Path(__file__).parents[3] / "examples" / "zoo"


def _zoo(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["zoo", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(make_ticket: Callable[..., Ticket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("zoo").mkdir()
    save_ticket(make_ticket("resnet8-w2"), "zoo/a.st")
    ticket = make_ticket("resnet14-w2", density=0.1)
    save_ticket(ticket, "zoo/b.st")
    runs = tuple(Run(seed=seed, accuracy=0.9 + seed / 100, untrained=0.1, loss=1, seconds=1) for seed in range(3))
    report = Report(
        ticket_id=ticket.id,
        architecture=ticket.arch.name,
        sparsity=ticket.sparsity,
        start_step=14,
        setting={"dataset": {}, "recipe": {}, "environment": {}},
        arms=(ArmResult(name="ticket", summary="t", kept=ticket.kept, total=ticket.total, runs=runs),),
    )
    Path("zoo/b.verify.json").write_text(json.dumps(report.to_json()))
    return Path("zoo")


def test_build_list_get(folder: Path) -> None:
    assert "wrote    zoo/zoo.json" in _zoo("build", folder, "--license", "mit").stdout
    head, first, second, _, last = _zoo("list", folder).stdout.splitlines()
    assert head.split() == ["name", "network", "data", "sparsity", "accuracy", "bytes"]
    size = f"{(folder / 'b.st').stat().st_size:,}"
    assert first.split()[:3] == ["a", "resnet8-w2", "digits"]
    assert second.split() == ["b", "resnet14-w2", "digits", "89.96", "%", "91.00", "%", size]
    assert last == "2 tickets of 2 in zoo/zoo.json"
    text = _zoo("get", folder, "b").stdout
    assert "wrote    b.st" in text
    assert load_ticket("b.st").id in text
    _zoo("get", folder, "--min-accuracy", 90, "-o", "other.st")
    assert Path("other.st").read_bytes() == Path("b.st").read_bytes()
    Path("there").mkdir()
    _zoo("get", folder, "--arch", "resnet8-w2", "-o", "there")
    assert Path("there/a.st").exists()


def test_json(folder: Path) -> None:
    made = _zoo("build", folder, "--json").stdout
    assert parse_zoo(made).to_text() == (folder / "zoo.json").read_text()
    listed = json.loads(_zoo("list", folder, "--max-sparsity", 80, "--json").stdout)
    (entry,) = listed["tickets"]
    assert entry["reference"] == f"zoo/a.st#sha256={entry['id'][7:]}"
    assert entry["sparsity"] == pytest.approx(0.7, abs=0.01)
    assert parse_zoo(json.dumps(listed)).tickets[0].name == "a"
    got = json.loads(_zoo("get", folder, "a", "--json").stdout)
    assert (got["path"], got["ticket"]["id"]) == ("a.st", entry["id"])


def test_one_ticket_is_got(folder: Path) -> None:
    _zoo("build", folder)
    for arguments, message in (
        (["--dataset", "digits"], r"one ticket must be wanted \(got 2: a, b\)"),
        (["--dataset", "none"], "no ticket of the zoo is what is wanted; see ticketkit zoo list: zoo/zoo.json"),
        (["c"], "no ticket of the zoo is 'c'; see ticketkit zoo list: zoo/zoo.json"),
    ):
        with pytest.raises(TicketkitError, match=message):
            _zoo("get", folder, *arguments)
    assert _zoo("get", folder).exit_code == 2
    assert _zoo("get", folder, "a", "--arch", "resnet20").exit_code == 2


def test_add_makes_and_changes_an_index(folder: Path) -> None:
    index = folder / "zoo.json"
    _zoo("add", index, folder / "b.st", "--report", folder / "b.verify.json", "--license", "mit")
    _zoo("add", folder, folder / "a.st", "--url", "https://host/a.st", "--name", "A")
    found = {entry.name: entry for entry in parse_zoo(index.read_text()).tickets}
    assert list(found) == ["A", "b"]
    assert (found["A"].url, found["A"].licence, found["A"].accuracy) == ("https://host/a.st", None, None)
    assert (found["b"].url, found["b"].verify, found["b"].accuracy) == ("b.st", "b.verify.json", pytest.approx(0.91))
    _zoo("add", folder, folder / "a.st", "--name", "b")
    assert parse_zoo(index.read_text()).tickets[1].architecture == "cifar-resnet8-w2"


def test_add_refuses_what_does_not_fit(folder: Path, make_ticket: Callable[..., Ticket]) -> None:
    save_ticket(make_ticket("resnet8-w1"), "outside.st")
    with pytest.raises(TicketkitError, match="must lie in the index's folder"):
        _zoo("add", folder, "outside.st")
    with pytest.raises(TicketkitError, match="a report must be about its ticket"):
        _zoo("add", folder, folder / "a.st", "--report", folder / "b.verify.json")
    with pytest.raises(TicketkitError, match="a place must be https://"):
        _zoo("add", folder, folder / "a.st", "--url", "http://host/a.st")
    assert _zoo("add", folder, folder / "a.st", folder / "b.st", "--name", "x").exit_code == 2
    assert not (folder / "zoo.json").exists()


@pytest.mark.parametrize(("length", "last"), [(20, "bytes"), (36, "accuracy"), (95, "accuracy")])
def test_names_are_listed_whole_and_all_else_gives_way(folder: Path, length: int, last: str) -> None:
    name = "n" * length
    (folder / "a.st").rename(folder / f"{name}.st")
    _zoo("build", folder)
    head, *rows = _zoo("list", folder).stdout.splitlines()
    assert rows[1].split()[0] == name
    assert head.split()[-1] == last
    assert max(map(len, (head, *rows))) <= 80 or length == 95


def test_networks_give_way_before_bytes_do() -> None:
    head, *rows = _zoo("list", EXAMPLES).stdout.splitlines()
    assert head.split()[-1] == "bytes"
    assert "resnet20-to-resnet32-digits  resnet32 " in rows[3]
    assert max(map(len, (head, *rows))) <= 80


def test_the_beginning_of_a_name_is_enough_where_no_other_begins_so(folder: Path) -> None:
    for old, new in (("a", "first"), ("b", "first-two")):
        (folder / f"{old}.st").rename(folder / f"{new}.st")
    _zoo("build", folder)
    assert "wrote    first-two.st" in _zoo("get", folder, "first-").stdout
    assert "wrote    first.st" in _zoo("get", folder, "first").stdout
    with pytest.raises(TicketkitError, match=r"begin one ticket's alone \(got 'fir', of first, first-two\): zoo"):
        _zoo("get", folder, "fir")


def test_the_zoo_of_the_examples_holds(tmp_path: Path) -> None:
    """Every ticket is sound and what its index says, small, and verified."""
    listed = json.loads(_zoo("list", EXAMPLES, "--json").stdout)["tickets"]
    assert len(listed) >= 4
    for entry in listed:
        _zoo("get", EXAMPLES, entry["name"], "-o", tmp_path / "got.st", "--force")
        report = Report.from_json(json.loads((EXAMPLES / entry["verify"]).read_text(encoding="utf-8")))
        assert report.ticket_id == entry["id"]
        assert entry["accuracy"] == report.ticket.mean
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 1_000_000
    assert build_zoo(EXAMPLES, licence="mit").to_text() == (EXAMPLES / "zoo.json").read_text(encoding="utf-8")
