"""The runner's modules import each other by their names alone, as a script's do: ``python tests/blocks/renew.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One process that runs the commands of all pages."""
    with Server() as running:
        yield running
