"""``ticketkit completion``: what makes a shell complete commands, options and values."""

from __future__ import annotations

import click

PROGRAM = "ticketkit"
VARIABLE = "_TICKETKIT_COMPLETE"
"""What click reads when the shell asks it to complete; it follows from the program's name."""


@click.command("completion", short_help="Print a shell's completion script.")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options and values.

    Values are networks, recipes, data sets, arms, orders, formats of other tools, and tickets' files. The script asks
    ticketkit itself, so it stays right when ticketkit changes. Nothing is read and nothing is written.

    \b
    Put this line in:
      ~/.bashrc   eval "$(ticketkit completion bash)"
      ~/.zshrc    eval "$(ticketkit completion zsh)"       after compinit
      once        ticketkit completion fish > \\
                    ~/.config/fish/completions/ticketkit.fish

    \b
    Examples:
      ticketkit completion bash
          Print bash's script; bash must be 4.4 or newer.
    """  # noqa: D301 - click wants the backspace itself
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    completes = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    click.echo(completes(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
