"""Where the user's machine keeps what ticketkit may lose: fetched tickets, decoded images."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "TICKETKIT_CACHE"
"""In the environment, it names the folder."""


def cache_folder() -> Path | None:
    """``TICKETKIT_CACHE``, or ``ticketkit`` in the user's cache folder; None for a user without a home."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    if os.path.isabs(base := os.environ.get("XDG_CACHE_HOME", "")):  # the XDG specification ignores others
        return Path(base) / "ticketkit"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "ticketkit" / "Cache"
    try:
        home = Path.home()
    except RuntimeError:  # as in some containers
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "ticketkit"
