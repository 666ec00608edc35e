"""The documentation site is built without a warning, which a broken link is one of, and lacks nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

import ticketkit
from ticketkit.cli.app import application

ROOT = Path(__file__).parents[2]
COMMANDS = application.list_commands(click.Context(application))


class Page(HTMLParser):
    """The places of a page, and where its links and pictures lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = {""}
        self.links: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id":
                self.places.add(value or "")
            elif (tag, name) in {("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")}:
                self.links.add(value or "")


def build(builder: str, out: Path, doctrees: Path) -> None:
    """Run Sphinx as the documentation says, and fail with what it says."""
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-n", "-W", "--keep-going", "-q", "-c", "docs"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-d", doctrees, ".", out], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def broken_links(site: Path) -> list[str]:
    """Links of the site's pages to files or places that it does not have; what is elsewhere is not fetched."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            places = pages[target].places if target in pages else {""}
            if not target.is_file() or unquote(parts.fragment) not in places:
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken


def documented_names(site: Path) -> set[str]:
    """Every name that the inventory of the site has, which other projects link to."""
    _, _, packed = (site / "objects.inv").read_bytes().partition(b"using zlib.\n")
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


def options_of(command: click.Command) -> set[str]:
    """The options of a command, or of all its sub-commands, by their first names."""
    parts = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    return {option.opts[0] for part in parts for option in part.params if isinstance(option, click.Option)}


def shown_options(page: Path) -> set[str]:
    """The options that the page of a command has."""
    return set(re.findall(r'class="sig-name descname"><span class="pre">(-[\w-]+)', page.read_text(encoding="utf-8")))


if importlib.util.find_spec("sphinx_click"):  # the extra ``docs``

    def test_the_site_is_built_without_a_warning_and_is_whole(tmp_path: Path) -> None:
        """All in one test, since building takes most of the time."""
        site = tmp_path / "html"
        build("html", site, tmp_path / "doctrees")
        assert broken_links(site) == []
        public = {f"ticketkit.{name}" for name in ticketkit.__all__ if not name.startswith("_")}
        assert public - documented_names(site) == set()
        for name in COMMANDS:
            command = application.get_command(click.Context(application), name)
            assert command is not None
            assert options_of(command) - shown_options(site / "docs" / "commands" / f"{name}.html") == set()

        build("man", tmp_path / "man", tmp_path / "doctrees")
        assert {page.stem for page in (tmp_path / "man").glob("*.1")} == {f"ticketkit-{name}" for name in COMMANDS}


def test_every_command_has_a_page() -> None:
    assert {path.stem for path in (ROOT / "docs" / "commands").glob("*.md")} == set(COMMANDS)
