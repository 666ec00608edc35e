"""Puts what the commands print now in the place of what pages show of it: ``python tests/blocks/renew.py README.md``.

Each block is run as the page shows it, without the smaller settings of the tests, so this takes as long as the page
does. Lines that a page leaves out (``...``) stay left out. Where other lines come than the page shows, not only other
digits, the page is left as it is and the difference is printed.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import tempfile
from pathlib import Path

import outputs
from pages import ROOT
from running import Runner
from server import Server


def renew(page: str) -> bool:
    """Renew one page. Returns whether all of its blocks could be."""
    path = ROOT / page
    lines = path.read_text(encoding="utf-8").splitlines()
    before = list(lines)
    whole = True
    with (
        Server() as server,
        tempfile.TemporaryDirectory() as folder,
        Runner(name=page, folder=Path(folder), server=server, small=False) as runner,
    ):
        runner.run(path.read_text(encoding="utf-8"))
    for block, session, printed in runner.printed:
        if not any(line.strip() for line in session.shown):
            continue
        try:
            places = _places(session.shown, printed)
        except ValueError as error:
            sys.stdout.write(f"{page}:{block.line}: {session.command}\n{error}\n\n")
            whole = False
            continue
        for shown, place in places.items():
            lines[block.line - 1 + session.first + shown] = printed[place].rstrip()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.writelines(f"{line}\n" for line in difflib.unified_diff(before, lines, page, page, lineterm="", n=0))
    return whole


def _places(shown: list[str], printed: list[str]) -> dict[int, int]:
    """Where the shown lines are among the printed ones: those of the same digits, if all of them are there still."""
    try:
        return outputs.match(shown, printed)
    except ValueError:
        return outputs.match(shown, printed, digits=False)


def main() -> None:
    """Renew the pages that are named."""
    parser = argparse.ArgumentParser(description="Put what the commands print now into pages.")
    parser.add_argument("pages", nargs="+", help="paths from the repository's root, such as README.md")
    renewed = [renew(page) for page in parser.parse_args().pages]
    if not all(renewed):
        sys.exit(1)


if __name__ == "__main__":
    main()
