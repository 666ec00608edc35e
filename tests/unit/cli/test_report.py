"""``ticketkit report``: files in, files out, and nothing overwritten by accident."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.cli.app import application
from ticketkit.errors import TicketkitError

RECORDED = Path(__file__).parents[3] / "benchmarks" / "results" / "digits-verify-20-to-56.json"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(RECORDED, tmp_path / "verify.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(application, ["report", *arguments])


def test_every_output_at_once(here: Path) -> None:
    outputs = [
        "-o",
        "out/page.html",
        "--png",
        "figures",
        "--svg",
        "figures",
        "--markdown",
        "out/t.md",
        "--csv",
        "t.csv",
    ]
    result = run("verify.json", *outputs)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (here / "figures").iterdir())
    assert names == [f"{what}-resnet56.{suffix}" for what in ("accuracy", "difference") for suffix in ("png", "svg")]
    assert (here / "figures/accuracy-resnet56.png").read_bytes().startswith(b"\x89PNG")
    assert "<!DOCTYPE html>" in (here / "out/page.html").read_text(encoding="utf-8")
    assert "(<../figures/accuracy-resnet56.png>)" in (here / "out/t.md").read_text(encoding="utf-8")
    arms = json.loads(RECORDED.read_text(encoding="utf-8"))["results"]["arms"]
    assert (here / "t.csv").read_bytes().count(b"\r\n") == 1 + sum(len(arm["runs"]) for arm in arms)
    assert "1 comparison, 0 connections" in result.output
    assert "figures: 2 pictures" in result.output


def test_a_run_without_an_output_says_which_there_are(here: Path) -> None:
    result = run("verify.json")
    assert result.exit_code == 2
    assert all(option in result.output for option in ("-o FILE", "--png DIR", "--svg DIR", "--markdown", "--csv"))


@pytest.mark.parametrize("option", ["-o", "--markdown", "--csv"])
def test_a_file_is_replaced_only_with_force(here: Path, option: str) -> None:
    (here / "there").write_text("old", encoding="utf-8")
    result = run("verify.json", option, "there")
    assert isinstance(result.exception, TicketkitError)
    assert "--force" in str(result.exception)
    assert (here / "there").read_text(encoding="utf-8") == "old"
    assert run("verify.json", option, "there", "--force").exit_code == 0
    assert (here / "there").read_text(encoding="utf-8") != "old"


def test_a_picture_in_the_way_keeps_everything_from_being_written(here: Path) -> None:
    (here / "figures").mkdir()
    (here / "figures/difference-resnet56.svg").write_text("old", encoding="utf-8")
    result = run("verify.json", "--svg", "figures", "--csv", "t.csv")
    assert isinstance(result.exception, TicketkitError)
    assert [path.name for path in (here / "figures").iterdir()] == ["difference-resnet56.svg"]
    assert not (here / "t.csv").exists()


def test_two_outputs_in_one_file_are_refused(here: Path) -> None:
    result = run("verify.json", "--markdown", "t", "--csv", "t")
    assert isinstance(result.exception, TicketkitError)
    assert "a file of its own" in str(result.exception)


def test_a_folder_that_cannot_be_made_is_one_line(here: Path) -> None:
    result = run("verify.json", "--csv", "verify.json/t.csv")
    assert isinstance(result.exception, TicketkitError)
    assert "can be written" in str(result.exception)


def test_tables_need_no_matplotlib_and_pictures_say_how_to_get_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("verify.json", "--markdown", "t.md", "--csv", "t.csv").exit_code == 0
    result = run("verify.json", "-o", "out.html")
    assert isinstance(result.exception, TicketkitError)
    assert str(result.exception) == "plots need matplotlib: pip install 'ticketkit[plots]'"
    assert not (here / "out.html").exists()


def test_tables_load_neither_torch_nor_matplotlib(here: Path) -> None:
    program = (
        "import sys; from ticketkit.cli.app import application; "
        "application(['report', 'verify.json', '--csv', 't.csv'], standalone_mode=False); "
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=here)
    assert done.stdout.splitlines()[-1] == "[]"
