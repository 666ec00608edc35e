"""A registry: named things of one kind, one file each, found by looking into their package.

A new family, policy, criterion, data set or arm is one new module that calls ``register``; no list elsewhere names it.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import threading
from collections.abc import Iterator, Mapping
from typing import TypeVar

from ticketkit.errors import TicketkitError

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Names to values of one kind, filled by the modules of one package.

    The package's modules are imported at the first look-up, not before, so that declaring a registry costs nothing.

    Args:
        kind: What the values are, in the singular, for messages ("architecture family").
        package: The package whose modules register the values ("ticketkit.arch").
        error: The exception that an unknown or duplicate name raises.
        advice: What to do about an unknown name that is none misspelt.
    """

    def __init__(self, kind: str, package: str, error: type[TicketkitError], *, advice: str = "") -> None:
        self._kind = kind
        self._package = package
        self._error = error
        self._advice = advice
        self._values: dict[str, T] = {}
        self._discovered = False
        self._discovering = False
        self._lock = threading.RLock()

    def register(self, name: str, value: T) -> T:
        """Add ``value`` under ``name`` and return it.

        Raises:
            TicketkitError: (the registry's own error) if the name is taken by another value.
        """
        if name in self._values:
            raise self._error(f"{self._kind} {name!r} must be registered once (it is already)")
        self._values[name] = value
        return value

    def _discover(self) -> None:
        if self._discovered:
            return
        with self._lock:  # other threads wait until all are there
            if self._discovered or self._discovering:  # a module may look something up while it is imported
                return
            self._discovering = True
            try:
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(package.__path__):
                    importlib.import_module(f"{self._package}.{module.name}")
                self._discovered = True
            finally:
                self._discovering = False  # after an error too, or the next look-up would hide it

    def __getitem__(self, name: str) -> T:
        self._discover()
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self)
            shown = name[:80]  # it may come from a file, and be of any length
            near = difflib.get_close_matches(shown, list(self), n=1)
            hint = f"did you mean {near[0]!r}?" if near else self._advice
            ending = f"; {hint}" if hint else ""
            raise self._error(f"{self._kind} must be one of {known} (got {shown!r}){ending}") from None

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._values))

    def __len__(self) -> int:
        self._discover()
        return len(self._values)
