"""Reading small files: files only, whole or not at all, and only what is plain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ticketkit.reading import (
    DEEPEST,
    MOST_DOTS,
    MOST_VALUES,
    check_plain,
    did_you_mean,
    parse_json,
    parse_toml,
    read_bytes,
    read_text,
    regular_size,
    shown,
)


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("size", [0, 1, 10])
def test_a_file_within_its_size_is_read_whole(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("a")
    assert read_bytes(path, most=10) == read_bytes(tmp_path / "link", most=10) == b"x" * size
    assert regular_size(path) == size


def test_a_longer_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="it must have at most 10 bytes and has 11"):
        read_bytes(path, most=10)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"xx")
    monkeypatch.setattr("ticketkit.reading.regular_size", lambda path: 1)
    with pytest.raises(OSError, match="it must stay as it is while it is read and has grown"):
        read_bytes(path, most=10)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "it must be a file and is a pipe"),
        (Path("/dev/null"), "it must be a file and is a device"),
        (tmp_path / "none", "No such file or directory"),
        (Path("a\0b"), "No such file or directory"),
    ):
        with pytest.raises(OSError, match=reason) as caught:
            read_text(path, most=10)
        assert caught.value.strerror == reason


def test_text_must_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("é".encode())
    assert read_text(path, most=10) == "é"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match="utf-8"):
        read_text(path, most=10)


def test_values_may_be_nested_so_deep_and_no_deeper() -> None:
    check_plain(nested(DEEPEST))
    with pytest.raises(ValueError, match="it must be nested at most 64 deep and is deeper"):
        check_plain(nested(DEEPEST + 1))


def test_json_is_read_without_what_python_adds_to_it() -> None:
    assert parse_json('{"a": [1, 2.5, -1e3, true, null, "é"]}') == {"a": [1, 2.5, -1e3, True, None, "é"]}
    for text in ("NaN", "-Infinity", "1e999", "-1e400", "[" * 10_000, "{}{}", ""):
        with pytest.raises(ValueError):
            parse_json(text)


def test_json_of_as_many_values_as_may_be() -> None:
    assert len(parse_json("[" + "1," * (MOST_VALUES - 2) + "1]")) == MOST_VALUES - 1
    with pytest.raises(ValueError, match="it must have at most 1,000,000 values and has about 1,000,001"):
        parse_json("[" + "1," * MOST_VALUES + "1]")


def test_toml_is_read_without_dates_and_long_keys() -> None:
    assert parse_toml('a = [1, 2.5]\n[b]\nc.d = "x"\n') == {"a": [1, 2.5], "b": {"c": {"d": "x"}}}
    assert len(parse_toml("a = [" + "0.5, " * (MOST_DOTS - 1) + "]")["a"]) == MOST_DOTS - 1
    for text, message in (
        ("a = 1979-05-27", r"no dates and times \(got 1979-05-27\)"),
        ("a = [07:32:00]", r"no dates and times \(got 07:32:00\)"),
        ("a." * (MOST_DOTS + 1) + "b = 1", "a line must have at most 256 dots"),
        ("a = " + "[" * 10_000, "at most 64 deep"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_toml(text)


def test_values_are_shown_on_one_short_line() -> None:
    assert shown("a\nb\x1b") == r"'a\nb\x1b'"
    assert shown(None) == "None"
    assert len(shown("a" * 10**6)) == 80
    assert len(shown([1] * 10**5, 20)) == 20
    assert shown(16**10_000) == "a value of type int that is too long to show"
    assert shown(nested(10_000)) == "a value of type list that is too long to show"


def test_a_misspelt_name_is_set_right() -> None:
    assert did_you_mean("epoch", ["lr", "epochs"]) == "; did you mean 'epochs'?"
    assert did_you_mean("momentum", ["lr", "epochs"]) == ""
    assert did_you_mean("a" * 10**6, ["lr", "epochs"]) == ""
