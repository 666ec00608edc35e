"""What ``find`` says at its end of the level that it writes."""

import pytest

from ticketkit.cli.search import _level_note
from ticketkit.provenance import LevelResult, Results


@pytest.mark.parametrize(
    ("winning", "note"),
    [
        (2, None),
        (1, "the ticket is level 2, 0.9 points below dense; --levels 1, or --keep-levels, gives the last winning one"),
        (0, "the ticket is level 2, 0.9 points below dense"),
        (None, "the ticket is level 2, 0.9 points below dense"),
    ],
)
def test_a_last_level_that_does_not_win_is_said(winning: int | None, note: str | None) -> None:
    levels = [LevelResult(level=n, kept=9 - n, total=9, accuracy=a) for n, a in enumerate((0.95, 0.95, 0.941))]
    assert _level_note(Results(levels=tuple(levels), winning_level=winning, tolerance=0.005)) == note
