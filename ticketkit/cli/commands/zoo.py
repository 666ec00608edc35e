"""``ticketkit zoo``: tickets that an index lists, in a folder or elsewhere; ``formats/zoo-v1.md`` specifies the index.

With ``--json`` each command prints one document of stable keys:

- ``list``: an index of the tickets that are wanted, each with ``reference``, where it is and the id that it must have;
- ``get``: ``format`` (``name`` ``ticketkit-zoo-get``, ``version`` ``1.0``), ``path`` (the file that was written) and
  ``ticket`` (its entry);
- ``add`` and ``build``: the index that was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ticketkit.cli.commands.card import LICENCE_OPTION
from ticketkit.cli.completions import complete_datasets, complete_networks
from ticketkit.cli.output import MAX_WIDTH, counted, echo, echo_json, fields, percent, printable, shortened, text_table
from ticketkit.cli.references import TICKET_FILES, download_bar

if TYPE_CHECKING:
    from ticketkit.sharing.zoo import Entry, Wanted
    from ticketkit.sharing.zoo_files import PlacedZoo

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = ("name", "network", "data", "sparsity", "accuracy", "bytes")
_LEFT = ("name", "network", "data")
_SHORTEST_NETWORK = 12
_LONGEST_NETWORK = 20
_LONGEST_DATA = 10


@click.group("zoo", short_help="List and get tickets of a zoo, or make one.")
def command() -> None:
    """List and get tickets of a zoo: an index, one JSON file, in a folder or elsewhere.

    A zoo is named by its index, zoo.json: a file, a folder that holds one, https://host/zoo.json, hf://user/repo.

    \b
    Examples:
      ticketkit zoo list examples/zoo
          What there is.
      ticketkit zoo get examples/zoo resnet20-digits
          Copy, or download, one of them to resnet20-digits.st.
    """  # noqa: D301 - click wants the backspace itself


def _filters(function: F) -> F:
    """The options that say which tickets are wanted."""
    per_cent = click.FloatRange(0, 100)
    for option in (
        click.option("--min-accuracy", type=per_cent, metavar="PERCENT", help="At least so accurate."),
        click.option("--max-sparsity", type=per_cent, metavar="PERCENT", help="At most so sparse."),
        click.option("--min-sparsity", type=per_cent, metavar="PERCENT", help="At least so sparse."),
        click.option("--dataset", metavar="NAME", shell_complete=complete_datasets, help="Found on these data."),
        click.option(
            "--arch",
            metavar="NETWORK",
            shell_complete=complete_networks,
            help="Of this network: resnet20, or a pattern, 'resnet*'.",
        ),
    ):
        function = option(function)
    return function


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@command.command("list", short_help="List tickets.")
@click.argument("zoo")
@_filters
@_JSON
def list_command(zoo: str, *, as_json: bool, **wanted: Any) -> None:
    """List the tickets of a zoo, all or those that are wanted.

    \b
    Examples:
      ticketkit zoo list examples/zoo
          All of them.
      ticketkit zoo list examples/zoo --arch resnet32 --min-sparsity 90
          Those of a network that are at least so sparse.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.sharing.zoo import Format, entry_json
    from ticketkit.sharing.zoo_files import read_zoo

    placed = read_zoo(zoo)
    found = placed.zoo.select(_wanted(wanted))
    if as_json:
        tickets = [entry_json(entry) | {"reference": _reference(placed, entry)} for entry in found]
        echo_json({"format": {"name": Format().name, "version": Format().version}, "tickets": tickets})
        return
    if found:
        echo(*_table([_row(entry) for entry in found]), "")
    echo(f"{counted(len(found), 'ticket')} of {len(placed.zoo.tickets):,} in {printable(str(placed.place))}")


@command.command("get", short_help="Get a ticket.")
@click.argument("zoo")
@click.argument("name", required=False)
@_filters
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The file to write, or a folder for it.  [default: NAME.st]"
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@_JSON
def get_command(zoo: str, name: str | None, *, out: Path | None, force: bool, as_json: bool, **wanted: Any) -> None:
    """Get a ticket of a zoo, by its name or as the only one that is wanted.

    The beginning of a name is enough if no other begins so. The ticket must have the id that the index says, be sound,
    and be what the index says of it.

    \b
    Examples:
      ticketkit zoo get examples/zoo resnet20-digits -o ticket.st
          By its name.
      ticketkit zoo get examples/zoo --arch resnet32 --dataset digits
          The only one of this network that was found on these data.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.sharing.zoo import entry_json
    from ticketkit.sharing.zoo_files import get_ticket, read_zoo

    given = {key for key, value in wanted.items() if value is not None}
    if (name is None) == (not given):
        raise click.UsageError("a NAME or options that say which ticket is wanted must be given, and not both")
    placed = read_zoo(zoo)
    entry = placed.entry(name) if name is not None else _only(placed, _wanted(wanted))
    path = Path(f"{entry.name}.st") if out is None else out / f"{entry.name}.st" if out.is_dir() else out
    reference = placed.reference(entry)
    with download_bar(entry.name, shown=reference.is_remote) as on_progress:
        get_ticket(placed, entry, path, overwrite=force, on_progress=on_progress)
    if as_json:
        version = {"name": "ticketkit-zoo-get", "version": "1.0"}
        echo_json({"format": version, "path": click.format_filename(path), "ticket": entry_json(entry)})
        return
    pairs = [("ticket", f"{entry.name}: {entry.architecture}, {percent(entry.sparsity)} sparse"), ("id", entry.id)]
    echo(*fields([*pairs, ("from", str(reference)), ("wrote", click.format_filename(path))]))


@command.command("add", short_help="Add tickets to an index.")
@click.argument("index", type=click.Path(path_type=Path))
@TICKET_FILES
@click.option("--url", help="Where the ticket is, https:// or hf://, for one.  [default: its path from the index]")
@click.option("--name", help="What the ticket is called, for one.  [default: its file's name]")
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A report of ticketkit verify about the ticket, for one; it must lie in the index's folder, too.",
)
@LICENCE_OPTION
@_JSON
def add_command(
    index: Path,
    tickets: tuple[Path, ...],
    *,
    url: str | None,
    name: str | None,
    report_file: Path | None,
    licence: str | None,
    as_json: bool,
) -> None:
    """Add tickets to an index, each in place of one of its name. The index is made if there is none.

    \b
    Examples:
      ticketkit zoo add zoo/zoo.json zoo/resnet20.st --license mit
          Add a ticket that lies beside the index.
      ticketkit zoo add zoo/zoo.json a.st --url https://example.org/a.st
          Add a ticket that others find elsewhere.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.sharing.card import load_report
    from ticketkit.sharing.zoo import INDEX_NAME, Zoo
    from ticketkit.sharing.zoo_files import describe, read_zoo, relative_url, write_zoo

    if len(tickets) > 1 and (url, name, report_file) != (None, None, None):
        raise click.UsageError("--url, --name and --report are of one ticket: they do not go with several")
    path = index / INDEX_NAME if index.is_dir() else index
    zoo = read_zoo(path).zoo if path.exists() else Zoo()
    entries = [
        describe(
            ticket,
            url=url or relative_url(ticket, path.parent),
            name=name,
            report=None if report_file is None else load_report(report_file),
            report_url=None if report_file is None else relative_url(report_file, path.parent),
            licence=licence,
        )
        for ticket in tickets
    ]
    made = zoo.with_entries(entries)
    write_zoo(made, path)
    _say(made.to_text(), path, entries, as_json=as_json)


@command.command("build", short_help="Make the index of a folder.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@LICENCE_OPTION
@_JSON
def build_command(folder: Path, *, licence: str | None, as_json: bool) -> None:
    """Make the index of a folder: of every ticket in it and below, with the report NAME.verify.json beside it.

    An index that is there is replaced.

    \b
    Examples:
      ticketkit zoo build examples/zoo --license mit
          Write examples/zoo/zoo.json.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.sharing.zoo import INDEX_NAME
    from ticketkit.sharing.zoo_files import build_zoo, write_zoo

    made = build_zoo(folder, licence=licence)
    write_zoo(made, folder / INDEX_NAME)
    _say(made.to_text(), folder / INDEX_NAME, made.tickets, as_json=as_json)


def _wanted(given: dict[str, Any]) -> Wanted:
    """What is wanted, by the options: percentages there, fractions here."""
    from ticketkit.sharing.zoo import Wanted

    percentages = ("min_sparsity", "max_sparsity", "min_accuracy")
    return Wanted(
        arch=given["arch"],
        dataset=given["dataset"],
        **{key: None if given[key] is None else given[key] / 100 for key in percentages},
    )


def _only(placed: PlacedZoo, wanted: Wanted) -> Entry:
    from ticketkit.sharing.errors import ZooError

    found = placed.zoo.select(wanted)
    if not found:
        raise ZooError(f"no ticket of the zoo is what is wanted; see ticketkit zoo list: {placed.place}")
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found[:20])
        raise ZooError(f"one ticket must be wanted (got {len(found):,}: {names}): {placed.place}")
    return found[0]


def _reference(placed: PlacedZoo, entry: Entry) -> str:
    reference = placed.reference(entry)
    return f"{reference}#{entry.id.replace(':', '=')}"


def _row(entry: Entry) -> tuple[str, ...]:
    from ticketkit.report.grouping import short_name

    return (
        entry.name,
        shortened(printable(short_name(entry.architecture)), _LONGEST_NETWORK),
        shortened(printable(entry.dataset or ""), _LONGEST_DATA),
        percent(entry.sparsity),
        "" if entry.accuracy is None else percent(entry.accuracy),
        f"{entry.bytes:,}",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The table of a list. Names are there to be typed, so all else gives way to them: networks, then the bytes."""
    lines = text_table(_COLUMNS, rows, left=_LEFT)
    too_wide = max(map(len, lines[1:])) - MAX_WIDTH
    if too_wide <= 0:
        return lines
    longest = max(max(len(network) for _, network, *_ in rows) - too_wide, _SHORTEST_NETWORK)
    rows = [(name, shortened(network, longest), *rest) for name, network, *rest in rows]
    lines = text_table(_COLUMNS, rows, left=_LEFT)
    if max(map(len, lines[1:])) <= MAX_WIDTH:
        return lines
    return text_table(_COLUMNS[:-1], [row[:-1] for row in rows], left=_LEFT)


def _say(text: str, path: Path, entries: Sequence[Entry], *, as_json: bool) -> None:
    if as_json:
        echo_json(json.loads(text))
        return
    lines = [("added", f"{entry.name}: {entry.architecture}, {percent(entry.sparsity)} sparse") for entry in entries]
    echo(*fields([*lines, ("wrote", click.format_filename(path))]))
