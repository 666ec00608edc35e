"""``ticketkit card``: a ticket's card, as Markdown with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

from pathlib import Path

import click

from ticketkit.cli.output import echo
from ticketkit.cli.references import TICKET, TicketArgument

LICENCE_OPTION = click.option(
    "--license",
    "licence",
    metavar="NAME",
    help="The ticket's licence, as the Hub names it: mit, apache-2.0, cc-by-4.0.  [default: none is said]",
)
REPORT_OPTION = click.option(
    "--report",
    "report_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A report of ticketkit verify about the ticket, for the card's results; may be repeated.",
)


@click.command("card", short_help="Print a ticket's card.")
@click.argument("ticket", type=TICKET)
@LICENCE_OPTION
@REPORT_OPTION
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the card here.")
@click.option("--force", is_flag=True, help="Replace that file if it exists.")
def command(
    ticket: TicketArgument, *, licence: str | None, report_files: tuple[Path, ...], out: Path | None, force: bool
) -> None:
    """Print a ticket's card in Markdown: what it is, how good, how it was made, and how to make it again.

    Its front matter is what the Hugging Face Hub reads. Of a ticket elsewhere the header alone is read. The card goes
    to standard output, or to --out.

    \b
    Examples:
      ticketkit card resnet20.st
          Print it.
      ticketkit card resnet20.st --license mit --report a.verify.json -o README.md
          With a licence and the results of a verification.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.atomic import write_text
    from ticketkit.bundle import load_ticket, read_header
    from ticketkit.errors import TicketkitError
    from ticketkit.report.sparsity import SparsityReport
    from ticketkit.sharing.card import Card, load_report

    if ticket.is_remote:
        described = SparsityReport.of_header(ticket.header())
    else:
        header = read_header(ticket.file())
        described = SparsityReport.of(load_ticket(ticket.file(), mapped=True), header)
    text = Card(
        ticket=described,
        file_name=ticket.name,
        reference=str(ticket) if ticket.is_remote else "",
        licence=licence,
        verified=tuple(map(load_report, report_files)),
    ).to_markdown()
    if out is None:
        echo(text.rstrip("\n"))
        return
    try:
        write_text(out, text, overwrite=force)
    except FileExistsError:
        raise TicketkitError(
            f"a card must not be overwritten without --force (a file is there already): {out}"
        ) from None
    echo(f"wrote    {click.format_filename(out)}")
