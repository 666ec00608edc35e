"""Runs a page: its blocks in order, in one folder, with the ``ticketkit`` of this environment."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import outputs
from pages import ROOT, Block, Setup, read_page
from parsed import parse_shell
from server import Server

_HERE = Path(__file__).parent


class BlockError(Exception):
    """A block did not do what its page says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command of a console block, and what the page shows of it.

    Attributes:
        command: The command, all its lines.
        shown: The lines below it, up to the next command.
        first: The index of the first shown line in the block.
    """

    command: str
    shown: list[str]
    first: int


def sessions(text: str) -> list[Session]:
    """The commands of a console block: ``$ command``, continued where a line ends in a backslash.

    Raises:
        ValueError: It does not begin with a command.
    """
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        message = "a console block must begin with '$ ' and a command"
        raise ValueError(message)
    found = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        first = start + 1
        while first < end and lines[first - 1].endswith("\\"):
            first += 1
        command = "\n".join(lines[start:first]).removeprefix("$ ")
        found.append(Session(command=command, shown=lines[first:end], first=first))
    return found


@dataclass(kw_only=True)
class Runner:
    """Runs blocks in a folder of their own.

    Attributes:
        name: The page's path, for messages.
        folder: An empty folder for the page.
        server: What runs ``ticketkit``.
        small: Whether blocks get the options that their comments add; without, outputs are the page's own.
        printed: For each console session that was run, its block, itself, and its lines.
    """

    name: str
    folder: Path
    server: Server
    small: bool = True
    printed: list[tuple[Block, Session, list[str]]] = field(default_factory=list)
    _python: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Make the page's folder, and beside it a home, a cache and the commands."""
        self._work = self.folder / "page"
        commands = self.folder / "bin"
        for folder in (self._work, commands, self.folder / "home"):
            folder.mkdir()
        python = shlex.quote(sys.executable)
        for name, words in {"ticketkit": shlex.join(self.server.words), "python": python}.items():
            script = commands / name
            script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            script.chmod(0o755)
        (commands / "python3").symlink_to("python")
        self._environment = os.environ | {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "ROOT": str(ROOT),
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),  # matplotlib's fonts
            "TICKETKIT_CACHE": str(self.folder / "cache"),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
        }
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the page's Python go."""
        if self._python is not None:
            self._python.communicate()

    def run(self, text: str) -> None:
        """Run a page's blocks.

        Raises:
            BlockError: One did not do what the page says; the message names its line.
        """
        for item in read_page(text):
            try:
                if isinstance(item, Setup):
                    if self.small or not item.small:
                        self._bash(item.text, {}, 0)
                else:
                    self._run_block(item)
            except (BlockError, ValueError, OSError, SyntaxError, click.ClickException) as error:
                said = error.format_message() if isinstance(error, click.ClickException) else str(error)
                message = f"{self.name}:{item.line}: {said}"
                raise BlockError(message) from error

    def _run_block(self, block: Block) -> None:
        match block.language:
            case "sh" | "bash" if block.parsed:
                parse_shell(block.text)
            case "sh" | "bash":
                self._bash(block.text, block.extra, block.exits)
            case "console" if block.parsed:
                for session in sessions(block.text):
                    parse_shell(session.command)
            case "console":
                self._run_sessions(block)
            case "python" if block.parsed:
                compile(block.text, self.name, "exec")
            case "python":
                self._run_python(block)
            case "json":
                json.loads(block.text)
            case "toml":
                load_toml(block.text, self._work)

    def _bash(self, script: str, extra: dict[str, list[str]], exits: int | None) -> subprocess.CompletedProcess[str]:
        """Run a script; ``exits`` is the code it must end with, None any."""
        options = {"BLOCK_OPTIONS": json.dumps(extra if self.small else {})}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._work,
            env=self._environment | options,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if exits is not None and done.returncode != exits:
            message = f"the exit code must be {exits} (got {done.returncode})\n{script}\n{done.stdout}{done.stderr}"
            raise BlockError(message)
        return done

    def _run_sessions(self, block: Block) -> None:
        code = 0
        for session in (found := sessions(block.text)):
            if session.command == "echo $?":
                outputs.match(session.shown, [str(code)])
                continue
            asked = any(later.command == "echo $?" for later in found)
            done = self._bash(session.command, block.extra, None if asked else block.exits)
            code = done.returncode
            said = [line for line in done.stderr.splitlines() if line.startswith(("ticketkit: ", "Usage", "Error"))]
            printed = done.stdout.splitlines() + said
            self.printed.append((block, session, printed))
            if not any(line.strip() for line in session.shown) or not self.small:
                continue
            try:
                if block.extra:
                    outputs.look_alike(session.shown, printed)
                else:
                    outputs.match(session.shown, printed, digits=block.digits)
            except ValueError as error:
                message = f"{session.command}\n{error}"
                raise BlockError(message) from None

    def _run_python(self, block: Block) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, _HERE / "interpreter.py"],
                cwd=self._work,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        for promised, printed in self._ask({"source": block.text, "file": self.name, "line": block.line}):
            outputs.match([promised], printed.splitlines(), digits=block.digits)

    def _ask(self, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Hand a block to the page's Python."""
        if self._python is None or self._python.stdin is None or self._python.stdout is None:
            message = "the page's Python must run"
            raise BlockError(message)
        self._python.stdin.write(json.dumps(request) + "\n")
        self._python.stdin.flush()
        answer = json.loads(self._python.stdout.readline() or '{"error": "Python ended"}')
        if "error" in answer:
            raise BlockError(answer["error"])
        yield from answer["promises"]


def load_toml(text: str, folder: Path) -> None:
    """Parse TOML, and load it as the study or recipe that it is; a fragment of one is only parsed."""
    from ticketkit.recipe import load_recipe
    from ticketkit.sweep import load_study

    values = tomllib.loads(text)
    path = folder / "block.toml"
    path.write_text(text)
    if {"sources", "targets"} <= values.keys():
        load_study(path)
    elif {"name", "epochs"} <= values.keys() or "base" in values:
        load_recipe(path)
    path.unlink()
