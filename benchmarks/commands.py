"""Wall time of the commands that need no torch, and the size of a ticket against what it must at least hold."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

from ticketkit.bundle import load_ticket
from ticketkit.encoding import Bitmask


def seconds(command: list[str], runs: int) -> dict[str, float]:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return {"median_s": statistics.median(times), "least_s": min(times)}


def sizes(path: Path) -> dict[str, float]:
    ticket = load_ticket(path)
    bits = sum(stored.bits.nbytes for stored in ticket.stored.values() if isinstance(stored, Bitmask))
    values = sum(stored.values.nbytes for stored in ticket.stored.values() if isinstance(stored, Bitmask))
    rest = sum(stored.data.nbytes for stored in ticket.stored.values() if not isinstance(stored, Bitmask))
    dense = sum(array.nbytes for array in ticket.tensors.values())
    file = path.stat().st_size
    return {
        "architecture": ticket.arch.name,
        "sparsity": ticket.sparsity,
        "file_bytes": file,
        "one_bit_a_weight": bits,
        "four_bytes_a_kept_weight": values,
        "other_tensors": rest,
        "header_bytes": file - bits - values - rest,
        "file_over_bits_values_rest": file / (bits + values + rest),
        "dense_bytes": dense,
        "dense_over_file": dense / file,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ticket", type=Path, help="a ticket of resnet20")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    python = [sys.executable]
    tool = [*python, "-m", "ticketkit"]
    with tempfile.TemporaryDirectory() as folder:
        deep, out = Path(folder, "deep.st"), Path(folder, "out.st")
        stretch = [*tool, "stretch", str(arguments.ticket), "--force", "-o"]
        subprocess.run([*stretch, str(deep), "--to", "110"], check=True, capture_output=True)
        commands = {
            "inspect resnet20": [*tool, "inspect", str(arguments.ticket)],
            "inspect resnet110": [*tool, "inspect", str(deep)],
            "stretch resnet20 to resnet56": [*stretch, str(out), "--to", "56"],
            "stretch resnet20 to resnet110": [*stretch, str(out), "--to", "110"],
            "import numpy": [*python, "-c", "import numpy"],
            "import torch": [*python, "-c", "import torch"],
        }
        results = {
            "commands": {name: seconds(command, arguments.runs) for name, command in commands.items()},
            "sizes": [sizes(arguments.ticket), sizes(deep)],
        }
    record(results, arguments.out)


if __name__ == "__main__":
    main()
