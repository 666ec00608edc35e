"""``ticketkit check``: one line a file, and an exit code that says whether all are sound."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import reader, save_ticket
from ticketkit.cli.app import application
from ticketkit.encoding import Bitmask
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]

FORMAT = Path(__file__).parents[3] / "formats" / "check-v1.md"


def _check(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["check", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def good(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    save_ticket(make_ticket(density=0.25), tmp_path / "good.st")
    return tmp_path / "good.st"


@pytest.fixture
def bad(good: Path, tmp_path: Path) -> Path:
    """The same with its very last byte changed, which only a hash can tell."""
    content = bytearray(good.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] ^= 1
    (tmp_path / "bad.st").write_bytes(content)
    return tmp_path / "bad.st"


def test_a_good_file_is_one_line_with_its_id(good: Path, make_ticket: MakeTicket) -> None:
    done = _check(good)
    ticket = make_ticket(density=0.25)
    assert done.exit_code == 0
    assert done.stdout == f"good  {good}: cifar-resnet8-w2, sparsity {100 * ticket.sparsity:.2f} %, {ticket.id}\n"
    assert done.stderr == ""


def test_every_file_is_checked_and_one_bad_file_is_enough_to_fail(good: Path, bad: Path, tmp_path: Path) -> None:
    (tmp_path / "text.st").write_text("no ticket")
    done = _check(good, bad, tmp_path / "none.st", tmp_path / "text.st", tmp_path, good)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line[:6] for line in lines] == ["good  ", "bad   ", "bad   ", "bad   ", "bad   ", "good  "]
    assert lines[1].startswith("bad   SHA-256 of layers.0001.num_batches_tracked must be ")
    for line, name in zip(lines[1:5], ("bad.st", "none.st", "text.st", tmp_path.name), strict=True):
        assert line.endswith(name)


def test_json_says_the_same_and_its_keys_are_documented(good: Path, bad: Path, make_ticket: MakeTicket) -> None:
    done = _check("--json", bad, good)
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert document["format"] == {"name": "ticketkit-check", "version": "1.0"}
    assert document["good"] is False
    first, second = document["files"]
    ticket = make_ticket(density=0.25)
    assert second == {
        "path": str(good),
        "good": True,
        "error": None,
        "bytes": good.stat().st_size,
        "id": ticket.id,
        "architecture": "cifar-resnet8-w2",
        "kept": ticket.kept,
        "total": ticket.total,
        "sparsity": ticket.sparsity,
    }
    assert (first["path"], first["good"]) == (str(bad), False)
    assert first["error"].endswith(str(bad))
    assert {first[key] for key in ("bytes", "id", "architecture", "kept", "total", "sparsity")} == {None}
    specified = FORMAT.read_text(encoding="utf-8")
    assert all(f"`{key}`" in specified for key in document)
    assert all(f"`files[].{key}`" in specified or f"`.{key}`" in specified for key in second)
    assert json.loads(_check("--json", good).stdout)["good"] is True


def test_files_are_mapped_and_nothing_is_decoded(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = reader.Container.data

    def data(container: reader.Container, *, mapped: bool) -> reader.Data:
        asked.append(mapped)
        return whole(container, mapped=mapped)

    def refuse(_: Bitmask) -> None:
        raise AssertionError

    monkeypatch.setattr(reader.Container, "data", data)
    monkeypatch.setattr(Bitmask, "decode", refuse)
    monkeypatch.setattr(Bitmask, "mask", refuse)
    assert _check(good).exit_code == 0
    assert asked == [True]


def test_a_name_cannot_steer_the_terminal(good: Path, tmp_path: Path) -> None:
    for name in ("\x1b[31mred.st", "two\nlines.st"):
        (tmp_path / name).write_bytes(good.read_bytes())
        (tmp_path / f"bad{name}").write_bytes(b"x")
        done = _check(tmp_path / name, tmp_path / f"bad{name}")
        assert len(done.stdout.splitlines()) == 2
        assert "\x1b" not in done.stdout


def test_without_a_file_it_is_wrong_usage() -> None:
    done = _check()
    assert done.exit_code == 2
    assert "TICKET..." in done.stderr


def test_the_real_command_exits_with_1(good: Path, bad: Path) -> None:
    command = [sys.executable, "-m", "ticketkit", "check"]
    done = subprocess.run([*command, str(good), str(bad)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["good", "bad"]
    assert subprocess.run([*command, str(good)], capture_output=True, check=False).returncode == 0
