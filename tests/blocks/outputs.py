"""Compares what a command printed with what its page shows."""

from __future__ import annotations

import difflib
import re

LEFT_OUT = "..."
"""A line of a page that stands for any number of lines."""

_ID = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b|(?<=sha256:)[0-9a-f]+…[0-9a-f]+")
"""An id, whole, its first twelve digits, or shortened in its middle."""
_VERDICT = re.compile(r"^The ticket .*")
_BAR = re.compile(r"[█▏▎▍▌▋▊▉]+")
_UNIT = re.compile(r"(?<=\d )[kMGTP](?=FLOP\b|$)")
_NUMBERS = re.compile(r"[+−-]?\d[\d,.]*(?:\s+[+−-]?\d[\d,.]*)*")


def match(shown: list[str], printed: list[str], *, digits: bool = True) -> dict[int, int]:
    """Find each line of a page among those that were printed, in order and without gaps but for ``...``.

    Ids are never compared: they change with the version.

    Args:
        shown: The page's lines.
        printed: The lines that came.
        digits: Whether numbers must be equal.

    Returns:
        The printed line's index for each shown one that is not ``...``.

    Raises:
        ValueError: They differ, with the difference as a message.
    """
    wanted, came = _trim(shown), _trim(printed)
    found: dict[int, int] = {}
    if _place([_plain(line, digits) for line in wanted], [_plain(line, digits) for line in came], 0, 0, found):
        before = next((number for number, line in enumerate(shown) if line.strip()), 0)
        ahead = next((number for number, line in enumerate(printed) if line.strip()), 0)
        return {line + before: place + ahead for line, place in found.items()}
    raise ValueError("\n".join(difflib.unified_diff(wanted, came, "the page", "printed", lineterm="")))


def look_alike(shown: list[str], printed: list[str]) -> None:
    """Check that each printed line looks like one of the page's: of a smaller run fewer lines come, none of others.

    Raises:
        ValueError: A line does not, or hardly any line came.
    """
    known = {_plain(line, digits=False) for line in _before_the_verdict(shown)}
    strange = [line for line in _before_the_verdict(printed) if _plain(line, digits=False) not in known]
    if strange or (len(known) > 1 and not printed):
        raise ValueError("the page has no lines like these:\n" + "\n".join(strange or ["(nothing was printed)"]))


def _before_the_verdict(lines: list[str]) -> list[str]:
    """Without the sentences at the end of a comparison, which say something else for each result."""
    end = next((number for number, line in enumerate(lines) if line.startswith("The ticket ")), len(lines))
    return lines[:end]


def _trim(lines: list[str]) -> list[str]:
    """Without empty lines at both ends."""
    return "\n".join(lines).strip("\n").split("\n") if any(line.strip() for line in lines) else []


def _plain(line: str, digits: bool) -> str:
    """A line without what is not compared."""
    line = _ID.sub("ID", line.rstrip())
    if digits:
        return line
    line = _NUMBERS.sub("0", _UNIT.sub("", _BAR.sub("█", _VERDICT.sub("The ticket", line))))
    return " ".join(line.replace("█", "").split())


def _place(wanted: list[str], came: list[str], line: int, place: int, found: dict[int, int]) -> bool:
    """Place the lines from ``line`` on at ``place`` or, behind a ``...``, as early as they fit."""
    while line < len(wanted):
        if wanted[line] == LEFT_OUT:
            return any(_place(wanted, came, line + 1, later, found) for later in range(place, len(came) + 1))
        if place == len(came) or wanted[line] != came[place]:
            return False
        found[line] = place
        line, place = line + 1, place + 1
    return place == len(came)
