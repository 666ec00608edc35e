"""A message is one harmless line of bounded length, whatever it quotes."""

from __future__ import annotations

import pickle

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ticketkit.errors import LONGEST_MESSAGE, BundleError, TicketkitError, one_line


@given(st.text(max_size=3_000))
def test_a_message_is_one_printable_line(text: str) -> None:
    message = str(TicketkitError(text))
    assert message.isprintable()
    assert len(message) <= LONGEST_MESSAGE
    assert str(TicketkitError(message)) == message


@pytest.mark.parametrize("text", ["", "kept of é must be 1 (got 2): cut.st", "…" * LONGEST_MESSAGE])
def test_what_is_harmless_stays(text: str) -> None:
    assert str(TicketkitError(text)) == text


@pytest.mark.parametrize("character", ["\x1b", "\0", "\x7f", "\x9b", "\u202e", "\u200b", "\udcff", "\ue000"])
def test_what_could_steer_a_terminal_is_replaced(character: str) -> None:
    assert one_line(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\xa0", "\u2028"])
def test_white_space_becomes_a_space(character: str) -> None:
    assert one_line(f"a{character}b") == "a b"


def test_a_long_message_keeps_its_end_which_names_the_file() -> None:
    message = str(BundleError("a" * 5_000 + ": cut.st"))
    assert message.startswith("a" * 500)
    assert message.endswith("a: cut.st")
    assert (len(message), message.count("…")) == (LONGEST_MESSAGE, 1)


def test_an_error_goes_from_process_to_process() -> None:
    error = pickle.loads(pickle.dumps(BundleError("a\nb")))
    assert (type(error), str(error)) == (BundleError, "a b")
