"""Print results of `verify`, as `run.py` keeps them, as Markdown tables for the documents.

python benchmarks/table.py benchmarks/results/digits-verify-20-to-32.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any


def rows(report: dict[str, Any]) -> list[str]:
    lines = ["| arm | kept | untrained | accuracy | ticket's lead, 95 % | each seed |", "|---|---|---|---|---|---|"]
    for arm in report["arms"]:
        runs = arm["runs"]
        lead = arm["ticket_lead"]
        shown = (
            ""
            if lead is None
            else "{mean:+.2f} ({low:+.2f} to {high:+.2f})".format(**{name: 100 * value for name, value in lead.items()})
        )
        cells = [
            arm["name"],
            f"{100 * arm['kept'] / arm['total']:.2f} %",
            f"{100 * fmean(run['untrained'] for run in runs):.1f}",
            f"{100 * arm['mean']:.2f} ± {100 * arm['deviation']:.2f}",
            shown,
            " ".join(f"{100 * run['accuracy']:.1f}" for run in runs),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    for name in sys.argv[1:]:
        report = json.loads(Path(name).read_text(encoding="utf-8"))["results"]
        ticket = report["ticket"]
        print(f"{ticket['architecture']}, {100 * ticket['sparsity']:.2f} % sparse, from step {report['start_step']}:\n")
        print("\n".join(rows(report)))
        print(f"\n{report['verdict']}\n")


if __name__ == "__main__":
    main()
