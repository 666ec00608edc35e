"""Parses a block's ``ticketkit`` commands by click, without running them: command, options and choices must exist."""

from __future__ import annotations

import re
import shlex

import click
from pages import ROOT

from ticketkit.cli.app import application

_SEPARATORS = {"&&", "||", "|", ";", "&", "(", ")", "<", ">", ">>", "2>"}
_SCRIPT = re.compile(r"(?:examples|benchmarks|tests)/[\w/.-]+\.(?:py|sh|ipynb)")


def simple_commands(text: str) -> list[list[str]]:
    """The words of each simple command of a shell script; what is redirected is left out."""
    commands: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word in _SEPARATORS:
                commands.append(words)
                words = []
            else:
                words.append(word)
        commands.append(words)
    return [words for words in commands if words]


def parse_shell(text: str) -> int:
    """Parse every ``ticketkit`` command of a script, and look for the repository's scripts that it names.

    Returns:
        How many ``ticketkit`` commands there are.

    Raises:
        click.ClickException: No such command, option or choice, or an argument too many or too few.
        FileNotFoundError: No such script.
    """
    for path in _SCRIPT.findall(text):
        if not (ROOT / path).exists():
            raise FileNotFoundError(path)
    arguments = [found for words in simple_commands(text) if (found := _arguments(words)) is not None]
    for words in arguments:
        _parse(application, "ticketkit", words, None)
    return len(arguments)


def _arguments(words: list[str]) -> list[str] | None:
    """What follows ``ticketkit`` or ``-m ticketkit``; None where a command is none of ours."""
    for number, word in enumerate(words):
        if word.rpartition("/")[2] == "ticketkit" and (number == 0 or words[number - 1] == "-m" or "=" in words[0]):
            return words[number + 1 :]
    return None


def _parse(command: click.Command, name: str, words: list[str], parent: click.Context | None) -> None:
    """Parse words as a command's: types that would look at files are left alone, and nothing is called back."""
    context = click.Context(command, parent=parent, info_name=name)
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    if any(values.get(flag) for flag in ("help", "version")):
        return
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if value in (None, ()) and parameter.required:
            raise click.MissingParameter(ctx=context, param=parameter)
        if value is not None and isinstance(parameter.type, (click.Choice, click.types.IntParamType, click.FloatRange)):
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(one, str) and "$" not in one:
                    parameter.type.convert(one, parameter, context)
    if isinstance(command, click.Group):
        if not rest:
            message = "a command is missing"
            raise click.UsageError(message, context)
        name, found, words = command.resolve_command(context, rest)
        _parse(found, name or "", words, context)
    elif rest:
        message = f"an argument too many: {rest}"
        raise click.UsageError(message, context)
