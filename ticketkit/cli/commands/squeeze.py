"""``ticketkit squeeze``: the stretch command under the name for going shallower."""

from ticketkit.cli.commands.stretch import make_command

command = make_command(
    "squeeze",
    "The same, going shallower.",
    "Turn a ticket into a shallower one of its family (the same command as stretch)",
    "ticketkit squeeze resnet56.st --to resnet20 --order alternate",
)
