"""Fetching tickets: what comes into the cache, how often a server is asked, and what goes on where it broke off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ticket_server import Behaviour

from ticketkit.bundle import Limits, load_ticket, save_ticket
from ticketkit.errors import BundleError
from ticketkit.sharing import Patience, RemoteError, resolve
from ticketkit.ticket import Ticket

Serve = Callable[..., str]
QUICK = Patience(connect=2.0, silence=0.4, total=5.0, tries=3, pause=0.01)


def pinned(place: object, ticket: Ticket) -> str:
    return f"{place}#{ticket.id.replace(':', '=')}"


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_path_is_given_back_and_an_id_is_compared(file: Path, ticket: Ticket, cache: Path) -> None:
    assert resolve(file) == resolve(str(file)) == resolve(pinned(file, ticket)) == file
    assert resolve("nowhere.st") == Path("nowhere.st")
    with pytest.raises(RemoteError, match=r"must have the id that its reference names, sha256:0{64} \(it has sha256:"):
        resolve(f"{file}#sha256={'0' * 64}")
    assert not cache.exists()


def test_a_fetched_ticket_is_the_ticket(url: str, served: Behaviour, ticket: Ticket, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = resolve(url, on_progress=lambda there, of: seen.append((there, of)))
    assert path.read_bytes() == served.content
    assert load_ticket(path).id == ticket.id
    assert path == cache / "tickets" / f"{ticket.id[7:]}.st"
    assert seen[-1] == (len(served.content), len(served.content))
    assert [suffix for suffix in files(cache) if suffix.endswith("part")] == []


def test_what_has_not_changed_is_asked_about_and_not_sent_again(url: str, served: Behaviour) -> None:
    first, sent = resolve(url), served.sent
    assert resolve(url) == first
    assert served.sent == sent
    assert served.requests[-1]["If-None-Match"] == '"one"'


def test_a_changed_file_is_fetched(
    url: str, served: Behaviour, make_ticket: Callable[..., Ticket], tmp_path: Path
) -> None:
    resolve(url)
    other = make_ticket("resnet14-w8", seed=1)
    save_ticket(other, tmp_path / "other.st")
    served.content, served.etag = (tmp_path / "other.st").read_bytes(), '"two"'
    assert load_ticket(resolve(url)).id == other.id


def test_a_named_id_that_is_kept_needs_no_server(url: str, served: Behaviour, ticket: Ticket) -> None:
    first = resolve(url)
    asked = len(served.requests)
    assert resolve(pinned(url, ticket)) == first
    assert resolve(pinned("https://nowhere.invalid/x.st", ticket)) == first
    assert len(served.requests) == asked


def test_a_damaged_copy_is_not_the_ticket(url: str, served: Behaviour, ticket: Ticket) -> None:
    path = resolve(url)
    path.write_bytes(served.content[:100])
    assert resolve(pinned(url, ticket)).read_bytes() == served.content
    path.write_bytes(served.content[:100])
    assert resolve(url).read_bytes() == served.content


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_made_again(url: str, served: Behaviour, ranges: bool) -> None:
    served.ranges, served.cut_after = ranges, (20_000, 2)
    assert resolve(url, patience=QUICK).read_bytes() == served.content
    assert len(served.requests) == 3
    assert served.requests[1]["Range"] == "bytes=20000-"
    assert served.requests[1]["If-Range"] == '"one"'
    if ranges:
        assert served.sent == len(served.content)


def test_a_download_goes_on_in_the_next_command(url: str, served: Behaviour) -> None:
    served.cut_after = (20_000, 1)
    with pytest.raises(RemoteError, match=r"must send the whole file \(it stopped after 20,000 bytes\): http"):
        resolve(url, patience=replace(QUICK, tries=1))
    assert resolve(url, patience=replace(QUICK, tries=1)).read_bytes() == served.content
    assert served.sent == len(served.content)


def test_a_file_that_changed_meanwhile_is_begun_anew(
    url: str, served: Behaviour, make_ticket: Callable[..., Ticket], tmp_path: Path
) -> None:
    served.cut_after = (20_000, 1)
    with pytest.raises(RemoteError):
        resolve(url, patience=replace(QUICK, tries=1))
    save_ticket(make_ticket("resnet14-w8", seed=1), tmp_path / "other.st")
    served.content, served.etag = (tmp_path / "other.st").read_bytes(), '"two"'
    assert resolve(url).read_bytes() == served.content


def test_a_shorter_file_than_what_is_there_is_begun_anew(
    url: str, served: Behaviour, make_ticket: Callable[..., Ticket], tmp_path: Path
) -> None:
    served.cut_after = (20_000, 1)
    with pytest.raises(RemoteError):
        resolve(url, patience=replace(QUICK, tries=1))
    save_ticket(make_ticket("resnet8-w1"), tmp_path / "small.st")
    served.content = (tmp_path / "small.st").read_bytes()  # under the same tag
    assert len(served.content) < 20_000
    assert resolve(url, patience=QUICK).read_bytes() == served.content


def test_a_server_without_tags_is_never_gone_on_with(url: str, served: Behaviour) -> None:
    served.etag, served.cut_after = None, (20_000, 1)
    assert resolve(url, patience=QUICK).read_bytes() == served.content
    assert all("Range" not in request for request in served.requests)
    resolve(url)
    assert served.sent > 2 * len(served.content)


def test_many_at_once_fetch_once(url: str, served: Behaviour) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: resolve(url), range(8)))
    assert len(paths) == 1
    assert paths.pop().read_bytes() == served.content
    assert served.sent == len(served.content)


def test_who_waits_too_long_for_another_process_says_so(url: str, served: Behaviour) -> None:
    served.gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(resolve, url)
        while not served.requests:
            pass
        with pytest.raises(RemoteError, match=r"^a ticket must be fetched by one process at a time \(process \d+"):
            resolve(url, patience=replace(QUICK, total=0.2))
        served.gate.set()
        assert first.result().read_bytes() == served.content


def test_another_ticket_than_the_named_one_is_refused_by_its_header(url: str, served: Behaviour, cache: Path) -> None:
    with pytest.raises(RemoteError, match=r"must have the id that its reference names, sha256:0{64} \(it has .*t\.st$"):
        resolve(f"{url}#sha256={'0' * 64}")
    assert files(cache) == []


def test_a_ticket_with_a_wrong_hash_never_enters_the_cache(url: str, served: Behaviour, cache: Path) -> None:
    served.content = served.content[:-1] + bytes([served.content[-1] ^ 1])
    with pytest.raises(BundleError) as caught:
        resolve(url)
    assert str(caught.value).endswith(f": {url}")
    assert str(cache) not in str(caught.value)
    assert files(cache) == []


def test_offline_is_one_line_that_tells_of_the_copy(
    served: Behaviour, serve: Serve, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(served) + "/t.st"
    resolve(url)
    served.answer = lambda request: request.send_error(404) or True
    with pytest.raises(RemoteError, match=rf"404.*what it gave before is kept: add #sha256={ticket.id[7:]} to use"):
        resolve(url)


def test_a_cache_that_cannot_be_written_is_one_line(url: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(RemoteError, match=r"^the cache folder must be writable \(.*taken\): http"):
        resolve(url, cache=tmp_path / "taken")


def test_a_large_file_is_refused_before_it_comes(url: str, served: Behaviour) -> None:
    with pytest.raises(BundleError, match=r"a file must be of at most 1,000 bytes \(got"):
        resolve(url, limits=Limits(file_bytes=1_000))
    served.sized = False
    with pytest.raises(BundleError, match=r"a file must be of at most 1,000 bytes \(got"):
        resolve(url, limits=Limits(file_bytes=1_000))
