"""What ``find`` says at its end of the level that it writes."""

import pytest

from ticketkit.cli.search import _level_note, _result_line
from ticketkit.provenance import LevelResult, Results


@pytest.mark.parametrize(
    ("winning", "note"),
    [
        (2, None),
        (1, "the ticket is level 2, 0.9 points below dense; --levels 1, or --keep-levels, gives the last winning one"),
        (None, "the ticket is level 2, 0.9 points below dense"),
    ],
)
def test_a_last_level_that_does_not_win_is_said(winning: int | None, note: str | None) -> None:
    levels = [LevelResult(level=n, kept=9 - n, total=9, accuracy=a) for n, a in enumerate((0.95, 0.95, 0.941))]
    assert _level_note(Results(levels=tuple(levels), winning_level=winning, tolerance=0.005)) == note


def test_a_search_that_prunes_nothing_has_the_dense_network_alone() -> None:
    results = Results(
        levels=(LevelResult(level=0, kept=9, total=9, accuracy=0.95),), winning_level=None, tolerance=0.005
    )
    assert (_result_line(results), _level_note(results)) == ("the dense network alone, 95.00 %", None)
