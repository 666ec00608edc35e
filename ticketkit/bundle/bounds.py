"""How large a JSON text would become, found without parsing it.

A parser may make thirty bytes of each byte of a hostile text, and many parsers call themselves for what is nested.
"""

from __future__ import annotations

import numpy as np

from ticketkit.bundle.limits import Limits
from ticketkit.errors import BundleError

_QUOTE = ord('"')
_COMMA = ord(",")
_BACKSLASH = ord("\\")
_OPENING, _CLOSING = b"[{", b"]}"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'",\\' + _OPENING + _CLOSING))
_STEPS = bytes(1 if byte in _OPENING else 255 if byte in _CLOSING else 0 for byte in range(256))
"""How much deeper each byte leads, as a signed one."""


def check_json(text: bytes, what: str, limits: Limits) -> None:
    """Refuse a JSON text that would nest too deep or become too many values, without parsing it.

    It takes a fraction of the time and memory of parsing. A text that is not JSON passes or is refused, as it happens;
    up to the place where a parser stops, the two see the same.

    Args:
        text: The text, in UTF-8.
        what: What it is, for the message.
        limits: What the reader is willing to take.

    Raises:
        BundleError: If it is beyond the limits.
    """
    everything = np.frombuffer(text, dtype=np.uint8)
    if (everything[1:][everything[:-1] == _BACKSLASH] != _QUOTE).any():
        # From left to right, as a parser pairs them, so that every backslash left escapes a quotation mark.
        text = text.replace(b"\\\\", b"")
        text = text.replace(b'\\"', b"").replace(b"\\", b"")
    structure = text.translate(None, _NOT_STRUCTURE)
    characters = np.frombuffer(structure, dtype=np.uint8)
    quotes = characters == _QUOTE
    quotes[1:] &= characters[:-1] != _BACKSLASH
    in_string = np.logical_xor.accumulate(quotes)
    steps = np.frombuffer(structure.translate(_STEPS), dtype=np.int8) * ~in_string
    deepest = int(np.cumsum(steps, dtype=np.int32).max(initial=0))
    if deepest > limits.nesting:
        raise BundleError(f"{what} must nest at most {limits.nesting:,} deep (got {deepest:,})")
    commas = int(np.count_nonzero((characters == _COMMA) & ~in_string))
    values = 1 + commas + int(np.count_nonzero(steps > 0))
    if values > limits.values:
        raise BundleError(f"{what} must hold at most {limits.values:,} JSON values (got {values:,})")


def check_strings(text: bytes, what: str, limits: Limits) -> None:
    """Refuse a JSON text with a string that is too long, without parsing it; see :func:`check_json`."""
    start, most = 0, limits.string_bytes
    if len(text) <= most:
        return
    text = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    while len(text) - start > most:
        # On to behind the last quotation mark that is near enough: a few steps, however many strings there are.
        last = text.rfind(b'"', start, start + most + 1)
        if last < 0:
            if text.count(b'"', 0, start) % 2:
                raise BundleError(f"{what} must have strings of at most {most:,} bytes (got a longer one)")
            last = text.find(b'"', start)  # it was an array of numbers
            if last < 0:
                return
        start = last + 1
