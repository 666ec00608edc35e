"""What the documents of the repository promise."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

import ticketkit
from ticketkit.cli.app import application

ROOT = Path(__file__).parents[2]


def blocks(path: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / path).read_text(encoding="utf-8"), flags=re.M | re.S)


def test_the_top_version_of_the_changelog_is_the_packages():
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert versions[0] == ticketkit.__version__


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {ticketkit.__version__}\n" in citation
    released = re.search(r"^## \[.*?\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert released is not None
    assert f"\ndate-released: {released[1]}\n" in citation


def test_the_readme_begins_with_its_two_commands():
    find, test, *_ = (block.strip() for block in blocks("README.md", "sh"))
    assert find.endswith("ticketkit find --arch resnet20")
    assert test.endswith("pytest")
    assert all("\n" not in command and "venv" in command for command in (find, test))


COMMANDS = re.findall(r"^\$ (ticketkit .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)


def test_the_tour_goes_all_the_way():
    assert [command.split()[1] for command in COMMANDS] == ["find", "stretch", "inspect", "verify"]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_tour_exist_with_their_options(line: str):
    _, name, *arguments = shlex.split(line)
    command = application.get_command(click.Context(application), name)
    assert command is not None
    command.make_context(name, arguments)


def test_public_names_are_sorted_and_there():
    assert ticketkit.__all__ == sorted(ticketkit.__all__)
    assert all(getattr(ticketkit, name) is not None for name in ticketkit.__all__)
    assert set(ticketkit.__all__) == {*ticketkit._HOMES, "__version__"}


def test_the_recipes_say_where_they_come_from():
    for path in (ROOT / "ticketkit" / "recipes").glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("#")
        assert "name" not in tomllib.loads(text), "a recipe is named by its file"


def test_ci_runs_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script
    assert 'bash -c "$test_command"' in script
