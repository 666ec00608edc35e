"""The ``ticketkit`` command: finds its sub-commands, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import sys
import warnings
from types import FrameType

import click

from ticketkit._version import __version__
from ticketkit.cli import commands
from ticketkit.cli.output import MAX_WIDTH
from ticketkit.cli.ranks import end_ranks, is_silent, refuse_ranks
from ticketkit.cli.resuming import Stopped
from ticketkit.errors import TicketkitError, one_line

EXIT_ERROR = 1
EXIT_STOPPED = 130

SECTIONS: dict[str, tuple[str, ...]] = {
    "Find and train": ("find", "verify", "connect", "reproduce", "sweep"),
    "Transform": ("stretch", "squeeze", "show-plan"),
    "Look": ("inspect", "diff", "check", "report", "data"),
    "Share": ("card", "push", "zoo", "sign", "keygen"),
    "Other tools": ("import", "export", "completion"),
}
"""The commands by what they are for, as the group's help lists them; one that is named nowhere is listed last."""


class CommandFolder(click.Group):
    """A group whose commands are the modules of ``ticketkit.cli.commands``, imported only when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the modules, as commands spell them."""
        return sorted(_modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's module."""
        if (name := _modules().get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"{commands.__name__}.{name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, and suggest one where there is none of its name."""
        name = args[0]
        if name.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(name[:80], self.list_commands(ctx), n=1)
        suggestion = f" Did you mean {near[0]!r}?" if near else ""
        raise click.UsageError(f"No such command {one_line(repr(name), 80)}.{suggestion}", ctx=ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        named = {name for names in SECTIONS.values() for name in names}
        sections = {**SECTIONS, "Others": tuple(name for name in found if name not in named)}
        width = max(map(len, found))
        limit = formatter.width - 6 - width
        for title, names in sections.items():
            rows = [
                (f"{name:<{width}}", command.get_short_help_str(limit))
                for name in names
                if (command := found.get(name)) is not None and not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _modules() -> dict[str, str]:
    """The modules by their commands' names; one named after a keyword has a ``_`` behind it, ``import_``."""
    names = (module.name for module in pkgutil.iter_modules(commands.__path__))
    return {name.rstrip("_").replace("_", "-"): name for name in names}


@click.group(
    cls=CommandFolder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MAX_WIDTH}
)
@click.version_option(__version__, "--version", prog_name="ticketkit", message="%(prog)s %(version)s")
@click.option("-q", "--quiet", is_flag=True, help="Show neither progress nor hints, only results, warnings and errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def application(ctx: click.Context, quiet: bool, debug: bool) -> None:
    """Find a winning ticket once, keep it as one file, stretch it to other depths, verify the result.

    A ticket is a network's mask and the weights to start it from. Where a command reads a ticket, it takes a path, an
    https:// address or hf://user/repo/file.st. Results go to standard output, all else to standard error. Every command
    has a page of help: ticketkit find --help.

    Exit codes: 0 done, 1 an error, which is one line on standard error, 2 wrong usage, 3 a verification that did not
    hold or a ticket that did not come out again, 130 stopped.

    \b
    Examples:
      ticketkit find --arch resnet20
          IMP with rewinding on small pictures of digits: resnet20.st.
      ticketkit stretch resnet20.st --to resnet56
          No training: resnet20-to-resnet56.st.
      ticketkit inspect resnet20.st
          What is in the file.
      ticketkit verify resnet20-to-resnet56.st
          Train it beside its baselines.
    """  # noqa: D301 - click wants the backspace itself
    refuse_ranks(ctx.invoked_subcommand or "")


def main() -> None:
    """Run the command line and exit.

    The codes: 0 done, 1 an error, 2 wrong usage, 3 a verification that did not hold or a ticket that did not come out
    again, 130 stopped.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    warnings.showwarning = _say_warning
    try:
        application(standalone_mode=False)
        end_ranks()
    except click.exceptions.Exit as exit_request:
        sys.exit(exit_request.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        how = f"; {stop}" if isinstance(stop, Stopped) else ""
        if not is_silent():
            click.echo(f"ticketkit: stopped; nothing half-written is left behind{how}", err=True)
        sys.exit(EXIT_STOPPED)
    except TicketkitError as error:
        if "--debug" in sys.argv:
            raise
        click.echo(f"ticketkit: {' '.join(str(error).split())}", err=True)
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone (``| head``): nothing to say, nobody to say it to
        sys.exit(EXIT_ERROR)
    except OSError as error:  # a full disk, a folder that has vanished: whatever no command has a better word for
        if "--debug" in sys.argv:
            raise
        where = "" if error.filename is None else f": {os.fsdecode(error.filename)}"
        line = f"ticketkit: files must stay readable and writable ({error.strerror or error}){where}"
        click.echo(" ".join(line.split()), err=True)
        sys.exit(EXIT_ERROR)
    except (MemoryError, RuntimeError) as error:  # torch says so by a RuntimeError
        if "--debug" in sys.argv or not (isinstance(error, MemoryError) or "memory" in str(error)):
            raise
        reason = one_line(str(error).partition("\n")[0], 200) or "there is no more"
        click.echo(f"ticketkit: network and data must fit the memory ({reason})", err=True)
        sys.exit(EXIT_ERROR)


def _say_warning(message: Warning | str, *_: object, **_named: object) -> None:
    """Say a warning as everything else is said, in a line, and not where in the code it came up."""
    click.echo(f"ticketkit: {one_line(str(message))}", err=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
