"""Run a ticketkit command that prints JSON, and keep its document with its origin.

python benchmarks/run.py benchmarks/results/NAME.json verify resnet20-to-resnet32.st --seeds 3
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from record import record


def main() -> None:
    out, *arguments = sys.argv[1:]
    done = subprocess.run(
        [sys.executable, "-m", "ticketkit", *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    record(json.loads(done.stdout), Path(out))


if __name__ == "__main__":
    main()
