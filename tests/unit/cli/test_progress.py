"""Bars on a terminal, lines in a pipe, nothing for who wants quiet."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.cli.progress import TrainingProgress, counting
from ticketkit.cli.references import download_bar
from ticketkit.provenance import Weights
from ticketkit.ticket import Ticket

FIND = ["find", "--arch", "resnet8-w2", "--limit", "64", "--recipe", "quick", "--levels", "1", "-o", "a.st"]
FIND += [part for field in ("epochs=2", "batch=32", "warmup=0", "rewind=1it") for part in ("--set", field)]
ESCAPE = "\x1b"


def on_a_terminal(folder: Path, *arguments: str) -> tuple[str, str]:
    """What a command writes to standard output, a pipe, and to standard error, a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ticketkit", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, cwd=folder, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # how Linux says that nobody writes to the terminal any more
            pass
        finally:
            os.close(ours)
        assert process.stdout is not None
        results = process.stdout.read()
        assert process.wait(60) == 0, shown
    return results.decode(), shown.decode()


def test_a_terminal_shows_a_bar_with_the_time_left(tmp_path: Path) -> None:
    results, shown = on_a_terminal(tmp_path, *FIND)
    assert "left" in shown
    assert ESCAPE in shown
    assert "━" in shown
    assert "level  1/1  density" in shown, "the line of each training stays"
    assert ESCAPE not in results
    assert "kept/total" in results


def drawn(monkeypatch: pytest.MonkeyPatch, *, quiet: bool) -> str:
    """What a terminal shows of a training, of a download, and of images being read."""
    ours, theirs = pty.openpty()
    with click.Context(application) as context, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        context.params["quiet"] = quiet
        monkeypatch.setattr(sys, "stderr", terminal)
        with TrainingProgress(10) as bar:
            bar.epoch("half", 5)
            bar.done("whole", 10)
        with counting("images") as advance:
            advance(3, 9)
        with download_bar("a.st", shown=True) as on_progress:
            assert (on_progress is None) == quiet
            if on_progress is not None:
                on_progress(3, 9)
        terminal.write("end")
    os.set_blocking(ours, False)
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    return shown.decode()


def test_quiet_draws_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn(monkeypatch, quiet=False)
    assert [word for word in ("whole", "left", "images", "3/9", "a.st") if word not in shown] == []
    assert drawn(monkeypatch, quiet=True) == "end"


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_gets_a_line_for_each_training_and_no_control_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "1")
    done = CliRunner().invoke(application, FIND, catch_exceptions=False)
    assert [line.split("  density")[0] for line in done.stderr.splitlines()] == ["level  0/1", "level  1/1"]
    assert done.stderr.replace("\n", "").isprintable()


def test_quiet_silences_progress_and_what_is_said_beside_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loud = CliRunner().invoke(application, [*FIND, "--json"], catch_exceptions=False)
    quiet = CliRunner().invoke(application, ["--quiet", *FIND, "--json", "--force"], catch_exceptions=False)
    assert "network  cifar-resnet8-w2" in loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout.splitlines()[:3] == loud.stdout.splitlines()[:3]


def test_quiet_silences_hints_and_no_error(
    make_ticket: Callable[..., Ticket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_ticket(make_ticket("resnet14-w2", weights=Weights(role="rewind", step=1)), tmp_path / "a.st")

    def stretch(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(application, [*options, "stretch", "a.st", "--to", "20", "--force"])
        return done.exit_code, done.stderr

    code, said = stretch()
    assert code == 0
    assert said.startswith("note: running statistics")
    assert stretch("-q") == (0, "")
    done = CliRunner().invoke(application, ["-q", "stretch", "a.st"])
    assert done.exit_code == 2
    assert "--to" in done.stderr
