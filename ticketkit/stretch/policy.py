"""Policies: rules that choose which source unit each target unit of a stage comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ticketkit.errors import StretchError
from ticketkit.registry import Registry

Units = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One way to fill a stage.

    Attributes:
        direction: Whether it makes a stage longer or shorter.
        summary: What it does, in one line with an example.
        arrange: Takes the source's elastic units in order, those of them that may be replicated (for ``squeeze``: all),
            and the number of elastic units wanted; gives the source of each, in order. A stage's entry is not among
            them: it never moves.
    """

    direction: Literal["stretch", "squeeze"]
    summary: str
    arrange: Callable[[Units, Units, int], Units]


POLICIES: Registry[Policy] = Registry("order", "ticketkit.stretch.policies", StretchError)

DEFAULT_STRETCH = "append"
DEFAULT_SQUEEZE = "keep-early"
