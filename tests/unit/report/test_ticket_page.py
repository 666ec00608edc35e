"""A ticket's page: whole in itself, every layer in it, and nothing from the file is markup."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticketkit.bundle import read_header, save_ticket
from ticketkit.provenance import Provenance
from ticketkit.report import ticket_page
from ticketkit.report.sparsity import SparsityReport
from ticketkit.report.ticket_page import LARGEST, to_page
from ticketkit.report.tiles import weight_image
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


class Page(HTMLParser):
    """The tags and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[..., str]:
    def make(ticket: Ticket, name: str = "t.st") -> str:
        save_ticket(ticket, tmp_path / "t.st", overwrite=True)
        return to_page(ticket, SparsityReport.of(ticket, read_header(tmp_path / "t.st")), name)

    return make


def test_facts_tables_and_a_picture_of_every_layer(make_ticket: MakeTicket, page_of: Callable[..., str]) -> None:
    ticket = stretch_ticket(make_ticket("resnet14-w2"), "20")
    text = page_of(ticket)
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == ["Ticket", "Densities", "Stages", "Layers", "Masks"]
    page = Page(text)
    shown = " ".join(page.words)
    assert ticket.id in shown
    assert str(ticket.provenance.parent) in shown
    assert "cifar-resnet14-w2 to cifar-resnet20-w2 (append)" in shown
    images = page.of("img")
    assert len(images) == len(ticket.mask)
    for image, (name, mask) in zip(images, ticket.mask.items(), strict=True):
        assert name.removesuffix(".weight") in (image["alt"] or "")
        content = base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,"))
        expected = weight_image(ticket.stored[name].decode(), mask, LARGEST)
        found = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert np.array_equal(found, expected.palette[expected.pixels])
    assert page_of(ticket) == text


def test_nothing_is_fetched_and_nothing_runs(make_ticket: MakeTicket, page_of: Callable[..., str]) -> None:
    page = Page(text := page_of(make_ticket()))
    assert not page.of("script")
    assert not page.of("link")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"@import|url\((?!#)", text)


def test_nothing_from_the_file_is_markup(make_ticket: MakeTicket, page_of: Callable[..., str]) -> None:
    hostile = '"><script>alert(1)</script>'
    provenance = Provenance(method=hostile, recipe={"name": hostile})
    page = Page(page_of(make_ticket(provenance=provenance), hostile))
    assert not page.of("script")
    assert "".join(page.words).count(hostile) >= 4


def test_control_characters_are_not_passed_on(make_ticket: MakeTicket, page_of: Callable[..., str]) -> None:
    hostile = "a\x1b[31mb\x00c\x9bd"
    text = page_of(make_ticket(provenance=Provenance(method=hostile, recipe={"name": hostile})), hostile)
    assert text.count("a\ufffd[31mb\ufffdc\ufffdd") >= 4
    assert not set(text) & {"\x1b", "\x00", "\x9b"}


def test_what_would_make_the_page_too_large_is_named(
    make_ticket: MakeTicket, page_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_page, "MOST_BYTES", 2_000)
    ticket = make_ticket()
    page = Page(page_of(ticket))
    drawn = len(page.of("img"))
    assert 0 < drawn < len(ticket.mask)
    (note,) = [words for words in page.words if words.startswith("To keep the page small")]
    assert f"{len(ticket.mask) - drawn} of {len(ticket.mask)} layers are not drawn: " in note
