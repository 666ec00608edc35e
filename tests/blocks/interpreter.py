"""Runs a page's Python blocks in one namespace: a process that reads one JSON line a block and answers each.

``print(…)  # text`` is a promise: the text is what it prints.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import traceback
import warnings
from typing import Any


def run_block(source: str, file: str, line: int, names: dict[str, Any]) -> list[tuple[str, str]]:
    """Run a block's statements one by one.

    Returns:
        What stands in the comment behind each ``print``, and what that printed.
    """
    promises: list[tuple[str, str]] = []
    tree = ast.parse(source, file)
    lines = source.splitlines()
    for statement in tree.body:
        last = lines[(statement.end_lineno or 1) - 1][statement.end_col_offset :].strip()
        ast.increment_lineno(statement, line - 1)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module([statement], []), file, "exec"), names)
        if ast.unparse(statement).startswith("print(") and last.startswith("#"):
            promises.append((last.removeprefix("#").strip(), printed.getvalue().strip()))
    return promises


def main() -> None:
    """Answer each block with its promises, or with a traceback."""
    names: dict[str, Any] = {"__name__": "__main__"}
    answers = sys.stdout
    for request in sys.stdin:
        block = json.loads(request)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                answer: dict[str, Any] = {"promises": run_block(names=names, **block)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
