"""Fixtures of the tests that fetch: a ticket, a server of this machine, a cache of one's own, and little patience."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ticketkit.bundle import save_ticket
from ticketkit.ticket import Ticket

sys.path.insert(0, str(Path(__file__).parent))

from ticket_server import Behaviour, serving


@pytest.fixture(scope="session")
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    return make_ticket("resnet14-w8")


@pytest.fixture(scope="session")
def file(ticket: Ticket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "t.st"
    save_ticket(ticket, path)
    return path


@pytest.fixture
def served(file: Path) -> Behaviour:
    """What the server does; a test changes it."""
    return Behaviour(content=file.read_bytes())


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start a server, gone at the end of the test; gives its URL."""
    with ExitStack() as stack:
        yield lambda behaviour, **options: stack.enter_context(serving(behaviour, **options))


@pytest.fixture
def url(served: Behaviour, serve: Callable[..., str]) -> str:
    return serve(served) + "/some/t.st"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKETKIT_CACHE", str(tmp_path / "cache"))
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"
