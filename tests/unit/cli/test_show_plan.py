"""``ticketkit show-plan``: the mapping before there is a file."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import ArchError, StretchError, TicketkitError
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["show-plan", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def path(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    save_ticket(make_ticket("resnet20-w2"), tmp_path / "t.st")
    return tmp_path / "t.st"


def test_each_target_unit_stands_above_the_unit_that_it_copies() -> None:
    done = _run("--from", "resnet20", "--to", "resnet32")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "cifar-resnet20 to cifar-resnet32 (append)"
    assert lines[2] == "stages 0 to 2, each  3 -> 5 units"
    assert lines[3].split() == ["target", "B0", "B1", "B2", "B3", "B4"]
    assert lines[4].split() == ["source", "B0", "B1", "B2", "(B1)", "(B2)"]
    assert lines[3].index("B4") == lines[4].index("B2", 30)
    assert "mapping  0:0;1:1,3;2:2,4" in lines


def test_a_ticket_s_weights_are_counted(path: Path, make_ticket: MakeTicket) -> None:
    ticket = make_ticket("resnet20-w2")
    done = stretch_ticket(ticket, "32")
    text = _run(path, "--to", "32").stdout
    assert f"{ticket.kept:,} of {ticket.total:,} -> {done.kept:,} of {done.total:,}" in text
    assert sorted(item.name for item in path.parent.iterdir()) == ["t.st"]


@pytest.mark.parametrize(
    "name", ["t.st", "a name, which is long; it has spaces, and goes on beyond the end of a line.st", f"{'a' * 90}.st"]
)
def test_the_printed_command_can_be_run_as_it_is(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    path.rename(name)
    text = _run(name, "--to", "110", "--order", "interpolate").stdout
    command = shlex.split(text[text.index("to edit") + len("to edit") :].replace("\\\n", ""))
    assert command[:3] == ["ticketkit", "stretch", name]
    done = CliRunner().invoke(application, [*command[1:], "--json", "-o", "out.st"], catch_exceptions=False)
    planned = json.loads(_run(name, "--to", "110", "--order", "interpolate", "--json").stdout)
    stretched = json.loads(done.stdout)
    assert [stage["sources"] for stage in stretched["stages"]] == [stage["sources"] for stage in planned["stages"]]
    assert stretched["target"]["kept"] == planned["target"]["kept"]


def test_json_has_stable_keys(path: Path) -> None:
    plan = json.loads(_run(path, "--to", "14", "--drop", "1", "--json").stdout)
    assert list(plan) == ["format", "source", "target", "order", "mapping", "stages"]
    assert plan["format"] == {"name": "ticketkit-plan", "version": "1.0"}
    assert (plan["order"], plan["mapping"]) == ("explicit", "0:0;2:1")
    assert list(plan["stages"][0]) == [
        "stage", "source_units", "target_units", "sources", "dropped", "source_kept", "source_total", "kept", "total",
    ]  # fmt: skip
    assert plan["stages"][0]["dropped"] == [1]
    bare = json.loads(_run("--from", "resnet20", "--to", "32", "--json").stdout)
    assert bare["source"] == {"architecture": "cifar-resnet20", "id": None, "kept": None, "total": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "resnet1202", "--to", "200"],
        ["--from", "resnet110", "--to", "1202"],
        ["--from", "vgg13", "--to", "19"],
        ["--from", "mobilenetv1", "--to", "9"],
        ["--from", "mlp-784-300x12-100-10", "--to", "20"],
    ],
)
def test_no_line_is_wider_than_80_columns(arguments: list[str]) -> None:
    assert max(map(len, _run(*arguments).stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "56"], "one source: a ticket, or --from NETWORK"),
        (["--from", "resnet20", "--to", "56", "--map", "0:0", "--order", "append"], "--map says all"),
        (["--from", "resnet20"], "--to"),
        (["--from", "resnet20", "--to", "56", "--order", "apend"], "did you mean 'append'?"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    done = _run(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


def test_what_cannot_be_planned_is_one_line() -> None:
    with pytest.raises(ArchError, match="nearest"):
        _run("--from", "resnet20", "--to", "57")
    with pytest.raises(StretchError, match="must cover the 9 units"):
        _run("--from", "resnet20", "--to", "56", "--map", "0:0;1:1;2:2")
    with pytest.raises(StretchError, match="must go with a stage that grows"):
        _run("--from", "resnet56", "--to", "20", "--order", "append")


def test_it_is_drawn_where_asked_and_never_over_a_file(tmp_path: Path) -> None:
    out = tmp_path / "plan.svg"
    done = _run("--from", "resnet20", "--to", "56", "--plot", out)
    assert f"wrote    {out}"[:30] in done.stdout
    assert out.read_bytes().startswith(b"<?xml")
    with pytest.raises(TicketkitError, match="without --force"):
        _run("--from", "resnet20", "--to", "56", "--plot", out)
    assert _run("--from", "resnet20", "--to", "56", "--plot", out, "--force").exit_code == 0
    with pytest.raises(TicketkitError, match="must end in one of"):
        _run("--from", "resnet20", "--to", "56", "--plot", tmp_path / "plan.gif")


def test_help_lists_the_options_of_stretch_and_the_orders() -> None:
    text = _run("--help").stdout
    for part in (
        "--from NETWORK",
        "--to NETWORK",
        "--order ORDER",
        "--units",
        "--drop",
        "--map",
        "--plot",
        "interpolate",
    ):
        assert part in text


def test_it_needs_neither_torch_nor_matplotlib_nor_rich(path: Path) -> None:
    code = (
        "import sys\nfrom ticketkit.cli.app import application\n"
        f"application(['show-plan', {str(path)!r}, '--to', '56'], standalone_mode=False)\n"
        "print(*[name for name in ('torch', 'matplotlib', 'PIL', 'rich') if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == "nothing else"
