"""Reading the header of a ticket elsewhere: what is asked for, and how much comes."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ticket_server import Behaviour

from ticketkit.bundle import read_header
from ticketkit.sharing import Patience, RemoteError, read_remote_header
from ticketkit.ticket import Ticket

QUICK = Patience(silence=0.5, total=2.0, tries=2, pause=0.01)


def test_only_the_header_comes(url: str, served: Behaviour, file: Path, ticket: Ticket, cache: Path) -> None:
    found, local = read_remote_header(url), read_header(file)
    assert (found.id, found.document, found.text) == (ticket.id, local.document, local.text)
    assert (found.header_bytes, found.file_bytes) == (local.header_bytes, local.file_bytes)
    assert found.path == Path("t.st")
    assert [request["Range"] for request in served.requests] == ["bytes=0-7", f"bytes=8-{local.header_bytes - 1}"]
    assert served.requests[1]["If-Range"] == '"one"'
    assert served.sent == local.header_bytes
    assert not cache.exists()


@pytest.mark.parametrize("sized", [True, False])
def test_a_server_without_ranges_is_asked_once(
    url: str, served: Behaviour, file: Path, ticket: Ticket, sized: bool
) -> None:
    served.ranges, served.sized = False, sized
    found = read_remote_header(url)
    assert (found.id, found.file_bytes) == (ticket.id, file.stat().st_size)
    assert len(served.requests) == 1


def test_a_local_ticket_is_read_where_it_is(file: Path, ticket: Ticket) -> None:
    assert read_remote_header(file).path == file
    assert read_remote_header(f"{file}#sha256={ticket.id[7:]}").id == ticket.id
    with pytest.raises(RemoteError, match="must have the id that its reference names"):
        read_remote_header(f"{file}#sha256={'0' * 64}")


def test_the_id_is_compared(url: str, ticket: Ticket) -> None:
    assert read_remote_header(f"{url}#sha256={ticket.id[7:]}").id == ticket.id
    with pytest.raises(RemoteError, match="must have the id that its reference names"):
        read_remote_header(f"{url}#sha256={'0' * 64}")


@pytest.mark.parametrize("etag", ['"one"', None])
def test_a_file_that_changes_between_the_two_is_no_mixture(url: str, served: Behaviour, etag: str | None) -> None:
    served.etag = etag

    def answer(_: BaseHTTPRequestHandler) -> bool:
        if len(served.requests) % 2 == 0:
            served.content, served.etag = b"\0" * 100, etag and f'"{len(served.requests)}"'
        return False

    whole = served.content
    served.answer = answer
    with pytest.raises(RemoteError, match="a file must stay as it is while it is read"):
        read_remote_header(url, patience=Patience(tries=1))
    served.content, served.answer = whole, None
    assert read_remote_header(url, patience=QUICK).file_bytes == len(whole)


def test_a_cut_connection_is_made_again(url: str, served: Behaviour, make_ticket: Callable[..., Ticket]) -> None:
    served.cut_after = (3, 1)
    assert read_remote_header(url, patience=QUICK).file_bytes == len(served.content)
    assert len(served.requests) == 3
