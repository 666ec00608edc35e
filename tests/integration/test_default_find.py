"""The promise of the README's first command, at full size: a minute or two of training, the longest test there is."""

import json
import subprocess
import sys
from pathlib import Path

from ticketkit.bundle import load_ticket


def test_the_default_command_finds_a_winning_ticket(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ticketkit", "find", "--arch", "resnet20", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    levels = json.loads(done.stdout)["levels"]
    dense, last = levels[0]["accuracy"], levels[-1]["accuracy"]
    assert len(levels) == 15
    assert dense >= 0.97
    assert last >= dense - 0.01
    ticket = load_ticket(tmp_path / "resnet20.st")
    assert ticket.arch.width == 16
    kept = ticket.total
    for _ in range(14):
        kept -= round(0.2 * kept)
    assert ticket.kept == kept
