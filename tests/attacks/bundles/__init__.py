"""Hostile bundles, one function an attack; what reading each must say stands in ``bundles.json``, by its name.

They are made anew whenever they are tested: together they would take 100 MB, and pipes and links cannot be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bundles.containers import containers, entries
from bundles.documents import members, texts
from bundles.networks import layers, networks
from bundles.places import places
from bundles.sizes import sizes
from bundles.sound import BASE, Content
from bundles.tensors import tensors

__all__ = ["ATTACKS", "Attack", "cuts"]


@dataclass(frozen=True, slots=True)
class Attack:
    """A hostile file.

    Attributes:
        name: Its name in ``bundles.json`` and, with ``.st``, on the disk.
        put: Puts it at a path.
    """

    name: str
    put: Callable[[Path], object]


def _writing(content: Content) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content())


_GROUPS = (containers(), entries(), texts(), members(), networks(), layers(), tensors(), sizes())

ATTACKS = [Attack(name, _writing(content)) for group in _GROUPS for name, content in group.items()]
ATTACKS += [Attack(name, put) for name, put in places().items()]


def cuts() -> Iterator[bytes]:
    """The sound ticket, cut short at every 512th byte."""
    return (BASE[:end] for end in range(0, len(BASE), 512))
