"""What ends a command without a traceback, whatever it is."""

import subprocess
import sys
import warnings

import click
import pytest
from click.testing import CliRunner

from ticketkit.cli import app


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: BaseException) -> tuple[int, str]:
    @click.command()
    def broken() -> None:
        raise what

    monkeypatch.setattr(app, "application", broken)
    monkeypatch.setattr(sys, "argv", ["ticketkit"])
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "line"),
    [
        (MemoryError(), "network and data must fit the memory (there is no more)"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: not enough memory\nframe #0"),
            "network and data must fit the memory ([enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: not enough "
            "memory)",
        ),
        (OSError(28, "No space left on device", "out.st"), "files must stay readable and writable (No space left on "),
    ],
)
def test_what_the_machine_lacks_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: BaseException, line: str
):
    code, error = run(monkeypatch, capsys, what)
    assert code == 1
    assert error.startswith(f"ticketkit: {line}")
    assert error.count("\n") == 1


def test_an_error_of_the_program_itself_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(RuntimeError, match="shapes"):
        run(monkeypatch, capsys, RuntimeError("shapes do not match"))


@pytest.mark.parametrize(
    ("name", "line"),
    [("strech", "No such command 'strech'. Did you mean 'stretch'?"), ("xyzzy", "No such command 'xyzzy'.")],
)
def test_a_command_misspelt_is_suggested(name: str, line: str):
    done = CliRunner().invoke(app.application, [name])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == f"Error: {line}"


def test_a_warning_is_one_line():
    code = (
        "import warnings; from ticketkit.cli import app; warnings.showwarning = app._say_warning;"
        r"warnings.warn('no\nlock', RuntimeWarning, stacklevel=1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("ticketkit: no")
    assert done.stderr.count("\n") == 1
