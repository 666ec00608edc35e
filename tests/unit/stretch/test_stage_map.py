"""The grammar of mappings."""

from __future__ import annotations

import re

import pytest

from ticketkit.errors import StretchError
from ticketkit.stretch import StageMap, parse_stage_map


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("0:0;1:1,3;2:2,4", ((0, 1, 2, 1, 2),)),
        ("0:0;1:1,2;2:3,4", ((0, 1, 1, 2, 2),)),
        ("0:0", ((0,),)),
        ("0:0;1:1|0:0;1:1,2|0:0", ((0, 1), (0, 1, 1), (0,))),
        ("0:0;3:1", ((0, 3),)),
        ("2:2;0:0;1:1", ((0, 1, 2),)),
        (" 0 : 0 ; 1 : 1 , 2 ", ((0, 1, 1),)),
    ],
)
def test_strings_read_as_the_authors_mean_them(text: str, stages: tuple[tuple[int, ...], ...]) -> None:
    assert parse_stage_map(text).stages == stages


def test_a_mapping_is_written_in_one_form() -> None:
    assert str(StageMap(((0, 1, 2, 1, 2),))) == "0:0;1:1,3;2:2,4"
    assert str(StageMap(((0, 2), (0,)))) == "0:0;2:1|0:0"


def test_one_stage_stands_for_all() -> None:
    assert parse_stage_map("0:0;1:1").for_stages(3) == ((0, 1),) * 3
    assert parse_stage_map("0:0|0:0;1:1").for_stages(2) == ((0,), (0, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a mapping's entries must read source:target,target (got '' in '')"),
        ("0:0;", "a mapping's entries must read source:target,target (got '' in '0:0;')"),
        ("0:0;1:", "a mapping's entries must read source:target,target (got '1:' in '0:0;1:')"),
        ("0:0;a:1", "a mapping's entries must read source:target,target (got 'a:1' in '0:0;a:1')"),
        ("0:0;1:1 2", "a mapping's entries must read source:target,target (got '1:1 2' in '0:0;1:1 2')"),
        ("0:0;-1:1", "a mapping's entries must read source:target,target (got '-1:1' in '0:0;-1:1')"),
        ("0:0|", "a mapping's entries must read source:target,target (got '' in '0:0|')"),
        ("0:0;1:10001", "units of a mapping must be at most 10,000 (got 10,001)"),
        ("10001:0", "units of a mapping must be at most 10,000 (got 10,001)"),
        ("0:0;1:1;2:1", "stage 0: target unit 1 must have one source (got 1 and 2 in '0:0;1:1;2:1')"),
        ("0:0;1:1,1", "stage 0: target unit 1 must have one source (got 1 and 1 in '0:0;1:1,1')"),
        ("0:0|0:0;1:2", "stage 1: target unit 1 must have a source (got none in '0:0|0:0;1:2')"),
        ("1:1", "stage 0: target unit 0 must have a source (got none in '1:1')"),
    ],
)
def test_what_is_no_mapping_is_refused(text: str, message: str) -> None:
    with pytest.raises(StretchError, match=f"^{re.escape(message)}$"):
        parse_stage_map(text)


@pytest.mark.parametrize("stages", [(), ((),), ((0, 1), ())])
def test_an_empty_mapping_is_refused(stages: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(StretchError, match=r"^a mapping must name at least one unit in every stage"):
        StageMap(stages)


def test_a_mapping_of_other_stages_is_refused() -> None:
    with pytest.raises(StretchError, match=r"^a mapping must be for one stage or for all 3 \(got 2 in 0:0\|0:0\)$"):
        parse_stage_map("0:0|0:0").for_stages(3)
