"""The documentation site, made by Sphinx of the Markdown pages and the docstrings.

From the root of the repository: ``sphinx-build -n -W --keep-going -c docs . docs/_build/html``. The repository itself
is the source folder, so that a relative link from one Markdown file to another is what it is on a forge, a link to a
file that exists. A broken one is a warning, and the option ``-W`` makes warnings errors.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx_click.ext import ClickDirective

from ticketkit import __version__
from ticketkit.cli.app import application

project = "ticketkit"
author = "the authors of ticketkit"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "docs/**.rst",
    "formats/*.md",
    "examples/**README.md",
    "benchmarks/README.md",
    "tests/fuzz/README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
]
exclude_patterns = [".*", "build", "dist", "data", "runs", "docs/_build", "docs/_templates"]

# Headings have the anchors that forges give them.
myst_heading_anchors = 4
# "--to" in a sentence stays "--to".
smartquotes = False
# Outputs that leave lines out, with "...", are no sound JSON or Python; they are shown without colours.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_attr_annotations = False

# Nothing is fetched to build the site, other projects' inventories neither, so their names are no links.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|datetime|msgspec|numpy|os|pathlib|torch|typing)\..*"),
    (r"py:class", r"Path|Ed25519PrivateKey|MapDataset"),  # imported for type checkers alone
    # What a signature mentions and nobody makes or takes apart by hand.
    (r"py:class", r"ticketkit\.(\w+\.)+(Checkpoint|Decoder|EpochPlan|Format|Part|Survey|T|_Counters)"),
]

html_theme = "furo"
html_title = f"ticketkit {version}"
html_show_copyright = False
templates_path = ["_templates"]
# People enter the site at its root, while its first page is docs/index.
html_additional_pages = {"index": "enter.html"}

man_pages = [
    (f"docs/commands/{name}", f"ticketkit-{name}", command.get_short_help_str(100).rstrip("."), [], 1)
    for name in application.list_commands(click.Context(application))
    if (command := application.get_command(click.Context(application), name)) is not None
]


class Options(ClickDirective):
    """All options of a command, without the heading that sphinx-click gives them: the page has one."""

    def run(self) -> list[nodes.Node]:
        """Take what is in sphinx-click's section."""
        (section,) = super().run()
        return section.children[1:]


def add_options(_app: Sphinx, docname: str, source: list[str]) -> None:
    """End the page of a command with its options, so that the file itself needs nothing that forges do not know."""
    folder, _, name = docname.rpartition("/")
    if folder == "docs/commands":
        module = name.replace("-", "_") + "_" * keyword.iskeyword(name)
        source[0] += (
            "\n\n## Options\n\n```{eval-rst}\n"
            f".. options:: ticketkit.cli.commands.{module}:command\n   :prog: ticketkit {name}\n   :nested: full\n```\n"
        )


def read_as_text(_app: Sphinx, _context: click.Context, lines: list[str]) -> None:
    """Keep what people type in a terminal from being read as reStructuredText: ``*.st``, ``'0:0|1:1'``.

    Lines that the help keeps as they are, which sphinx-click begins with a bar, are commands.
    """
    shown: list[str] = []
    for line, before in zip(lines, ["", *lines], strict=False):
        if line.startswith("| "):
            shown += [] if before.startswith("| ") else ["", ".. code-block:: shell", ""]
            shown.append(f"   {line[2:]}")
        elif line.lstrip().startswith((".. ", ":")):  # sphinx-click's own
            shown.append(line)
        else:
            shown.append(re.sub(r"([\\*`|_])", r"\\\1", line).replace(r"\*\*Required\*\*", "**Required.**"))
    lines[:] = shown


def add_epilog(_app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Show what a command says below its options: lists of what is registered, made when they are asked for."""
    formatter = click.HelpFormatter(width=100)
    context.command.format_epilog(context, formatter)
    if text := formatter.getvalue().strip("\n"):
        lines[:] = [".. code-block:: text", "", *(f"   {line}" for line in text.splitlines()), ""]


def tidy_signature(
    _app: Sphinx, _kind: str, _name: str, _value: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write defaults that are objects as ``...``, and types as the code has them, without limits and dimensions."""
    return signature and _tidied(signature), returns and _tidied(returns)


def _tidied(text: str) -> str:
    text = re.sub(r"<factory>|<function (?:[^<>]|<[^<>]*>)*>|<object object at \w+>", "...", text)
    text = re.sub(r"~?typing\.Annotated\[(~?[\w.]+), ~?msgspec\.Meta\([^)]*\)\]", r"\1", text)
    return re.sub(r"~?numpy\.ndarray\[tuple\[[^]]*\], ~?numpy\.dtype(\[[^]]*\])\]", r"~numpy.typing.NDArray\1", text)


class LinksIntoTheRepository(SphinxTransform):
    """Makes links to what is no page work: a folder's is one to its README, a file's gives the file.

    A folder without a README has nothing to be shown on a site: the link becomes plain text.
    """

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Change what MyST has made of the links of a page."""
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] != "myst":
                continue
            if link["refdomain"] == "doc":
                path = Path(self.env.srcdir, f"{link['reftarget']}.md")
            else:
                path = Path(self.env.relfn2path(link["reftarget"])[1])
            if path.is_dir():
                page = self.env.path2doc(str(path / "README.md"))
                if page in self.env.found_docs:
                    link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", page, None
                else:
                    link.replace_self(link.children)
            elif path.is_file() and self.env.path2doc(str(path)) not in self.env.found_docs:
                target = f"/{path.relative_to(self.env.srcdir).as_posix()}"
                download = addnodes.download_reference("", "", *link.children, reftarget=target, refdoc=link["refdoc"])
                link.replace_self(download)


def unlink_manual_pages(app: Sphinx, page: nodes.document, _docname: str) -> None:
    """Leave the text alone of what is a link between pages elsewhere: manual pages have no such links."""
    if app.builder.name == "man":
        for link in list(page.findall(nodes.reference)):
            if link.get("internal"):
                link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Connect all of this."""
    app.add_directive("options", Options)
    app.add_transform(LinksIntoTheRepository)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("source-read", add_options)
    app.connect("doctree-resolved", unlink_manual_pages)
    for part in ("description", "options"):
        app.connect(f"sphinx-click-process-{part}", read_as_text)
    app.connect("sphinx-click-process-epilog", add_epilog)
