"""Things that are costly to make and that one training at a time uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Pool(Generic[T]):
    """Lends things of several kinds, to one borrower each, and keeps those that came back.

    Attributes:
        capacity: How many are kept; the one that has waited longest goes first, and with it its memory.
    """

    capacity: int = 32
    _idle: list[tuple[object, T]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def lent(self, kind: object, make: Callable[[], T]) -> Iterator[T]:
        """Lend one of a kind, made if none is idle; it comes back at the end of the block, unless that fails."""
        with self._lock:
            place = next((place for place, (other, _) in enumerate(self._idle) if other == kind), None)
            found = None if place is None else self._idle.pop(place)
        thing = make() if found is None else found[1]
        yield thing
        with self._lock:
            self._idle.append((kind, thing))
            del self._idle[: -self.capacity]

    def clear(self) -> None:
        """Forget those that wait, and with them their memory."""
        with self._lock:
            self._idle.clear()
