"""What continuous integration fuzzes: the same 20,000 files and 20,000 mappings every time, and some that shrink."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import corpus
import pytest
from campaign import Session, make_input, memory_folder, run_range
from contracts import ACCEPTED, STAGES, check_bundle, check_mapping
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import make_mapping, mutate, mutate_mapping

BATCHES = 4
EACH = 5_000
SEEDS = corpus.bundles()
REACHED = {
    "length": 5_000,
    "container": 4_000,
    "JSON": 2_600,
    "format": 2_500,
    "canonical": 2_300,
    "schema": 2_000,
    "id": 1_200,
    "layers": 1_000,
    "layout": 650,
    "tensors": 600,
    ACCEPTED: 400,
}
"""How many of a batch must get as far as each stage: a mutator that reaches nothing finds nothing."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder in memory, where the system has one: 20,000 files are written into it."""
    with tempfile.TemporaryDirectory(dir=memory_folder()) as name:
        yield Path(name)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_mutated_file_is_refused_in_one_line_or_saves_again_to_the_same_id(
    folder: Path, tmp_path: Path, batch: int
) -> None:
    session = Session(target="bundle", folder=folder, out=tmp_path)
    tally = run_range(session, 0, range(batch * EACH, (batch + 1) * EACH), SEEDS)
    assert not tally.failures, tally.table(1)
    assert tally.inputs == EACH
    assert {stage: tally.reached(stage) for stage in REACHED if tally.reached(stage) < REACHED[stage]} == {}
    assert all(tally.stages[stage] > 0 for stage in STAGES)


def test_a_mutated_mapping_is_refused_in_one_line_or_parses_again_to_an_equal_one(folder: Path, tmp_path: Path) -> None:
    session = Session(target="mapping", folder=folder, out=tmp_path)
    tally = run_range(session, 0, range(BATCHES * EACH), corpus.mappings())
    assert not tally.failures, tally.table(1)
    assert tally.inputs == BATCHES * EACH
    assert tally.stages[ACCEPTED] > 5_000
    assert tally.stages["grammar"] > 5_000
    assert tally.stages["network"] > 200


@settings(max_examples=50)
@given(base=st.sampled_from(corpus.sound_bundles()[:4]), seeds=st.lists(st.integers(0, 2**20), min_size=1, max_size=4))
def test_a_file_mutated_again_and_again_keeps_the_contract(folder: Path, base: bytes, seeds: list[int]) -> None:
    data = base
    for seed in seeds:
        data = mutate(data, Random(seed), base)
    check_bundle(data, folder, thorough=True)


@settings(max_examples=200)
@given(text=st.text() | st.text("0123456789:;,| \n\t\u3000", max_size=40))
def test_any_text_for_a_mapping_keeps_the_contract(text: str) -> None:
    check_mapping(text)


def test_the_same_random_state_gives_the_same_input() -> None:
    for number in range(200):
        assert make_input("bundle", 1, number, SEEDS) == make_input("bundle", 1, number, SEEDS)
        assert make_mapping(Random(number)) == make_mapping(Random(number))
        assert mutate_mapping("0:0;1:1,2", Random(number)) == mutate_mapping("0:0;1:1,2", Random(number))


def test_inputs_differ_from_each_other_and_from_what_they_were() -> None:
    made = {make_input("bundle", 1, number, SEEDS) for number in range(500)}
    assert len(made) > 450
    assert len(made & set(SEEDS)) < 40


def test_anything_can_be_mutated() -> None:
    for number, data in enumerate((b"", b"\0", bytes(8), b"\xff" * 8, b"\x02" + bytes(7) + b"{}", bytes(100))):
        for seed in range(100):
            mutate(data, Random(100 * number + seed), data)
