"""``ticketkit import`` and ``export`` through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import BundleError
from ticketkit.interop import FORMATS
from ticketkit.ticket import Ticket, same_values

MakeTicket = Callable[..., Ticket]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def source(make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ticket:
    """A ResNet-8 ticket, saved as ``t.st`` in the working folder, which is otherwise empty."""
    ticket = make_ticket()
    save_ticket(ticket, tmp_path / "t.st")
    monkeypatch.chdir(tmp_path)
    return ticket


def test_every_format_goes_out_and_comes_in(source: Ticket) -> None:
    for kind in FORMATS:
        target = f"{kind}.safetensors"
        out = _run("export", kind, "t.st", target)
        assert out.exit_code == 0
        assert "network  cifar-resnet8-w2" in out.stdout
        back = _run("import", kind, target, "-o", f"{kind}.st", "--arch", "resnet8-w2")
        assert back.exit_code == 0
        ticket = load_ticket(f"{kind}.st")
        assert same_values(ticket, source)
        assert f"id       {ticket.id}\nwrote    {kind}.st\n" in back.stdout
        assert all(len(line) <= 80 for line in (out.stdout + back.stdout).splitlines())


def test_the_ticket_takes_its_networks_name(source: Ticket) -> None:
    _run("export", "open-lth", "t.st", "run")
    assert _run("import", "open-lth", "run").exit_code == 0
    assert same_values(load_ticket("resnet8-w2.st"), source)


def test_warnings_go_to_standard_error(source: Ticket) -> None:
    _run("export", "state-dict", "t.st", "w.pth")
    done = _run("import", "state-dict", "w.pth", "--arch", "resnet8-w2", "-o", "w.st")
    assert (
        done.stderr == "warning: without --mask what is not zero counts as kept: kept weights that are zero are lost\n"
    )
    assert "warning" not in done.stdout


def test_masks_may_have_a_file_of_their_own(source: Ticket) -> None:
    _run("export", "state-dict", "t.st", "w.pth", "--mask", "m.pth")
    done = _run(
        "import",
        "state-dict",
        "w.pth",
        "--mask",
        "m.pth",
        "--arch",
        "resnet8-w2",
        "--step",
        "14",
        "--weights",
        "rewind",
    )
    assert done.stderr == ""
    assert load_ticket("resnet8-w2.st").weights == source.weights


def test_json_says_the_same(source: Ticket) -> None:
    out = json.loads(_run("export", "open-lth", "t.st", "run", "--json").stdout)
    assert out["format"] == {"name": "ticketkit-export", "version": "1.0"}
    assert out["source"] == {"path": "t.st", "id": source.id}
    assert [file["path"] for file in out["files"]] == ["run/mask.pth", "run/model_ep0_it14.pth", "run/hparams.log"]
    assert all(file["bytes"] == Path(file["path"]).stat().st_size for file in out["files"])
    back = json.loads(_run("import", "open-lth", "run", "-o", "b.st", "--json").stdout)
    assert back["format"] == {"name": "ticketkit-import", "version": "1.0"}
    assert (back["kept"], back["total"], back["architecture"]) == (source.kept, source.total, "cifar-resnet8-w2")
    assert back["weights"] == {"role": "rewind", "step": 14}
    assert back["id"] == load_ticket("b.st").id


@pytest.mark.usefixtures("source")
def test_nothing_is_replaced_without_force() -> None:
    _run("export", "open-lth", "t.st", "run")
    with pytest.raises(BundleError, match="without --force"):
        _run("import", "open-lth", "run", "-o", "t.st")
    with pytest.raises(BundleError, match="must not be overwritten"):
        _run("export", "open-lth", "t.st", "run")
    assert _run("import", "open-lth", "run", "-o", "t.st", "--force").exit_code == 0
    assert _run("export", "open-lth", "t.st", "run", "--force").exit_code == 0


@pytest.mark.usefixtures("source")
def test_an_unknown_kind_is_wrong_usage() -> None:
    done = _run("import", "openlth", "x")
    assert done.exit_code == 2
    assert "must be one of open-lth" in done.stderr
    assert "did you mean 'open-lth'" in done.stderr


@pytest.mark.parametrize("command", ["import", "export"])
def test_the_help_lists_the_formats_and_an_example(command: str) -> None:
    text = _run(command, "--help").stdout
    assert all(f"  {kind} " in text for kind in FORMATS)
    assert f"ticketkit {command} open-lth" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_an_error_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ticketkit", "import", "open-lth", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"ticketkit: a level's folder of open_lth must hold mask.pth (it does not): {tmp_path}\n"


@pytest.mark.parametrize(
    "code",
    [
        "import ticketkit.interop as i; list(i.FORMATS)",
        "from ticketkit.cli.app import application as a; a(['export', '--help'], standalone_mode=False)",
        "from ticketkit.cli.app import application as a; "
        "a(['export', 'sparse-bitmask', 't.st', 'x.safetensors'], standalone_mode=False); "
        "a(['import', 'sparse-bitmask', 'x.safetensors', '-o', 'y.st'], standalone_mode=False)",
    ],
)
@pytest.mark.usefixtures("source")
def test_torch_is_imported_for_pth_files_only(code: str) -> None:
    code = f"{code}\nimport sys\nsys.exit(5 if 'torch' in sys.modules else 0)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("module", ["import_", "export"])
def test_the_commands_modules_are_light(module: str) -> None:
    code = f"import sys, ticketkit.cli.commands.{module}\nprint({{'torch', 'numpy', 'rich'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
