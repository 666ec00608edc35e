"""Torch stays out of everything that does not train; a fresh process each, since this one may have it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ticketkit.bundle import save_ticket
from ticketkit.ticket import Ticket

HEAVY = ("torch", "torchvision", "PIL")
NEEDLESS = (*HEAVY, "rich", "safetensors", "asyncio", "multiprocessing", "concurrent.futures", "logging", "subprocess")
"""What a command that only reads and writes tickets has no use for; each costs it milliseconds or more."""


def _imported(module: str, heavy: tuple[str, ...]) -> str:
    """Names of those heavy modules that importing ``module`` imports, as a fresh process prints them."""
    code = f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_probe_sees_an_import() -> None:
    assert _imported("numpy", (*HEAVY, "numpy")) == "numpy"


@pytest.mark.parametrize(
    "module", ["ticketkit", "ticketkit.bundle", "ticketkit.stretch", "ticketkit.report", "ticketkit.cli.app"]
)
def test_importing_it_never_imports_torch(module: str) -> None:
    assert _imported(module, HEAVY) == ""


@pytest.mark.parametrize("command", ["check", "diff", "inspect", "stretch", "squeeze"])
def test_a_commands_module_is_light(command: str) -> None:
    # ``ticketkit --help`` imports every command's module for its one line of help.
    assert _imported(f"ticketkit.cli.commands.{command}", (*HEAVY, "numpy", "rich")) == ""


@pytest.mark.parametrize(
    "arguments", ["check a.st", "diff a.st a.st", "inspect a.st", "stretch a.st --to 20", "squeeze a.st --to 8 -o b.st"]
)
def test_a_whole_command_imports_only_what_it_needs(
    make_ticket: Callable[..., Ticket], tmp_path: Path, arguments: str
) -> None:
    save_ticket(make_ticket("resnet14-w2"), tmp_path / "a.st")
    code = (
        "import sys; from ticketkit.cli.app import application\n"
        f"application({arguments.split()}, standalone_mode=False)\n"
        f"print(*[name for name in {NEEDLESS} if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, encoding="utf-8"
    )
    assert done.stdout.splitlines()[-1] == "nothing else"
