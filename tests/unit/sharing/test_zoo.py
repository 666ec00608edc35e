"""Zoos: indices that hold, those that do not, and what is got out of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ticket_server import Behaviour

from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.errors import BundleError
from ticketkit.sharing import Patience, RemoteError, ZooError
from ticketkit.sharing.zoo import MOST_BYTES, Entry, Wanted, Zoo, parse_zoo
from ticketkit.sharing.zoo_files import build_zoo, describe, get_ticket, read_zoo, relative_url, write_zoo
from ticketkit.ticket import Ticket

Serve = Callable[..., str]
QUICK = Patience(silence=0.3, total=1.0, tries=2, pause=0.01)


@pytest.fixture
def zoo(make_ticket: Callable[..., Ticket], tmp_path: Path) -> Path:
    """A folder of two tickets with its index."""
    folder = tmp_path / "zoo"
    (folder / "deep").mkdir(parents=True)
    save_ticket(make_ticket("resnet8-w2"), folder / "a.st")
    save_ticket(make_ticket("resnet14-w2", density=0.1), folder / "deep" / "b.st")
    write_zoo(build_zoo(folder, licence="mit"), folder / "zoo.json")
    return folder


@pytest.fixture
def entry(make_ticket: Callable[..., Ticket], tmp_path: Path) -> Entry:
    save_ticket(make_ticket("resnet8-w2"), tmp_path / "e.st")
    return describe(tmp_path / "e.st", url="e.st")


def document(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Zoo(tickets=(entry,)).to_text())
    return found


def test_a_folder_is_described_as_it_is(zoo: Path, make_ticket: Callable[..., Ticket]) -> None:
    first, second = read_zoo(zoo).zoo.tickets
    ticket = make_ticket("resnet14-w2", density=0.1)
    assert (first.name, first.url, second.name, second.url) == ("a", "a.st", "b", "deep/b.st")
    assert (second.id, second.kept, second.total) == (ticket.id, ticket.kept, ticket.total)
    assert second.bytes == (zoo / "deep" / "b.st").stat().st_size
    assert (second.architecture, second.dataset, second.licence) == ("cifar-resnet14-w2", "digits", "mit")
    assert second.accuracy is None


def test_the_same_tickets_give_the_same_bytes(zoo: Path) -> None:
    text = (zoo / "zoo.json").read_text()
    assert build_zoo(zoo, licence="mit").to_text() == text == parse_zoo(text).to_text()


def test_what_a_later_version_adds_is_passed_over(entry: Entry) -> None:
    raw = document(entry)
    raw["format"]["version"], raw["more"], raw["tickets"][0]["more"] = "1.7", [1], {"x": 2}
    assert parse_zoo(json.dumps(raw)).tickets == (entry,)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "at `$.tickets[0].name`"),
        ("name", "../a", "at `$.tickets[0].name`"),
        ("name", ".a", "at `$.tickets[0].name`"),
        ("name", "a\n", "at `$.tickets[0].name`"),
        ("name", "a" * 101, "at `$.tickets[0].name`"),
        ("url", "../a.st", "a place must be https://"),
        ("url", "/etc/passwd", "a place must be https://"),
        ("url", "a/../../b.st", "a place must be https://"),
        ("url", "a/.git/b.st", "a place must be https://"),
        ("url", "a\\b.st", "a place must be https://"),
        ("url", "C:/b.st", "a place must be https://"),
        ("url", "file:///etc/passwd", "a place must be https://"),
        ("url", "http://127.0.0.1/a.st", "a place must be https://"),
        ("url", "https://me:x@host/a.st", "a URL must hold no user or password"),
        ("url", "https://host/a.st#sha256=" + "0" * 64, "without #sha256="),
        ("url", "hf://me/a.st", "a file on the Hub must be"),
        ("verify", "../report.json", "a place must be https://"),
        ("id", "sha256:" + "0" * 63, "at `$.tickets[0].id`"),
        ("id", "sha256:" + "0" * 64 + "\n", "at `$.tickets[0].id`"),
        ("bytes", 0, "at `$.tickets[0].bytes`"),
        ("bytes", True, "at `$.tickets[0].bytes`"),
        ("bytes", 1.5, "at `$.tickets[0].bytes`"),
        ("bytes", 2**53, "at `$.tickets[0].bytes`"),
        ("kept", -1, "at `$.tickets[0].kept`"),
        ("kept", 10**9, "'kept' must be at most 'total'"),
        ("total", 0, "at `$.tickets[0].total`"),
        ("accuracy", 1.5, "at `$.tickets[0].accuracy`"),
        ("accuracy", "0.9", "at `$.tickets[0].accuracy`"),
        ("licence", "MIT license", "at `$.tickets[0].licence`"),
        ("architecture", "x" * 201, "at `$.tickets[0].architecture`"),
        ("dataset", 5, "at `$.tickets[0].dataset`"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_one_line(entry: Entry, field: str, value: object, message: str) -> None:
    raw = document(entry)
    raw["tickets"][0][field] = value
    with pytest.raises(ZooError) as caught:
        parse_zoo(json.dumps(raw))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field", ["name", "url", "id", "bytes", "architecture", "kept", "total", "method"])
def test_an_entry_lacks_nothing(entry: Entry, field: str) -> None:
    raw = document(entry)
    del raw["tickets"][0][field]
    with pytest.raises(ZooError, match=f"missing required field `{field}`"):
        parse_zoo(json.dumps(raw))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an index must be JSON"),
        ("[]", "format must be named 'ticketkit-zoo'"),
        ("null", "format must be named 'ticketkit-zoo'"),
        ("{}", "format must be named 'ticketkit-zoo'"),
        ('{"format": {"name": "ticketkit-verify", "version": "1.0"}}', "format must be named 'ticketkit-zoo'"),
        ('{"format": {"name": "ticketkit-zoo"}}', "must have a version"),
        ('{"format": {"name": "ticketkit-zoo", "version": "one"}}', "must have a version"),
        ('{"format": {"name": "ticketkit-zoo", "version": "2.0"}}', "knows zoo format 1.x (got 2.0)"),
        ('{"format": {"name": "ticketkit-zoo", "version": "1.0"}, "tickets": {}}', "at `$.tickets`"),
        ('{"format": {"name": "ticketkit-zoo", "version": "1.0"}, "tickets": [1]}', "at `$.tickets[0]`"),
        ('{"format": {"name": "ticketkit-zoo", "version": "1.0"}, "tickets": [], "tickets": []}', "a key twice"),
        ('{"x": NaN}', "NaN is no number"),
        ('{"x": ' + "9" * 5000 + "}", "too many digits"),
        ("[" * 100_000, "an index must be JSON"),
        ("[" * 100 + "]" * 100, "nested"),
        ('{"\\ud800": 1, "format": {"name": "\\u001b[2J"}}', "format must be named"),
        (" " * (MOST_BYTES + 1), "an index must have at most"),
    ],
)
def test_what_is_no_index_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ZooError) as caught:
        parse_zoo(text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_more_tickets_than_an_index_may_have(entry: Entry) -> None:
    raw = document(entry)
    raw["tickets"] = [{"name": f"t{number}"} for number in range(10_001)]
    with pytest.raises(ZooError, match="length <= 10000"):
        parse_zoo(json.dumps(raw))


def test_each_name_is_there_once(entry: Entry, zoo: Path) -> None:
    raw = document(entry)
    raw["tickets"] *= 2
    with pytest.raises(ZooError, match="each name must be there once"):
        parse_zoo(json.dumps(raw))
    (zoo / "deep" / "b.st").rename(zoo / "deep" / "a.st")
    with pytest.raises(ZooError, match=r"must have a name of its own \(got 'a' again\)"):
        build_zoo(zoo)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), ["big", "small"]),
        (Wanted(arch="resnet20"), ["big"]),
        (Wanted(arch="cifar-resnet20"), ["big"]),
        (Wanted(arch="resnet*"), ["big", "small"]),
        (Wanted(arch="resnet"), []),
        (Wanted(dataset="mnist"), ["big"]),
        (Wanted(min_sparsity=0.9), ["big"]),
        (Wanted(max_sparsity=0.9), ["small"]),
        (Wanted(min_sparsity=0.75, max_sparsity=0.75), ["small"]),
        (Wanted(min_accuracy=0.5), ["big"]),
    ],
)
def test_the_wanted_ones(entry: Entry, wanted: Wanted, names: list[str]) -> None:
    big = replace(entry, name="big", architecture="cifar-resnet20", dataset="mnist", kept=5, total=100, accuracy=0.5)
    small = replace(entry, name="small", architecture="cifar-resnet8-w2", kept=25, total=100)
    assert [found.name for found in Zoo(tickets=(big, small)).select(wanted)] == names


def test_a_ticket_is_got_out_of_a_folder(zoo: Path, tmp_path: Path) -> None:
    placed = read_zoo(zoo)
    get_ticket(placed, placed.entry("b"), tmp_path / "got.st")
    assert load_ticket(tmp_path / "got.st").id == placed.entry("b").id
    with pytest.raises(BundleError, match="must not be overwritten unasked"):
        get_ticket(placed, placed.entry("b"), tmp_path / "got.st")
    get_ticket(placed, placed.entry("a"), tmp_path / "got.st", overwrite=True)
    with pytest.raises(ZooError, match="no ticket of the zoo is 'c'; see ticketkit zoo list"):
        placed.entry("c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "sha256:" + "0" * 64}, "must have the id that its reference names"),
        ({"kept": 3}, "kept count of a: 3, in truth"),
        ({"architecture": "cifar-resnet20"}, "architecture of a: cifar-resnet20, in truth cifar-resnet8-w2"),
        ({"url": "none.st"}, "a ticket must be a readable file"),
    ],
)
def test_an_index_that_lies_gives_nothing(zoo: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    placed = read_zoo(zoo)
    with pytest.raises((BundleError, ZooError), match=message):
        get_ticket(placed, replace(placed.entry("a"), **change), tmp_path / "got.st")
    assert not (tmp_path / "got.st").exists()


def serve_folder(folder: Path) -> Behaviour:
    def answer(request: BaseHTTPRequestHandler) -> bool:
        path = folder / request.path.removeprefix("/shared/")
        behaviour.content = path.read_bytes() if path.is_file() else b""
        behaviour.etag = f'"{path.name}"'
        if not path.is_file():
            request.send_error(404)
        return not path.is_file()

    behaviour = Behaviour(answer=answer)
    return behaviour


def test_a_zoo_elsewhere_gives_its_tickets(zoo: Path, serve: Serve, tmp_path: Path) -> None:
    url = serve(serve_folder(zoo))
    for place in (f"{url}/shared/", f"{url}/shared/zoo.json"):
        placed = read_zoo(place)
        assert str(placed.place) == f"{url}/shared/zoo.json"
        assert placed.zoo == read_zoo(zoo).zoo
        assert placed.reference(placed.entry("b")).place == f"{url}/shared/deep/b.st"
    get_ticket(placed, placed.entry("b"), tmp_path / "got.st")
    assert (tmp_path / "got.st").read_bytes() == (zoo / "deep" / "b.st").read_bytes()


def test_a_zoo_on_the_hub(zoo: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = serve_folder(zoo)
    inner = behaviour.answer
    assert inner is not None

    def answer(request: BaseHTTPRequestHandler) -> bool:
        request.path = request.path.replace("/me/zoo/resolve/main/", "/shared/")
        return inner(request)

    behaviour.answer = answer
    monkeypatch.setenv("HF_ENDPOINT", serve(behaviour))
    monkeypatch.setattr("ticketkit.sharing.hub.has_client", lambda: False)
    placed = read_zoo("hf://me/zoo")
    get_ticket(placed, placed.entry("b"), tmp_path / "got.st")
    assert behaviour.requests[-1]["path"] == "/me/zoo/resolve/main/deep/b.st"


def test_an_absolute_place_stays_what_it_is(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "zoo.json").write_text(Zoo(tickets=(replace(entry, url="hf://me/repo/t.st@v1"),)).to_text())
    placed = read_zoo(tmp_path)
    reference = placed.reference(placed.zoo.tickets[0])
    assert (str(reference), reference.pin) == ("hf://me/repo/t.st@v1", entry.id)


def test_an_index_that_cannot_be_had(tmp_path: Path, serve: Serve) -> None:
    with pytest.raises(ZooError, match=r"an index must be a readable file \(No such file or directory\): .*nowhere"):
        read_zoo(tmp_path / "nowhere")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ZooError, match="must be UTF-8"):
        read_zoo(tmp_path / "binary.json")
    with pytest.raises(ZooError, match="an index has no id"):
        read_zoo(f"zoo.json#sha256={'0' * 64}")
    behaviour = Behaviour(content=b"\xff", etag=None)
    url = serve(behaviour)
    for content, message in (
        (b"\xff", "an index must be UTF-8"),
        (b"{}", "format must be named"),
        (b" " * (MOST_BYTES + 1), "at most 4,194,304 bytes"),
    ):
        for sized in (True, False):
            behaviour.content, behaviour.sized = content, sized
            with pytest.raises((RemoteError, ZooError), match=message) as caught:
                read_zoo(url + "/zoo.json", patience=QUICK)
            assert str(caught.value).endswith(f": {url}/zoo.json")
    behaviour.content, behaviour.claimed, behaviour.sized = b"{}", 50, True
    with pytest.raises(RemoteError, match="a server must send what it says"):
        read_zoo(url + "/zoo.json", patience=QUICK)
    behaviour.answer = lambda request: request.send_error(404) or True
    with pytest.raises(RemoteError, match=r"a server must give what it is asked for \(404"):
        read_zoo(url + "/zoo.json", patience=QUICK)


def test_only_an_index_is_replaced(zoo: Path) -> None:
    (zoo / "zoo.json").write_text('{"mine": true}')
    with pytest.raises(ZooError, match="format must be named"):
        write_zoo(build_zoo(zoo), zoo / "zoo.json")
    assert (zoo / "zoo.json").read_text() == '{"mine": true}'


def test_a_folder_without_a_ticket_or_with_a_bad_one(tmp_path: Path, zoo: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZooError, match="a zoo must have a ticket"):
        build_zoo(tmp_path / "empty")
    (zoo / "bad.st").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"bad\.st$"):
        build_zoo(zoo)
    (zoo / "bad.st").unlink()
    (zoo / "a.st").rename(zoo / "a b.st")
    with pytest.raises(ZooError, match=r"must follow formats/zoo-v1\.md \(.*a b\.st$"):
        build_zoo(zoo)


def test_a_place_outside_the_index_has_no_relative_url(tmp_path: Path) -> None:
    assert relative_url(tmp_path / "a" / "t.st", tmp_path) == "a/t.st"
    with pytest.raises(ZooError, match="must lie in the index's folder"):
        relative_url(tmp_path / "t.st", tmp_path / "a")
