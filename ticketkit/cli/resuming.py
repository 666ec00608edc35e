"""What the commands that can be stopped and gone on with have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ticketkit.cli.output import echo, is_quiet

GO_ON: Final = "go on with --resume"

CHECKPOINT_OPTION = click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Least seconds between two checkpoints inside a level of IMP: what a killed run may lose; 0: every epoch.",
)


def say_once() -> Callable[[str], None]:
    """What says a line on standard error, however often it is called with it; nothing where quiet was asked for."""
    said: set[str] = set()
    quiet = is_quiet()  # asked here, since other threads, which have no context, may say something

    def say(line: str) -> None:
        if not quiet and line not in said:
            said.add(line)
            echo(line, err=True)

    return say


class Stopped(click.Abort):
    """An interrupt of something that can be gone on with; says how."""


class ResumableCommand(click.Command):
    """A command with ``--resume``: where it is interrupted, it says that it can be gone on with."""

    def can_go_on(self, params: Mapping[str, Any]) -> bool:
        """Whether it keeps what it has done, by its parameters."""
        return "run_dir" not in params or params["run_dir"] is not None

    def invoke(self, ctx: click.Context) -> Any:
        """Run it.

        Raises:
            Stopped: Instead of an interrupt.
        """
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            if not self.can_go_on(ctx.params):
                raise
            raise Stopped(GO_ON) from None
