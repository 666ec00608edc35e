"""``ticketkit stretch`` and ``squeeze``: the plan they print, the file they write, and what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import ArchError, BundleError, StretchError
from ticketkit.stretch import POLICIES, stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


def _run(*arguments: object, command: str = "stretch") -> Result:
    return CliRunner().invoke(application, [command, *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def source(make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ticket:
    """A ResNet-20 ticket, saved as ``in/r20.st``; the working folder is empty but for ``in``."""
    ticket = make_ticket("resnet20-w2", density=0.2)
    (tmp_path / "in").mkdir()
    save_ticket(ticket, tmp_path / "in" / "r20.st")
    monkeypatch.chdir(tmp_path)
    return ticket


def test_the_file_is_written_here_under_its_targets_name(source: Ticket) -> None:
    done = _run("in/r20.st", "--to", "resnet32")
    assert done.exit_code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["in", "r20-to-resnet32-w2.st"]
    written = load_ticket("r20-to-resnet32-w2.st")
    assert written == stretch_ticket(source, "32")
    assert f"id       {written.id}\nwrote    r20-to-resnet32-w2.st\n" in done.stdout


def test_the_plan_is_printed_stage_by_stage(source: Ticket) -> None:
    lines = _run("in/r20.st", "--to", "32").stdout.splitlines()
    assert lines[0] == "cifar-resnet20-w2 to cifar-resnet32-w2 (append)"
    for stage in range(3):
        assert lines[2 + stage].startswith(f"stage {stage}  B0 B1 B2 B1 B2  ")
        assert " % -> " in lines[2 + stage]
    after = stretch_ticket(source, "32")
    assert f"sparsity {100 * source.sparsity:.2f} % -> {100 * after.sparsity:.2f} %" in lines
    assert f"{source.kept:,} of {source.total:,} kept before, {after.kept:,} of {after.total:,} after" in lines[7]


@pytest.mark.parametrize(
    ("arguments", "plan", "order"),
    [
        (["--to", "32", "--order", "interpolate"], "B0 B1 B1 B2 B2", "interpolate"),
        (["--to", "32", "--units", "1"], "B0 B1 B2 B1 B1", "append"),
        (["--to", "32", "--order", "first-1"], "B0 B1 B2 B1 B1", "first-1"),
        (["--to", "44", "--order", "first-2"], "B0 B1 B2 B1 B2 B1 B2", "first-2"),
        (["--to", "32", "--units", "2, 1", "--order", "interpolate"], "B0 B1 B1 B2 B2", "interpolate"),
        (["--to", "32", "--map", "0:0;1:1,4;2:2,3"], "B0 B1 B2 B2 B1", "explicit"),
        (["--to", "14"], "B0 B1", "keep-early"),
        (["--to", "14", "--order", "keep-late"], "B0 B2", "keep-late"),
        (["--to", "14", "--drop", "1"], "B0 B2", "explicit"),
        (["--to", "20"], "B0 B1 B2", "append"),
    ],
)
@pytest.mark.parametrize("command", ["stretch", "squeeze"])
def test_both_commands_go_both_ways(source: Ticket, command: str, arguments: list[str], plan: str, order: str) -> None:
    done = _run("in/r20.st", *arguments, "--dry-run", command=command)
    assert done.exit_code == 0
    assert f"({order})" in done.stdout
    assert f"stage 1  {plan}  " in done.stdout
    assert [path.name for path in Path().iterdir()] == ["in"]


def test_out_is_a_file_or_a_folder(source: Ticket) -> None:
    Path("folder").mkdir()
    _run("in/r20.st", "--to", "32", "-o", "folder")
    _run("in/r20.st", "--to", "32", "--out", "folder/x.st")
    assert load_ticket("folder/x.st") == load_ticket("folder/r20-to-resnet32-w2.st")


def test_json_has_stable_keys_and_the_same_facts(source: Ticket) -> None:
    planned = json.loads(_run("in/r20.st", "--to", "32", "--json", "--dry-run").stdout)
    assert planned["written"] is False
    assert [path.name for path in Path().iterdir()] == ["in"]
    done = json.loads(_run("in/r20.st", "--to", "32", "--json").stdout)
    assert done == planned | {"written": True}
    assert list(done) == ["format", "source", "target", "order", "mapping", "settings", "stages", "written"]
    assert done["format"] == {"name": "ticketkit-stretch", "version": "1.0"}
    side = ["path", "id", "architecture", "kept", "total", "sparsity"]
    assert list(done["source"]) == list(done["target"]) == side
    written = load_ticket(done["target"]["path"])
    assert (done["source"]["id"], done["target"]["id"]) == (source.id, written.id)
    assert done["target"]["sparsity"] == written.sparsity
    assert done["mapping"] == written.provenance.transformations[-1].mapping
    assert [list(stage) for stage in done["stages"]] == [
        ["stage", "source_units", "sources", "sparsity_before", "sparsity_after"]
    ] * 3
    assert done["stages"][0]["sources"] == [0, 1, 2, 1, 2]


STATISTICS = "note: running statistics are resnet20-w2's, until trained or recalibrated\n"


def test_the_command_of_the_other_direction_says_so(source: Ticket) -> None:
    squeezed = _run("in/r20.st", "--to", "14")
    assert squeezed.stderr == "note: resnet14-w2 is shallower than resnet20-w2: this squeezes\n" + STATISTICS
    stretched = _run("in/r20.st", "--to", "26", command="squeeze")
    assert stretched.stderr == "note: cifar-resnet26-w2 is deeper than resnet20-w2: this stretches\n" + STATISTICS


def test_a_sparsity_in_percent_is_refused_with_an_example(source: Ticket) -> None:
    done = _run("in/r20.st", "--to", "14", "--sparsity", "95")
    assert done.exit_code == 2
    assert "a fraction, such as 0.95" in " ".join(done.stderr.split())


def test_the_note_is_for_other_depths_only(source: Ticket) -> None:
    deeper = _run("in/r20.st", "--to", "32")
    assert deeper.stderr == STATISTICS
    squeezed = _run("in/r20.st", "--to", "14", command="squeeze")
    assert squeezed.stderr == STATISTICS, "nor do they fit behind a unit that is left out"
    assert _run("in/r20.st", "--to", "20").stderr == ""
    assert _run("in/r20.st", "--to", "26", "--json").stderr == ""


def test_a_file_is_replaced_only_with_force(source: Ticket) -> None:
    out = Path("r20-to-resnet32-w2.st")
    out.write_text("precious")
    with pytest.raises(BundleError, match=r"^a ticket must not be overwritten without --force \(.*w2\.st$"):
        _run("in/r20.st", "--to", "32")
    assert out.read_text() == "precious"
    assert _run("in/r20.st", "--to", "32", "--dry-run").exit_code == 0
    assert out.read_text() == "precious"
    assert _run("in/r20.st", "--to", "32", "--force").exit_code == 0
    assert load_ticket(out).arch.depth == 32


def test_the_name_is_refused_before_the_work_is_done(source: Ticket, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_arguments: object, **_options: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("ticketkit.bundle.load_tensors", work)
    Path("x.st").touch()
    with pytest.raises(BundleError, match="overwritten"):
        _run("in/r20.st", "--to", "32", "-o", "x.st")


def test_a_ticket_can_replace_its_own_source(source: Ticket) -> None:
    _run("in/r20.st", "--to", "32", "-o", "in/r20.st", "--force")
    assert load_ticket("in/r20.st").provenance.parent == source.id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "32", "--order", "apend"], "must be one of alternate, append, first-1, "),
        (["--to", "32", "--order", "apend"], "did you mean 'append'?"),
        (["--to", "32", "--units", "1,x"], "units must be numbers separated by commas, such as 1,2 (got '1,x')"),
        (["--to", "14", "--drop", ""], "units must be numbers separated by commas"),
        (["--to", "32", "--map", "0:0", "--order", "append"], "--map says all"),
        (["--to", "32", "--map", "0:0", "--units", "1"], "--map says all"),
        ([], "Missing option '--to'"),
    ],
)
def test_wrong_usage_exits_2(source: Ticket, arguments: list[str], message: str) -> None:
    done = _run("in/r20.st", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--to", "33"], ArchError, "nearest: resnet32 or resnet38"),
        (["--to", "32", "--map", "0:0;1:1"], StretchError, "must cover the 5 units of cifar-resnet32-w2"),
        (["--to", "32", "--drop", "1"], StretchError, "units to drop must go with a stage that shrinks"),
        (["--to", "14", "--order", "append"], StretchError, "'append' must go with a stage that grows"),
        (["--to", "20", "--order", "append"], StretchError, "'append' must go with a stage that grows"),
        (["--to", "32", "--order", "keep-late"], StretchError, "'keep-late' must go with a stage that shrinks"),
        (["--to", "14", "--order", "keep-late", "--drop", "1"], StretchError, "that shrinks and has no --drop"),
        (["--to", "32", "-o", "no/folder/x.st"], BundleError, "no/folder/x.st"),
    ],
)
def test_what_cannot_be_done_is_one_error_and_no_file(
    source: Ticket, arguments: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _run("in/r20.st", *arguments)
    assert [path.name for path in Path().iterdir()] == ["in"]


def test_a_damaged_source_is_named_in_one_line(source: Ticket) -> None:
    content = Path("in/r20.st").read_bytes()
    stored = source.tensors["fc.bias"].tobytes()
    Path("in/r20.st").write_bytes(content.replace(stored, bytes([stored[0] ^ 1]) + stored[1:]))
    command = [sys.executable, "-m", "ticketkit", "stretch", "in/r20.st", "--to", "32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("ticketkit: SHA-256 of layers.")
    assert done.stderr.endswith(": in/r20.st\n")
    assert [path.name for path in Path().iterdir()] == ["in"]


@pytest.mark.parametrize("command", ["stretch", "squeeze"])
def test_the_real_command_never_imports_torch(source: Ticket, command: str) -> None:
    code = (
        "import sys\nfrom ticketkit.cli.app import application\n"
        f"application([{command!r}, 'in/r20.st', '--to', '32'], standalone_mode=False)\n"
        "print(*[name for name in ('torch', 'torchvision', 'PIL', 'rich') if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "nothing else"
    assert load_ticket("r20-to-resnet32-w2.st") == stretch_ticket(source, "32")


@pytest.mark.parametrize("depth", [8, 20, 110, 1202])
@pytest.mark.parametrize("order", ["append", "interpolate"])
def test_deep_plans_wrap_at_80_columns(source: Ticket, depth: int, order: str) -> None:
    arguments = ["--order", order] if depth > 20 else []
    lines = _run("in/r20.st", "--to", depth, *arguments, "--dry-run").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    plan = " ".join(lines[2 : lines.index("", 2)])
    units = [word for word in plan.split() if word.startswith("B")]
    expected = stretch_ticket(source, str(depth), order=order).provenance.transformations[-1]
    assert len(units) == 3 * (depth - 2) // 6
    targets = {int(target) for entry in expected.mapping.split("|")[0].split(";") for target in entry[2:].split(",")}
    assert len(targets) == len(units) // 3


@pytest.mark.parametrize("command", ["stretch", "squeeze"])
def test_help_lists_every_order_and_option(command: str) -> None:
    done = _run("--help", command=command)
    text = " ".join(done.stdout.split())
    for name, policy in POLICIES.items():
        assert f"{name} {policy.summary}" in text
    for option in (
        "--to NETWORK",
        "--order ORDER",
        "--units",
        "--drop",
        "--map",
        "--out",
        "--force",
        "--dry-run",
        "--json",
    ):
        assert option in text
    assert f"ticketkit {command} resnet" in text
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_adjustments_are_options_and_are_recorded(source: Ticket) -> None:
    done = json.loads(
        _run(
            "in/r20.st", "--to", "32", "-o", "adjusted.st", "--json", "--rescale", "--random-copies", "--seed", "3",
            "--sparsity", "0.95", "--scope", "layer", "--num-classes", "7", "--in-channels", "1",
        ).stdout
    )  # fmt: skip
    ticket = load_ticket("adjusted.st")
    assert (ticket.arch.num_classes, ticket.arch.in_channels) == (7, 1)
    assert ticket.kept == round(0.05 * ticket.total)
    assert done["settings"] == ticket.provenance.transformations[-1].settings
    assert done["settings"] == {
        "num_classes": 7,
        "in_channels": 1,
        "seed": 3,
        "random_copies": True,
        "rescale": True,
        "sparsity": 0.95,
        "scope": "layer",
    }


def test_adjustments_are_printed(source: Ticket) -> None:
    shown = _run("in/r20.st", "--to", "32", "--rescale", "--dry-run").stdout
    assert re.search(r"^with +rescale$", shown, flags=re.MULTILINE)
