"""Where a key's passphrase comes from: a file, the environment, or a prompt; never an argument, which others see."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ticketkit.errors import SignatureError

VARIABLE = "TICKETKIT_PASSPHRASE"
_MOST_BYTES = 4096

PASSPHRASE_OPTION = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Take the key's passphrase from a file's first line.  [default: ${VARIABLE}, or ask]",
)


def get_passphrase(file: Path | None, key: Path, *, confirm: bool = False) -> bytes:
    """Get the passphrase of a key.

    Args:
        file: A file whose first line it is; goes before everything else.
        key: The key's file, which the prompt names.
        confirm: Whether to ask for it twice.

    Raises:
        SignatureError: If the file cannot be read, or there is nobody to ask, or what came is empty.
    """
    if file is not None:
        given, source = _first_line(file), click.format_filename(file)
    elif VARIABLE in os.environ:
        given, source = os.environ[VARIABLE].encode("utf-8", "surrogateescape"), VARIABLE
    elif _is_terminal():
        text = f"Passphrase of {click.format_filename(key)}"
        given = click.prompt(text, hide_input=True, confirmation_prompt=confirm, err=True).encode()
        source = "typed"
    else:
        raise SignatureError(
            f"a passphrase must come from --passphrase-file, {VARIABLE} or a terminal (there is none): {key}"
        )
    if not given:
        raise SignatureError(f"a passphrase must not be empty (got no character): {source}")
    return given


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            line = file.readline(_MOST_BYTES + 1)
    except OSError as error:
        raise SignatureError(f"a passphrase must be in a readable file ({error.strerror or error}): {path}") from None
    if len(line) > _MOST_BYTES:
        raise SignatureError(f"a passphrase must be of at most {_MOST_BYTES:,} bytes (its line has more): {path}")
    return line.rstrip(b"\r\n")
