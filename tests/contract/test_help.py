"""Every command's help is a page that stands by itself: examples that parse, options that are explained, 80 columns."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ticketkit.cli.app import SECTIONS, application
from ticketkit.cli.output import MAX_WIDTH


def _context() -> click.Context:
    return click.Context(application, info_name="ticketkit", **application.context_settings)


def _walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, each with the words that name it."""
    yield path, command
    if isinstance(command, click.Group):
        with _context() as context:
            below = {name: command.get_command(context, name) for name in command.list_commands(context)}
        for name, child in below.items():
            assert child is not None
            yield from _walk(child, (*path, name))


COMMANDS = dict(_walk(application))
every_command = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "ticketkit")


def _help(path: tuple[str, ...], width: int = MAX_WIDTH) -> str:
    done = CliRunner(env={"COLUMNS": str(width)}).invoke(application, [*path, "--help"], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def _examples(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a page's examples, each with the lines that explain it."""
    block = re.search(r"^  Examples:\n((?:    .*\n)+)", text, flags=re.MULTILINE)
    assert block is not None, "it must have examples"
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in block[1].splitlines():
        if goes_on:
            found[-1] = f"{found[-1][0]} {line.strip()}", []
        elif line.startswith(" " * 8):
            found[-1][1].append(line.strip())
            continue
        else:
            found.append((line.strip(), []))
        goes_on = line.endswith("\\")
        if goes_on:
            found[-1] = found[-1][0].removesuffix("\\").rstrip(), []
    return found


def _parse(line: str) -> tuple[str, ...]:
    """Read an example as the command line would, short of running it, and give the words of its command."""
    words = shlex.split(line)
    words = words[words.index("ticketkit") + 1 :]
    command: click.Command = application
    context = _context()
    path: tuple[str, ...] = ()
    while isinstance(command, click.Group):
        child = command.get_command(context, words[0])
        assert child is not None, f"{words[0]} must be a command: {line}"
        path, command, words = (*path, words[0]), child, words[1:]
    command.make_context(" ".join(path), words, parent=context)
    return path


@every_command
def test_each_example_is_a_command_that_parses_and_is_explained(path: tuple[str, ...]) -> None:
    examples = _examples(_help(path))
    assert all(why and why[-1].endswith((".", "?")) for _, why in examples), examples
    run = [_parse(line) for line, _ in examples]
    assert any(named[: len(path)] == path for named in run), "one must be of the command itself"


@pytest.mark.parametrize("line", ["ticketkit find --arc", "ticketkit find --levels few --arch resnet20"])
def test_an_example_with_a_mistake_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        _parse(line)


@every_command
def test_it_begins_with_one_sentence_and_says_more_in_few_columns(path: tuple[str, ...]) -> None:
    text = _help(path, width=200)
    assert max(map(len, text.splitlines())) <= MAX_WIDTH
    help_text = COMMANDS[path].help
    assert help_text is not None
    summary = " ".join(help_text.split("\n\n")[0].split())
    assert summary.endswith(".")
    assert len(summary) <= 160


@every_command
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            assert re.search(r"\.(  \[default: [^\]]+\])?$", parameter.help), parameter.help


def test_the_list_of_commands_says_all_of_each_in_a_line() -> None:
    lines = _help(()).splitlines()
    for (name, *rest), command in ((path, command) for path, command in COMMANDS.items() if path):
        if not rest:
            (line,) = (line for line in lines if re.match(f"  {name}  +", line))
            assert line.split(maxsplit=1) == [name, command.get_short_help_str(MAX_WIDTH)]
            assert not line.endswith("...")


def test_every_command_has_its_section() -> None:
    named = [name for names in SECTIONS.values() for name in names]
    assert len(set(named)) == len(named)
    assert {path[0] for path in COMMANDS if path} <= set(named)
    assert "Others:" not in _help(())


def test_no_command_is_asking_for_help() -> None:
    done = CliRunner().invoke(application, [])
    assert done.output == _help(())
