"""Reading small files that somebody else wrote: only files, of at most a given size, nested no deeper than ours."""

from __future__ import annotations

import difflib
import errno
import json
import math
import os
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ticketkit.errors import one_line

DEEPEST = 64
"""How deep lists and tables may be nested in what is read; ours nest six deep."""

MOST_VALUES = 1_000_000
"""The most lists, tables and members of them in a JSON document: these take many times the bytes they are written in.
The index of the largest study has half as many."""

MOST_DOTS = 256
"""The most dots in a line of TOML."""

_SIMPLE = frozenset({str, int, float, bool, type(None)})
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular_size(path: str | os.PathLike[str]) -> int:
    """Length of a file in bytes. Ask before opening one: opening a pipe waits for its other end.

    Args:
        path: The file, or a link to it.

    Raises:
        OSError: If it is not a file, or cannot be asked; its ``strerror`` says what it is.
    """
    try:
        status = os.stat(path)
    except ValueError:  # a name with a NUL, which no file has
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it must be a file and is {kind}")
    return status.st_size


def read_bytes(path: str | os.PathLike[str], *, most: int) -> bytes:
    """Read a whole file of at most ``most`` bytes; a longer one is not read at all.

    Raises:
        OSError: If it is not a file, is too long, or cannot be read; its ``strerror`` says which.
    """
    size = regular_size(path)
    if size > most:
        raise OSError(errno.EFBIG, f"it must have at most {most:,} bytes and has {size:,}")
    with Path(path).open("rb") as file:
        content = file.read(size + 1)
    if len(content) > size:
        raise OSError(errno.EFBIG, "it must stay as it is while it is read and has grown")
    return content


def read_text(path: str | os.PathLike[str], *, most: int) -> str:
    """Read a whole file of at most ``most`` bytes as UTF-8.

    Raises:
        OSError: If it is not a file, is too long, or cannot be read; its ``strerror`` says which.
        ValueError: If it is not UTF-8.
    """
    return read_bytes(path, most=most).decode("utf-8")


def parse_json(text: str) -> Any:
    """Read a JSON document, without the infinities and not-a-numbers that Python's own reader lets through.

    Raises:
        ValueError: If it is not JSON, is nested deeper than :data:`DEEPEST`, or has more than :data:`MOST_VALUES`
            values.
    """
    if (values := sum(map(text.count, ",[{"))) > MOST_VALUES:
        raise ValueError(f"it must have at most {MOST_VALUES:,} values and has about {values:,}")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    check_plain(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Read a TOML document without dates, in which nothing of ours has a use.

    Raises:
        ValueError: If it is not TOML, holds a date, is nested deeper than :data:`DEEPEST`, or has a line of more than
            :data:`MOST_DOTS` dots.
    """
    # A key a.b.c… takes tomllib a time that grows with the square of its parts: 6 seconds for 40 kB.
    if any(line.count(".") > MOST_DOTS for line in text.split("\n")):
        raise ValueError(f"a line must have at most {MOST_DOTS} dots and has more")
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    check_plain(value)
    return value


def check_plain(value: object) -> None:
    """Refuse what is nested deeper than :data:`DEEPEST`, as others walk it by recursion, and what JSON has no type for.

    Raises:
        ValueError: If it is so.
    """
    level: list[object] = [value]
    for _ in range(DEEPEST + 1):
        deeper: list[object] = []
        for member in level:
            kind = type(member)
            if kind is dict:
                deeper += member.values()  # type: ignore[attr-defined]
            elif kind is list:
                deeper += member  # type: ignore[arg-type]
            elif kind not in _SIMPLE:
                raise ValueError(f"it must hold no dates and times (got {member})")
        if not deeper:
            return
        level = deeper
    raise ValueError(_too_deep())


def shown(value: object, longest: int = 80) -> str:
    """A value as a message quotes it: ``repr``, on one line, its middle left out where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits; what is nested too deep
        text = f"a value of type {type(value).__name__} that is too long to show"
    return one_line(text, longest)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that it resembles, or nothing."""
    near = difflib.get_close_matches(str(name)[:80], list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number must be one that a float can hold")
    return number


def _too_deep() -> str:
    return f"it must be nested at most {DEEPEST} deep and is deeper"
