"""Where the cache is, and what is cleared out of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ticketkit.sharing import RemoteError
from ticketkit.sharing.cache import ABANDONED, Source, TicketCache, default_folder, read_source, write_source


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("TICKETKIT_CACHE", "/mine")
    assert default_folder() == Path("/mine")
    monkeypatch.delenv("TICKETKIT_CACHE")
    assert default_folder() == Path("/xdg/ticketkit")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    for platform, folder in (("linux", ".cache/ticketkit"), ("darwin", "Library/Caches/ticketkit")):
        monkeypatch.setattr(sys, "platform", platform)
        assert default_folder() == tmp_path / folder
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert default_folder() == Path("/local/ticketkit/Cache")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.delenv("TICKETKIT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(RemoteError, match=r"a cache folder must be known .*TICKETKIT_CACHE names one"):
        default_folder()


def test_what_was_given_up_long_ago_is_removed(cache: Path) -> None:
    kept = TicketCache()
    kept.open()
    for name in ("old.part", "new.part", ".x.st.01234567.tmp", "old.json"):
        (kept.sources / name).write_bytes(b"x")
    long_ago = (kept.sources / "new.part").stat().st_mtime - ABANDONED - 60
    for name in ("old.part", ".x.st.01234567.tmp", "old.json"):
        os.utime(kept.sources / name, (long_ago, long_ago))
    kept.open()
    assert sorted(path.name for path in kept.sources.iterdir()) == ["new.part", "old.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"validator": ""}', b'{"validator": "a\\r\\nX: y"}', b" " * 20_000]
)
def test_a_damaged_note_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.json").write_bytes(content)
    assert read_source(tmp_path / "note.json") is None
    assert read_source(tmp_path / "nothing.json") is None


def test_a_note_comes_back(tmp_path: Path) -> None:
    source = Source(validator='"tag"', id="sha256:" + "0" * 64)
    write_source(tmp_path / "note.json", source)
    assert read_source(tmp_path / "note.json") == source


def test_a_url_is_kept_as_its_hash_alone(cache: Path) -> None:
    assert "secret" not in TicketCache().key("https://host/t.st?token=secret")
