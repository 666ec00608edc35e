"""``inspect`` and ``diff`` draw where they are asked to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.errors import ArchError, TicketkitError
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]
PNG = b"\x89PNG"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_ticket(make_ticket("resnet8-w2"), tmp_path / "a.st")
    save_ticket(make_ticket("resnet8-w2", seed=1), tmp_path / "b.st")
    save_ticket(stretch_ticket(make_ticket("resnet14-w2"), "20"), tmp_path / "deep.st")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_inspect_draws_a_ticket_a_layer_and_a_page_beside_what_it_prints(folder: Path) -> None:
    plain = _run("inspect", "a.st").stdout
    drawn = _run("inspect", "a.st", "--plot", "x/page.png", "--html", "page.html").stdout
    assert drawn == f"{plain}\npicture  {Path('x/page.png')}\npage     page.html\n"
    assert Path("x/page.png").read_bytes().startswith(PNG)
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    _run("inspect", "a.st", "--plot", "layer.png", "--layer", "conv")
    assert Path("layer.png").read_bytes() != Path("x/page.png").read_bytes()
    json.loads(_run("inspect", "a.st", "--plot", "j.svg", "--json").stdout)
    assert Path("j.svg").exists()


def test_diff_draws_overlap_layer_and_two_networks(folder: Path) -> None:
    for number, arguments in enumerate((["a.st", "b.st"], ["a.st", "b.st", "--layer", "conv"], ["a.st", "deep.st"])):
        done = _run("diff", *arguments, "--plot", f"{number}.png")
        assert done.stdout.endswith(f"picture  {number}.png\n")
        assert Path(f"{number}.png").read_bytes().startswith(PNG)
    with pytest.raises(ArchError, match="must be of one network"):
        _run("diff", "a.st", "deep.st", "--plot", "x.png", "--layer", "conv")


@pytest.mark.parametrize("command", [["inspect", "a.st"], ["diff", "a.st", "b.st"]])
def test_what_cannot_be_drawn_is_refused_before_anything_is_read(
    folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("there.png").write_text("precious")
    Path("a.st").write_bytes(b"not a ticket: nobody looks at it")
    with pytest.raises(TicketkitError, match=r"without --force .*there\.png$"):
        _run(*command, "--plot", "there.png")
    assert Path("there.png").read_text() == "precious"
    with pytest.raises(TicketkitError, match=r"must end in one of \.png, \.svg, \.pdf \(got '\.gif'\): x\.gif"):
        _run(*command, "--plot", "x.gif")
    done = _run(*command, "--layer", "conv")
    assert done.exit_code == 2
    assert "needs --plot" in done.stderr
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TicketkitError, match="plots need matplotlib"):
        _run(*command, "--plot", "x.png")


def test_force_replaces_and_a_layer_that_is_not_there_leaves_everything_as_it_was(folder: Path) -> None:
    Path("there.png").write_text("precious")
    with pytest.raises(ArchError, match="a layer to draw must be one"):
        _run("inspect", "a.st", "--plot", "there.png", "--layer", "nowhere", "--force")
    assert Path("there.png").read_text() == "precious"
    _run("inspect", "a.st", "--plot", "there.png", "--force")
    assert Path("there.png").read_bytes().startswith(PNG)
