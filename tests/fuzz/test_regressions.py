"""What once broke a contract does not break it again."""

from __future__ import annotations

import json
from pathlib import Path

import corpus
import pytest
from contracts import check_bundle, check_mapping

FILES = sorted(corpus.REGRESSIONS.glob("*.st"))
EXPECTED: dict[str, str] = json.loads((corpus.REGRESSIONS / "expected.json").read_text(encoding="utf-8"))
MAPPINGS: dict[str, list[str]] = json.loads((corpus.REGRESSIONS / "mappings.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_that_broke_the_contract_keeps_it(path: Path, tmp_path: Path) -> None:
    assert check_bundle(path.read_bytes(), tmp_path, thorough=True).stage == EXPECTED[path.stem]


def test_every_file_says_what_stage_refuses_it() -> None:
    assert sorted(EXPECTED) == [path.stem for path in FILES]


@pytest.mark.parametrize("stage", sorted(MAPPINGS))
def test_mappings_that_broke_the_contract_keep_it(stage: str) -> None:
    assert {text: check_mapping(text).stage for text in MAPPINGS[stage]} == dict.fromkeys(MAPPINGS[stage], stage)
