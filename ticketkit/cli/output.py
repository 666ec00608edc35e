"""How the commands print: tables for people on standard output, JSON where asked, progress on standard error."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ticketkit.fractions import percent as percent  # noqa: PLC0414 - commands take their words from here

if TYPE_CHECKING:
    from rich.console import Console

MAX_WIDTH = 80
_LABEL_WIDTH = 9
"""Leaves exactly the 71 columns of a ticket's id."""
_PLAIN = str.maketrans(
    {"█": "#", "×": "x", "…": ".", "−": "-", "←": "<", "±": "+-"}
    | dict.fromkeys("▏▎▍▌▋▊▉", "#")
    | dict(zip("▁▂▃▄▅▆▇", "_.-~=+*", strict=True))
)


def console(*, stderr: bool = False) -> Console:
    """A console of at most 80 columns, and of exactly 80 where the output is not a terminal."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    found.width = min(found.width, MAX_WIDTH) if found.is_terminal else MAX_WIDTH
    return found


def echo_json(value: Mapping[str, Any]) -> None:
    """Print a JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def command_line() -> str:
    """The command that is running, as results hold it and a shell takes it."""
    return shlex.join(["ticketkit", *sys.argv[1:]])


def printable(text: str) -> str:
    """A string from a file, made safe to show: control characters, which could steer a terminal, are replaced."""
    return "".join(character if character.isprintable() else "�" for character in text)


def echo(*lines: str, err: bool = False) -> None:
    """Print lines, on a terminal or in a pipe that knows no more than ASCII too."""
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = "\n".join(lines)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    click.echo(text, err=err, color=False if os.environ.get("TERM") == "dumb" else None)


def is_quiet() -> bool:
    """Whether the user asked for neither progress nor hints: ``ticketkit --quiet``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("quiet"))


def hint(*lines: str) -> None:
    """Say on standard error what is good to know and no result, unless the user asked for quiet."""
    if not is_quiet():
        echo(*lines, err=True)


def say_opening(*lines: str, beside_json: bool) -> None:
    """Say what is about to be done, above its results; a document stands alone, and beside it this is a hint."""
    if beside_json:
        hint(*lines)
    else:
        echo(*lines)


def fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of a label and a value each, the value broken at spaces, commas and semicolons where it is too long.

    An empty label continues the field above it.
    """
    lines = []
    for label, value in pairs:
        first, *rest = _wrapped(printable(value), MAX_WIDTH - _LABEL_WIDTH)
        lines.append(click.style(f"{label:<{_LABEL_WIDTH}}", bold=True) + first)
        lines += [" " * _LABEL_WIDTH + line for line in rest]
    return lines


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: Container[str] = ()) -> list[str]:
    """Lines of a table, set without rich, whose import costs a quick command a fifth of its time.

    Args:
        columns: The columns' heads.
        rows: The cells.
        left: The columns that are aligned to the left; all others are to the right.
    """
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    aligned = [str.ljust if column in left else str.rjust for column in columns]

    def line(cells: Sequence[str]) -> str:
        fitted = (align(cell, width) for align, cell, width in zip(aligned, cells, widths, strict=True))
        return "  ".join(fitted).rstrip()

    return [click.style(line(columns), bold=True), *(line(row) for row in rows)]


def shortened(text: str, width: int) -> str:
    """A text of at most ``width`` columns, its middle left out where it is too long."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def bar(fraction: float, width: int) -> str:
    """A bar of at most ``width`` columns; ``fraction`` is in [0, 1], and what is not zero shows."""
    eighths = math.ceil(fraction * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where there is not one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"[^\s,;|]*[\s,;|]*", text):
        pieces = [word[start : start + width] for start in range(0, len(word), width)]
        for piece in pieces:
            if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]
