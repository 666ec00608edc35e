"""What refusing hostile input may cost: one line, a moment, little memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from ticketkit.errors import LONGEST_MESSAGE, TicketkitError

SLOWEST = 1.0
"""Seconds of the processor's time that refusing any input may take."""

MEBIBYTE = 2**20


def refused(call: Callable[[], object], error: type[TicketkitError], *, memory: int = 16 * MEBIBYTE) -> str:
    """The line that an input is refused with.

    It is read twice: once by the clock, once under tracemalloc, which sees Python's objects and numpy's arrays, and
    makes reading slower.

    Args:
        call: Reads the input.
        error: The exception it must raise, exactly.
        memory: Bytes that may be in use at once beside what was before.
    """
    start = time.process_time()
    line = line_of(call, error)
    assert time.process_time() - start < SLOWEST
    tracemalloc.start()
    try:
        line_of(call, error)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory
    return line


def line_of(call: Callable[[], object], error: type[TicketkitError]) -> str:
    """The line of an error, which is one and harmless to a terminal."""
    with pytest.raises(TicketkitError) as caught:
        call()
    assert type(caught.value) is error
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) <= LONGEST_MESSAGE
    return line
