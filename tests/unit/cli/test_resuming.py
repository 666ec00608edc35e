"""What is said when a command is stopped, or the system refuses it a file."""

from __future__ import annotations

import errno
import os
import sys

import click
import pytest

from ticketkit.cli import app
from ticketkit.cli.resuming import ResumableCommand, say_once

STOPPED = "ticketkit: stopped; nothing half-written is left behind"


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, *arguments: str
) -> tuple[int, list[str]]:
    """Run a command that ends with an error; the exit code and what it said."""

    @click.command(cls=ResumableCommand)
    @click.option("--run-dir")
    def command(run_dir: str | None) -> None:
        raise error

    @click.command()
    def plain() -> None:
        raise error

    monkeypatch.setattr(app.CommandFolder, "get_command", lambda _, __, name: {"it": command, "plain": plain}[name])
    monkeypatch.setattr(sys, "argv", ["ticketkit", *arguments])
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, [line for line in capsys.readouterr().err.splitlines() if line]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["plain"], STOPPED),
        (["it"], STOPPED),
        (["it", "--run-dir", "run"], f"{STOPPED}; go on with --resume"),
    ],
)
def test_a_stop_says_whether_it_can_be_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    arguments: list[str],
    line: str,
) -> None:
    assert run(monkeypatch, capsys, error, *arguments) == (130, [line])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.json"),
            "ticketkit: files must stay readable and writable (No space left on device): out.json",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), b"a\nb"),
            "ticketkit: files must stay readable and writable (Permission denied): a b",
        ),
        (OSError("odd"), "ticketkit: files must stay readable and writable (odd)"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, line: str
) -> None:
    assert run(monkeypatch, capsys, error, "plain") == (1, [line])


def test_a_line_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    say = say_once()
    for line in ("one", "two", "one", "two"):
        say(line)
    assert capsys.readouterr().err == "one\ntwo\n"
