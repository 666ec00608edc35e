"""Reads pages: their fenced code blocks, and the invisible comments that say how a block is run.

A comment stands right before its block, one instruction each, several below one another:

``<!-- block: parsed, REASON -->``
    It cannot be run in a test, for one of ``REASONS``: its commands are parsed, its Python is compiled.
``<!-- block: with find --levels 2; verify --seeds 2 -->``
    It is run with these options behind those that the page shows, so that it takes seconds. The lines that come out
    must look like lines of the page, digits apart.
``<!-- block: digits -->``
    What it prints comes from a training: digits are not compared.
``<!-- block: exits 3 -->``
    The code it ends with, other than 0.

``<!-- setup: COMMANDS -->`` anywhere is run by bash where it stands, with the repository's root as ``$ROOT``: it
prepares what the page takes for granted, a ticket from the zoo for one. ``<!-- small: COMMANDS -->`` is the same for
the tests alone: ``renew.py``, which runs pages at full size, leaves it out.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]

REASONS = {
    "a data set": 8,
    "a GPU": 4,
    "hours": 12,
    "an installation": 8,
    "the network": 6,
    "the Hub": 10,
    "tested elsewhere": 6,
}
"""Why a block may be parsed only, and how many blocks of all pages may be so at most."""

LANGUAGES = {"sh", "bash", "console", "python", "json", "toml", "text", "abnf"}

_COMMENT = re.compile(r"<!--\s*(block|setup|small):\s*(.*?)\s*-->", re.DOTALL)
_KEPT_OUT = {"_build", "build", "dist", "node_modules", "runs", "site-packages"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Commands that prepare a page's folder; with ``small``, for a smaller run than the page's."""

    line: int
    text: str
    small: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced code block, and how it is run.

    Attributes:
        line: Of its first line of code, from 1.
        language: The fence's; empty where it has none.
        text: The code.
        parsed: Why it is only parsed; None if it is run.
        extra: Options that are added, by command.
        digits: Whether digits of the output are compared.
        exits: The code that it ends with.
    """

    line: int
    language: str
    text: str
    parsed: str | None = None
    extra: dict[str, list[str]]
    digits: bool = True
    exits: int = 0


def find_pages() -> list[str]:
    """Every Markdown page of the repository, by its path from the root."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    kept = [path for path in found if not any(part.startswith(".") or part in _KEPT_OUT for part in path.parts)]
    return sorted(str(path) for path in kept)


def read_page(text: str) -> list[Block | Setup]:
    """The blocks and set-ups of a page, in its order.

    Raises:
        ValueError: An instruction has an unknown word or no block behind it, or a block no known language.
    """
    items: list[Block | Setup] = []
    pending: list[str] = []
    for token in MarkdownIt().parse(text):
        line = (token.map or [0])[0] + 1
        if token.type == "html_block":
            for kind, said in _COMMENT.findall(token.content):
                if kind == "block":
                    pending.append(said)
                else:
                    items.append(Setup(line=line, text=said, small=kind == "small"))
        elif token.type == "fence":
            if not token.info.startswith("{"):  # a directive of the documentation's generator, which runs it
                items.append(_block(line + 1, token.info.strip(), token.content, pending))
            pending = []
        elif pending:
            message = f"line {line}: a block must follow its instruction ({pending[-1]})"
            raise ValueError(message)
    return items


def _block(line: int, language: str, text: str, instructions: list[str]) -> Block:
    """One block, with what its instructions say."""
    if language not in LANGUAGES:
        known = ", ".join(sorted(LANGUAGES))
        message = f"line {line}: a block's language must be one of {known} (got {language!r})"
        raise ValueError(message)
    parsed, extra, digits, exits = None, {}, True, 0
    for said in instructions:
        word, _, rest = said.partition(" ")
        if word == "parsed,":
            parsed = rest.strip()
            if parsed not in REASONS:
                message = f"line {line}: a reason must be one of {', '.join(REASONS)} (got {parsed!r})"
                raise ValueError(message)
        elif word == "with":
            for part in rest.split(";"):
                command, *options = shlex.split(part)
                extra[command] = options
        elif word == "digits" and not rest:
            digits = False
        elif word == "exits":
            exits = int(rest)
        else:
            message = f"line {line}: an instruction must be parsed, with, digits or exits (got {said!r})"
            raise ValueError(message)
    return Block(line=line, language=language, text=text, parsed=parsed, extra=extra, digits=digits, exits=exits)
