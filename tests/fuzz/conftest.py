"""Fuzzing's modules import each other by their names alone, as a script's do: ``python tests/fuzz/run.py``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
