"""References: what is one, what is none, and what messages show of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticketkit.sharing import RemoteError, parse_reference
from ticketkit.sharing.references import HubFile, is_this_machine, parse_hub_repo

PIN = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", ["t.st", "../a b/t.st", "C:\\t.st", "a#b.st", "http.st", "", "hf:/x"])
def test_what_has_no_scheme_is_a_path(text: str) -> None:
    reference = parse_reference(text)
    assert (reference.place, reference.pin, reference.is_remote) == (Path(text), None, False)


def test_a_path_object_is_a_path_whatever_it_looks_like() -> None:
    path = Path(f"t.st#sha256={PIN}")
    assert parse_reference(path).place == path
    assert parse_reference(path).pin is None


@pytest.mark.parametrize("place", ["t.st", "https://host/t.st", "hf://me/repo/t.st@v1"])
def test_any_reference_may_name_the_id(place: str) -> None:
    reference = parse_reference(f"{place}#sha256={PIN.upper()}")
    assert reference.pin == f"sha256:{PIN}"
    assert reference.place == parse_reference(place).place
    assert reference.name == "t.st"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me/repo/t.st", HubFile(repo="me/repo", path="t.st", revision="main")),
        ("hf://me/repo/a/b.c/t.st@v1.0", HubFile(repo="me/repo", path="a/b.c/t.st", revision="v1.0")),
        ("hf://me/re.po_1/t.st@refs/pr/1", HubFile(repo="me/re.po_1", path="t.st", revision="refs/pr/1")),
    ],
)
def test_a_file_of_the_hub(text: str, expected: HubFile) -> None:
    assert parse_reference(text).place == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"t.st#sha256={PIN[1:]}", "there must be 64 hexadecimal digits"),
        (f"https://host/t.st#sha256={PIN}0", "there must be 64 hexadecimal digits"),
        ("https://host/t.st#part", "behind # a URL must have sha256="),
        ("http://host/t.st", "http:// is for this machine alone (got host host)"),
        ("http://127.0.0.1.evil.org/t.st", "http:// is for this machine alone"),
        ("https:///t.st", "must name a host"),
        ("https://host:port/t.st", "a URL must be sound"),
        ("https://[::1/t.st", "a URL must be sound"),
        ("https://me:secret@host/t.st", "no user or password"),
        ("https://host/t t.st", "printable ASCII"),
        ("https://host/t\n.st", "printable ASCII"),
        ("https://höst/t.st", "printable ASCII"),
        ("https://host/" + "x" * 4_000, "at most 4,000 characters"),
        ("ftp://host/t.st", "must be a path, https:// or hf:// (got ftp://)"),
        ("file:///etc/t.st", "must be a path, https:// or hf://"),
        ("hf://me/t.st", "must be hf://user/repo/file.st[@revision]"),
        ("hf://me/repo/", "must be hf://user/repo/file.st[@revision]"),
        ("hf://me/repo/../t.st", "must be hf://user/repo/file.st[@revision]"),
        ("hf://me/repo//t.st", "must be hf://user/repo/file.st[@revision]"),
        ("hf://../repo/t.st", "must be hf://user/repo/file.st[@revision]"),
        ("hf://me/repo/t.st@", "must be hf://user/repo/file.st[@revision]"),
        ("hf://me/repo/t.st@../x", "must be hf://user/repo/file.st[@revision]"),
        ("hf://me/repo/t.st?x", "must be hf://user/repo/file.st[@revision]"),
    ],
)
def test_what_is_no_reference_is_one_line(text: str, message: str) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_reference(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_a_url_asks_is_not_shown() -> None:
    reference = parse_reference(f"https://host/t.st?signature=secret#sha256={PIN}")
    assert str(reference) == "https://host/t.st?…"
    assert reference.place == "https://host/t.st?signature=secret"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://host/a/t.st?x=/y.st", "t.st"),
        ("https://host/", "ticket.st"),
        ("https://host", "ticket.st"),
        ("https://host/%2e%2e%2f.bashrc", "bashrc"),
        ("https://host/a%0ab%20c.st", "a_b_c.st"),
        ("https://host/--force", "force"),
        ("hf://me/repo/a/t.st@v2", "t.st"),
    ],
)
def test_the_name_is_safe_as_a_file_name(text: str, name: str) -> None:
    assert parse_reference(text).name == name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.example.org", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_this_machine_is_told_by_its_name_or_address(host: str, expected: bool) -> None:
    assert is_this_machine(host) is expected


def test_a_repository() -> None:
    assert parse_hub_repo("hf://me/repo") == parse_hub_repo("me/repo/") == "me/repo"
    for text in ("hf://me", "hf://me/repo/file.st", "me/..", "https://huggingface.co/me/repo"):
        with pytest.raises(RemoteError, match="a repository on the Hub must be hf://user/repo"):
            parse_hub_repo(text)
