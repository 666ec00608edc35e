"""A sample of what ``run.py`` beside this file does at length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("run.py")


@pytest.mark.parametrize(("number", "kills"), [("KILL", 3), ("TERM", 1)])
def test_what_is_killed_goes_on_to_the_same_files(number: str, kills: int) -> None:
    # A process of its own: it forks, which one that has computed with torch must not.
    command = [sys.executable, HARNESS, "--kills", str(kills), "--seed", "11", "--signal", number]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 failures in " in done.stdout
