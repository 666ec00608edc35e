"""``ticketkit push``: a ticket with its card to the Hugging Face Hub.

With ``--json`` it prints one document of stable keys: ``format`` (``name`` ``ticketkit-push``, ``version`` ``1.0``),
``ticket`` (``path``, ``id``), ``repo``, ``files`` (each with ``name`` in the repository and ``bytes``), ``card`` (its
text), ``reference`` (where the ticket is then) and ``commit`` (its URL; null for ``--dry-run``).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from ticketkit.cli.commands.card import LICENCE_OPTION, REPORT_OPTION
from ticketkit.cli.output import echo, echo_json, fields, is_quiet
from ticketkit.cli.references import TICKET, TicketArgument


@click.command("push", short_help="Upload a ticket with its card.")
@click.argument("ticket", type=TICKET)
@click.argument("repo", metavar="hf://USER/REPO")
@LICENCE_OPTION
@REPORT_OPTION
@click.option("--name", metavar="FILE", help="The ticket's name in the repository.  [default: its file's]")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made now.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    ticket: TicketArgument,
    *,
    repo: str,
    licence: str | None,
    report_files: tuple[Path, ...],
    name: str | None,
    private: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Upload a ticket to the Hugging Face Hub, with its card and the reports that are given.

    The ticket is read whole and checked first. The repository is made if there is none. The card becomes its README.md;
    where it has one, the card gets the ticket's name. Needs the extra hub and a token: hf auth login, or HF_TOKEN.

    \b
    Examples:
      ticketkit push resnet20.st hf://user/tickets --license mit --dry-run
          Show the card and what would be sent.
      ticketkit push resnet20.st hf://user/tickets --report a.verify.json
          Send the ticket, its card and its results.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.errors import TicketkitError
    from ticketkit.sharing.card import load_report
    from ticketkit.sharing.push import README, prepare_push, push
    from ticketkit.sharing.references import parse_hub_file, parse_hub_repo

    try:
        to = parse_hub_repo(repo)
        called = parse_hub_file(f"hf://{to}/{name or ticket.name}").path
    except TicketkitError as error:
        raise click.BadParameter(str(error)) from None
    what = prepare_push(
        ticket.file(), to, name=called, licence=licence, reports=[(path, load_report(path)) for path in report_files]
    )
    if is_quiet():
        with suppress(ImportError):  # without the package, push says so
            from huggingface_hub.utils.tqdm import disable_progress_bars

            disable_progress_bars()
    commit = None if dry_run else push(what, private=private or None)
    sizes = [(what.name, what.ticket.stat().st_size), (README, len(what.card.encode()))]
    sizes += [(file, path.stat().st_size) for file, path in zip(what.report_names(), what.reports, strict=True)]
    if as_json:
        echo_json(
            {
                "format": {"name": "ticketkit-push", "version": "1.0"},
                "ticket": {"path": str(ticket), "id": what.id},
                "repo": to,
                "files": [{"name": file, "bytes": size} for file, size in sizes],
                "card": what.card,
                "reference": what.reference,
                "commit": commit,
            }
        )
        return
    pairs = [("ticket", str(ticket)), ("id", what.id), ("to", f"hf://{to}")]
    for label, (file, size) in zip(["would go" if dry_run else "sent", *[""] * len(sizes)], sizes, strict=False):
        other = f", or {what.card_name} where there is one" if file == README else ""
        pairs.append((label, f"{file}{other} ({size:,} bytes)"))
    if commit is not None:
        pairs += [("commit", commit), ("is now", what.reference)]
    echo(*fields(pairs))
    if dry_run:
        echo("", what.card.rstrip("\n"))
