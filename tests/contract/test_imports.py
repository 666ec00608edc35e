"""Torch stays out of everything that does not train; a fresh process each, since this one may have it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "PIL")


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


@pytest.mark.parametrize("command", ["inspect", "stretch", "squeeze"])
def test_a_commands_module_is_light(command: str) -> None:
    # ``ticketkit --help`` imports every command's module for its one line of help.
    assert _imported(f"ticketkit.cli.commands.{command}", (*HEAVY, "numpy", "rich")) == ""
