"""What shells complete: values of options and arguments, looked up without torch at each press of tab."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DEEPEST = 200
"""Networks deeper than this are not offered; they can be typed."""

MOST_TIMES = 10
"""A ticket's targets that are more than so many times as deep are not offered either."""

TICKET_SUFFIX = ".st"

_PLAIN = re.compile(r"[\w./%+,][\w./%+,-]*")
"""Paths that stand for themselves in every shell, are no option, and hold nothing at which bash begins a new word."""

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _offering(names: Callable[[click.Context], Iterable[str]], *, file_suffix: str | None = None) -> Complete:
    """What completes a word by names, and where none fits by files that may stand there instead."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name) for name in names(ctx) if name.startswith(incomplete)]
        return found if found or file_suffix is None else complete_files(incomplete, file_suffix)

    return complete


def complete_files(incomplete: str, suffix: str) -> list[CompletionItem]:
    """Complete a path by the files of its folder that end in ``suffix``, or else by the shell's own means.

    So the way down to a folder is the shell's, and so are all files where one has a name that must be quoted, which the
    shell alone knows how to do. Hidden files are offered only to who has typed their dot.
    """
    from click.shell_completion import CompletionItem

    folder, slash, start = incomplete.rpartition("/")
    try:
        names = sorted(path.name for path in Path(folder + slash or ".").iterdir() if path.name.endswith(suffix))
    except OSError:
        names = []
    fitting = [name for name in names if name.startswith(start) and (start or not name.startswith("."))]
    paths = [f"{folder}{slash}{name}" for name in fitting]
    if not paths or not all(map(_PLAIN.fullmatch, paths)):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(path) for path in paths]


def complete_tickets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a ticket's path."""
    return complete_files(incomplete, TICKET_SUFFIX)


def arm_names() -> list[str]:
    """Names of the arms, which are their modules', since importing these would import torch."""
    modules = pkgutil.iter_modules([str(Path(__file__).parents[1] / "verify" / "arms")])
    return sorted(module.name.replace("_", "-") for module in modules)


def complete_arms(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of several arms joined by commas, or a ticket's path."""
    from click.shell_completion import CompletionItem

    before, comma, start = incomplete.rpartition(",")
    there = before.split(",")
    names = [name for name in ("all", *arm_names()) if name.startswith(start) and name not in there]
    found = [CompletionItem(f"{before}{comma}{name}") for name in names]
    return found or complete_files(incomplete, TICKET_SUFFIX)


def _networks(_ctx: click.Context) -> Iterator[str]:
    from ticketkit.arch import FAMILIES
    from ticketkit.arch.family import read_plain

    for family in FAMILIES.values():
        if family.read is read_plain:
            depths = (depth for depth in range(1, DEEPEST + 1) if family.has_depth(depth))
            yield from (f"{family.label(depth)}{depth}" for depth in depths)
        else:
            yield from family.examples


def _targets(ctx: click.Context) -> Iterator[str]:
    """Networks of the ticket's own family, if it is at hand, or of all."""
    from ticketkit.arch import FAMILIES
    from ticketkit.bundle import read_header
    from ticketkit.errors import TicketkitError
    from ticketkit.stretch import resolve_target

    # An option that still lacks its value keeps click from telling arguments apart: they are left over.
    words = [word for word in (str(ctx.params.get("ticket") or ""), *ctx.args) if word.endswith(TICKET_SUFFIX)]
    try:
        arch = read_header(words[0]).arch
    except (TicketkitError, IndexError):
        yield from _networks(ctx)
        return
    for depth in range(1, min(DEEPEST, MOST_TIMES * arch.depth) + 1):
        if depth != arch.depth and FAMILIES[arch.family].has_depth(depth):
            with suppress(TicketkitError):  # another design
                yield resolve_target(arch, str(depth)).short_name


def _recipes(_ctx: click.Context) -> Sequence[str]:
    from ticketkit.recipe import known_recipes

    return known_recipes()


def _datasets(_ctx: click.Context) -> Iterable[str]:
    from ticketkit.data import DATASETS

    return DATASETS


def _formats(_ctx: click.Context) -> Iterable[str]:
    from ticketkit.interop import FORMATS

    return FORMATS


def _orders(_ctx: click.Context) -> Iterable[str]:
    from ticketkit.stretch import POLICIES

    return POLICIES


complete_networks: Complete = _offering(_networks)
complete_targets: Complete = _offering(_targets)
complete_recipes: Complete = _offering(_recipes, file_suffix=".toml")
complete_datasets: Complete = _offering(_datasets)
complete_formats: Complete = _offering(_formats)
complete_orders: Complete = _offering(_orders)
complete_devices: Complete = _offering(lambda _ctx: ("auto", "cpu", "cuda"))
complete_counts: Complete = _offering(lambda _ctx: ("auto",))
