"""Results as text, at most 80 columns wide, for whoever watches."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

WIDTH = 80


def show(title: str, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on standard error, so that standard output holds the JSON document alone.

    Args:
        title: What it shows.
        headers: Of the columns; the first is at the left, the others at the right.
        rows: Cells; numbers with a fraction are shown to three figures.
    """
    texts = [list(headers), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    print(f"\n{textwrap.fill(title, WIDTH)}", file=sys.stderr)
    for row in texts:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip(), file=sys.stderr)


def _text(cell: Any) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)
