"""How the commands print: tables for people on standard output, JSON where asked, progress on standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MAX_WIDTH = 80


def console(*, stderr: bool = False) -> Console:
    """A console of at most 80 columns, and of exactly 80 where the output is not a terminal."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    found.width = min(found.width, MAX_WIDTH) if found.is_terminal else MAX_WIDTH
    return found


def plain_table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """A table without frames; the columns named in ``right`` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False, padding=(0, 1)
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def echo_json(value: Mapping[str, Any]) -> None:
    """Print a JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
