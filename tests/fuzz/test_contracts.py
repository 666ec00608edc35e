"""The contracts notice what they are there to notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import contracts
import corpus
import pytest
from contracts import ACCEPTED, STAGES, BrokenContractError, check_bundle, check_mapping

from ticketkit.bundle import load_ticket
from ticketkit.errors import BundleError, StretchError
from ticketkit.stretch import StageMap

SOUND = corpus.sound_bundles()


def test_every_sound_vector_is_accepted(tmp_path: Path) -> None:
    assert {check_bundle(data, tmp_path, thorough=True).stage for data in SOUND} == {ACCEPTED}


def test_the_broken_vectors_are_refused_at_every_stage(tmp_path: Path) -> None:
    assert {check_bundle(data, tmp_path, thorough=True).stage for data in corpus.broken_bundles()} == set(STAGES)


def raising(error: Exception) -> Callable[..., None]:
    def load(*_: object, **__: object) -> None:
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (KeyError("layers"), "made load raise KeyError"),
        (RecursionError("too deep"), "made load raise RecursionError"),
        (MemoryError(), "made load raise MemoryError"),
        (BundleError("the id must be that of the document"), "does not name its file"),
        (BundleError(""), "not one line of a sensible length"),
    ],
)
def test_any_error_but_one_line_that_names_the_file_is_a_breach(
    error: Exception, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contracts, "load_ticket", raising(error))
    with pytest.raises(BrokenContractError, match=problem):
        check_bundle(SOUND[0], tmp_path)


@pytest.mark.parametrize("line", ["two\nlines", "x" * 1_001, "\x1b[2J"])
def test_a_line_that_steers_a_terminal_or_is_too_long_is_a_breach(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = BundleError("")
    error.args = (f"{line}: {tmp_path / 'input.st'}",)
    monkeypatch.setattr(contracts, "load_ticket", raising(error))
    with pytest.raises(BrokenContractError, match="not one line of a sensible length"):
        check_bundle(SOUND[0], tmp_path)


def test_a_line_of_no_known_stage_is_a_breach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "load_ticket", raising(BundleError(f"something is amiss: {tmp_path / 'input.st'}")))
    with pytest.raises(BrokenContractError, match="no known stage"):
        check_bundle(SOUND[0], tmp_path)


def test_three_slow_readings_are_a_breach_and_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "MOST_SECONDS", 0.05)
    slow = iter([True, False, False, False, True, True, True])

    def load(path: Path, **_: object) -> None:
        time.sleep(0.06 * next(slow))
        raise BundleError(f"the id must be: {path}")

    monkeypatch.setattr(contracts, "load_ticket", load)
    assert check_bundle(b"", tmp_path).stage == "id"
    next(slow)
    with pytest.raises(BrokenContractError, match="each of three times"):
        check_bundle(b"", tmp_path)


def test_another_ticket_after_saving_is_a_breach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.st").write_bytes(SOUND[1])

    def load(path: Path, **_: object) -> object:
        return load_ticket(path if path.name == "input.st" else tmp_path / "other.st")

    monkeypatch.setattr(contracts, "load_ticket", load)
    with pytest.raises(BrokenContractError, match="changed when it was saved and loaded again"):
        check_bundle(SOUND[0], tmp_path)


def test_an_accepted_ticket_that_cannot_be_saved_is_a_breach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "save_ticket", raising(BundleError("weights of a ticket must be finite")))
    with pytest.raises(BrokenContractError, match="what was accepted made load raise BundleError"):
        check_bundle(SOUND[0], tmp_path)


def test_what_the_safetensors_library_refuses_must_not_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sound.st").write_bytes(SOUND[0])
    lenient = load_ticket(tmp_path / "sound.st")
    monkeypatch.setattr(contracts, "load_ticket", lambda path, **_: lenient)
    with pytest.raises(BrokenContractError, match="the safetensors library refuses"):
        check_bundle((corpus.REGRESSIONS / "place-negative-zero.st").read_bytes(), tmp_path)
    with pytest.raises(BrokenContractError, match="the safetensors library reads other tensors"):
        check_bundle(SOUND[1], tmp_path)


def test_refusals_must_be_alike_however_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = corpus.broken_bundles()[0]
    monkeypatch.setattr(contracts, "read_header", lambda path: None)
    with pytest.raises(BrokenContractError, match="read otherwise, it is accepted"):
        check_bundle(broken, tmp_path, thorough=True)
    monkeypatch.setattr(contracts, "read_header", raising(BundleError("another line")))
    with pytest.raises(BrokenContractError, match="read otherwise, it is refused otherwise"):
        check_bundle(broken, tmp_path, thorough=True)


def test_a_mapping_that_changes_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([StageMap(((0, 1),)), StageMap(((0, 1, 1),))])
    monkeypatch.setattr(contracts, "parse_stage_map", lambda text: next(found))
    with pytest.raises(BrokenContractError, match="changed when it was written and parsed again"):
        check_mapping("0:0;1:1")


@pytest.mark.parametrize(
    ("text", "stage"), [("0:0;1:1,2,3", ACCEPTED), ("0:1", "grammar"), ("0:0;9:1", "network"), ("0:0|0:0", "network")]
)
def test_a_mapping_is_followed_as_far_as_it_goes(text: str, stage: str) -> None:
    assert check_mapping(text).stage == stage


def test_any_other_error_about_a_mapping_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "parse_stage_map", raising(IndexError("list index")))
    with pytest.raises(BrokenContractError, match="IndexError"):
        check_mapping("0:0")
    monkeypatch.setattr(contracts, "parse_stage_map", raising(StretchError("a line")))
    assert check_mapping("0:0").stage == "grammar"
