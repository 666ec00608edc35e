"""What makes hostile files lies beside the tests, in modules that are found by their names alone."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
