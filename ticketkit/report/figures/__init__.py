"""The pictures of a report, drawn by matplotlib: each a function that takes values and gives a ``Figure``.

matplotlib is an extra, so this module imports no other of its package before pictures are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticketkit.errors import TicketkitError

if TYPE_CHECKING:
    from ticketkit.report.connection import Connection
    from ticketkit.report.figures.pictures import Picture
    from ticketkit.report.grouping import Target


def draw_pictures(targets: Sequence[Target], connections: Sequence[Connection]) -> tuple[Picture, ...]:
    """Draw every picture that the results have the values for.

    Args:
        targets: Reports, grouped.
        connections: What ``connect`` found.

    Raises:
        TicketkitError: If matplotlib is not installed.
    """
    try:
        import matplotlib as _  # noqa: F401 - only whether it is there
    except ImportError:
        raise TicketkitError("plots need matplotlib: pip install 'ticketkit[plots]'") from None
    from ticketkit.report.figures.pictures import draw

    return draw(targets, connections)
