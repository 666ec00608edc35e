"""What every benchmark's result says of how it was made."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def record(results: Any, out: Path | None) -> None:
    """Write results with their origin as JSON, or print them."""
    document = {
        "command": " ".join(["python", *map(_without_folder, sys.argv)]),
        "commit": _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain") else ""),
        "versions": {name: version(name) for name in ("ticketkit", "torch", "numpy", "safetensors")},
        "python": platform.python_version(),
        "machine": {"processor": _processor(), "cores": _cores()},
        "results": results,
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    if out is None:
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


def _without_folder(argument: str) -> str:
    """A path of this machine says nothing elsewhere."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
