"""``ticketkit squeeze``: the stretch command under the name for going shallower."""

import click

from ticketkit.cli.commands.stretch import make_command

command: click.Command = make_command(
    "squeeze",
    "The same, going shallower.",
    "Turn a ticket into a shallower one of its family (the same command as stretch)",
    "  ticketkit squeeze resnet56.st --to resnet20\n"
    "      Write resnet56-to-resnet20.st; the early units stay.\n"
    "  ticketkit squeeze resnet56.st --to resnet50 --drop 3\n"
    "      Leave unit 3 out of every stage.",
)
