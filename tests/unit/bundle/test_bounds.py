from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketkit.bundle.bounds import check_json, check_strings
from ticketkit.bundle.limits import DEFAULT_LIMITS, Limits
from ticketkit.errors import BundleError

STRINGS = st.text(st.sampled_from('ab[]{},:"\\\n\x01é\U0001f600'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=30,
)
NO_LIMITS = Limits(nesting=10**6, values=10**6, string_bytes=10**6)


def nesting(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(nesting, value.values() if isinstance(value, dict) else value), default=0)


def count(value: Any) -> int:
    """Values as the format counts them: an empty array or object as two."""
    if not isinstance(value, list | dict):
        return 1
    return 1 + (sum(map(count, value.values() if isinstance(value, dict) else value)) or 1)


def accepts(text: bytes, limits: Limits) -> bool:
    try:
        check_json(text, "it", limits)
    except BundleError:
        return False
    return True


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_counted_is_what_a_parser_makes(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    deep, many = nesting(value), count(value)
    assert accepts(text, Limits(nesting=deep, values=many))
    assert not accepts(text, Limits(nesting=deep - 1, values=many))
    assert not accepts(text, Limits(nesting=deep, values=many - 1))


# As a header holds a document: every quotation mark of it, and of what it holds itself, is escaped.
@given(VALUES)
def test_what_is_inside_a_string_is_not_counted(value: object) -> None:
    text = json.dumps({"a": json.dumps(json.dumps(value))}).encode()
    assert accepts(text, Limits(nesting=1, values=2))


@pytest.mark.parametrize("text", [b"", b"\\", b'"', b'\\"', b'"\\', b"]]]", b"\xff\xfe", b"\x00" * 9, b'{"a":\\}'])
def test_what_is_no_json_is_left_to_the_parser(text: bytes) -> None:
    check_json(text, "it", NO_LIMITS)
    check_strings(text, "it", Limits(string_bytes=0) if b'"' not in text else NO_LIMITS)


def test_the_line_says_what_was_found() -> None:
    with pytest.raises(BundleError, match=r"^a header must nest at most 64 deep \(got 65\)$"):
        check_json(b"[" * 65, "a header", DEFAULT_LIMITS)
    with pytest.raises(BundleError, match=r"^a header must hold at most 200,000 JSON values \(got 200,001\)$"):
        check_json(b"[" + b"0," * 199_999 + b"0]", "a header", DEFAULT_LIMITS)
    check_json(b"[" + b"0," * 199_998 + b"0]", "a header", DEFAULT_LIMITS)


@given(st.lists(STRINGS, max_size=6), st.integers(0, 20))
def test_strings_are_as_long_as_they_may_be_and_no_longer(strings: list[str], numbers: int) -> None:
    text = json.dumps([strings, [0] * numbers], ensure_ascii=False).encode()
    longest = max((len(json.dumps(string, ensure_ascii=False).encode()) - 2 for string in strings), default=0)
    check_strings(text, "it", Limits(string_bytes=longest))
    if longest:
        with pytest.raises(BundleError, match=f"strings of at most {longest - 1} bytes"):
            check_strings(text, "it", Limits(string_bytes=longest - 1))


def test_numbers_between_strings_are_no_string() -> None:
    text = b'{"a":[' + b"0," * 5000 + b'0],"b":"' + b"x" * 100 + b'"}'
    check_strings(text, "it", Limits(string_bytes=100))
    with pytest.raises(BundleError, match="strings of at most 99 bytes"):
        check_strings(text, "it", Limits(string_bytes=99))


@pytest.mark.parametrize("item", [b"[", b'"', b"\\\\", b'\\"', b'"a",', b"\\n"])
def test_counting_takes_little_beside_the_text(item: bytes) -> None:
    text = item * (2**20 // len(item))
    tracemalloc.start()
    check_json(text, "it", Limits(nesting=2**20, values=2**21))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 13 * len(text)
