"""The page: whole in itself, well-formed, and nothing from a file is markup."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ticketkit.report.collect import Results
from ticketkit.report.comparison import Report
from ticketkit.report.connection import Connection
from ticketkit.report.figures import draw_pictures
from ticketkit.report.grouping import group_reports
from ticketkit.report.html import Markup, element, inline_svg, to_html
from ticketkit.report.judgement import verdict_sentences

VOID = {"meta"}


class Page(HTMLParser):
    """What is on a page; refuses tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(results: Results) -> str:
    return to_html(results, draw_pictures(group_reports(results.reports), results.connections))


@pytest.fixture(scope="module")
def results(make_report: Callable[..., Report], make_connection: Callable[..., Connection]) -> Results:
    arms = ["ticket", "dense", "imp", "random"]
    reports = [make_report(sparsity=s, source=f"cifar-resnet{d}", arms=arms) for s in (0.8, 0.9) for d in (14, 20)]
    return Results(reports=tuple(reports), connections=(make_connection("resnet32"),))


@pytest.fixture(scope="module")
def text(results: Results) -> str:
    return page_of(results)


def test_the_sections_stand_in_the_order_of_a_reader_s_questions(text: str) -> None:
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == [
        "Verdict",
        "Accuracy",
        "Difference to the reference",
        "Results",
        "Density by layer",
        "Mapping",
        "Linear mode connectivity",
        "Cost",
        "Provenance",
    ]


def test_nothing_is_fetched_and_nothing_runs(text: str) -> None:
    page = Page(text)
    assert not page.of("script")
    assert not page.of("link")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"@import|url\((?!#)", text)


def test_ids_are_unique_and_every_reference_leads_to_one(text: str) -> None:
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 100
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)|labelledby="([^"]+)"', text)
    assert {next(filter(None, names)) for names in references} <= set(ids)


def test_every_picture_is_sound_svg_with_a_name(text: str) -> None:
    pictures = re.findall(r"<svg\b.*?</svg>", text, flags=re.DOTALL)
    assert len(pictures) == 9
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 40
        assert root.get("width") is None
        assert root.get("viewBox")
    assert text.count("<style") == 1


def test_tables_have_scopes_and_a_row_an_arm(results: Results, text: str) -> None:
    page = Page(text)
    assert all(attributes.get("scope") in {"col", "row"} for attributes in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table")) == 2 + 1 + 2 + 1
    shown = " ".join(page.words)
    for report in results.reports:
        assert report.ticket_id in shown
        assert report.command in shown
        for sentence in verdict_sentences(report):
            assert sentence in shown
        for run in report.arm("random").runs:
            assert f"{run.seed}: {100 * run.accuracy:.2f}" in shown


def test_the_same_results_give_the_same_bytes(results: Results, text: str) -> None:
    assert page_of(results) == text


def test_nothing_from_a_file_is_markup(make_report: Callable[..., Report]) -> None:
    report = make_report(arms=["ticket", "imp"])
    hostile = '<script>alert("1")</script>'
    origin = dataclasses.replace(report.origin, order=hostile, parent=hostile, architecture=hostile)
    arms = (report.arms[0], dataclasses.replace(report.arms[1], name=hostile))
    changed = dataclasses.replace(
        report,
        arms=arms,
        architecture=hostile,
        reference=hostile,
        origin=origin,
        command=hostile,
        ticket_id=f'"{hostile}',
        setting={"dataset": {"name": hostile}, "recipe": {hostile: hostile}, "environment": {"device": hostile}},
    )
    page = Page(page_of(Results(reports=(changed,))))
    assert not page.of("script")
    assert "".join(page.words).count(hostile) > 10


def test_sections_without_anything_to_show_are_left_out(make_report: Callable[..., Report]) -> None:
    report = dataclasses.replace(make_report(arms=["ticket"], source=None), layers=())
    runs = tuple(dataclasses.replace(run, cost=None) for run in report.ticket.runs)
    bare = dataclasses.replace(report, arms=(dataclasses.replace(report.ticket, runs=runs),))
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", page_of(Results(reports=(bare,))))
    assert titles == ["Verdict", "Accuracy", "Results", "Provenance"]


def test_connections_alone_are_a_page(make_connection: Callable[..., Connection]) -> None:
    text = page_of(Results(connections=(make_connection("resnet32", 0.1),)))
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == ["Linear mode connectivity", "Provenance"]
    assert "not stable" in text


def test_elements_escape_text_and_attributes() -> None:
    made = element("td", "a<b", Markup("<b>c</b>"), class_='x"y', aria_label="&")
    assert made.strip() == '<td class="x&quot;y" aria-label="&amp;">a&lt;b<b>c</b></td>'


def test_a_picture_s_ids_get_a_prefix_but_its_text_does_not() -> None:
    svg = '<?xml version="1.0"?>\n<svg width="1pt"><style>*{}</style><path id="a" clip-path="url(#c)"/><use href="#a"/>'
    made = inline_svg(f'{svg}<text>id="a"</text></svg>', "p1", 'A "b"')
    assert made == (
        '<svg role="img" aria-label="A &quot;b&quot;"><path id="p1-a" clip-path="url(#p1-c)"/><use href="#p1-a"/>'
        '<text>id="a"</text></svg>'
    )
