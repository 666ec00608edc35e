"""What docs/sharing.md, formats/zoo-v1.md and the example say holds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

from ticketkit.cli.app import application
from ticketkit.sharing import cache, remote, zoo

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "formats" / "zoo-v1.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\$ ticketkit (.*)$", DOCS, flags=re.M)


@pytest.mark.parametrize("line", LINES)
def test_the_commands_exist_with_their_options(line: str) -> None:
    """Parsing fetches nothing, so the places may be made up."""
    name, *arguments = shlex.split(line)
    context = click.Context(application)
    command = application.get_command(context, name)
    if isinstance(command, click.Group):
        command = command.get_command(context, arguments.pop(0))
    assert command is not None
    command.make_context(name, arguments)


def test_every_command_of_sharing_is_shown() -> None:
    assert {line.split()[0] for line in LINES} >= {"card", "push", "zoo", "inspect", "check", "stretch"}
    assert {line.split()[1] for line in LINES if line.startswith("zoo ")} == {"list", "get", "add", "build"}


def test_the_python_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resnet20.st").write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCS, flags=re.M | re.S)
    exec(code, {})


def test_the_bounds_are_those_of_the_code() -> None:
    patience, brief = remote.DEFAULT_PATIENCE, remote.BRIEF
    assert (patience.connect, patience.silence, patience.total, brief.total) == (10, 15, 3600, 60)
    assert (
        "may take 10 seconds to connect and 15 between two bytes, a header a minute and a download an hour"
        in " ".join(DOCS.split())
    )
    assert (patience.tries, patience.redirects) == (4, 5)
    assert "It is asked four times at most." in DOCS
    assert "at most five, none from `https` to `http`" in DOCS
    assert cache.VARIABLE in DOCS


def test_the_specification_names_every_member_and_bound() -> None:
    for field in fields(zoo.Entry):
        assert f"`{field.name}`" in FORMAT
    assert f"{zoo.MOST_BYTES:,}" in FORMAT
    assert f"{zoo.MOST_TICKETS:,}" in FORMAT


def test_the_example_runs(tmp_path: Path) -> None:
    script = ROOT / "examples" / "share_over_http.py"
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"resnet20-digits: [0-9,]+ of [0-9,]+ bytes read, found by imp, level \d+", done.stdout)
    assert "resnet56" in done.stdout
    assert not list(tmp_path.iterdir())
