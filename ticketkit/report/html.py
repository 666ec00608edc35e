"""A report as one HTML page that needs nothing else: style and pictures are in it, and it runs no script."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ticketkit.report.collect import Results
from ticketkit.report.grouping import Target, group_reports
from ticketkit.report.judgement import verdict_sentences
from ticketkit.report.table import (
    Table,
    account_table,
    accuracy_table,
    connection_provenance,
    connection_table,
    cost_table,
    hypothesis_summary,
    provenance,
    subject_of,
)

if TYPE_CHECKING:
    from ticketkit.report.figures.pictures import Kind, Picture

TITLE = "ticketkit report"

STYLE = """\
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem 1.5rem 4rem; max-width: 1120px; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; margin: 1rem 0 0.5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 0.75rem; padding-top: 0.5rem; border-top: 1px solid #ccc; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 0.5rem; }
figure { margin: 1rem 0 1.5rem; }
figure svg { display: block; width: 100%; height: auto; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figcaption, .note { max-width: 62rem; color: #444; font-size: 0.88rem; }
.scroll { overflow-x: auto; margin-top: 1.25rem; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.5rem 0; }
th, td { padding: 0.2rem 0.7rem 0.2rem 0; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
th.word, td.word { text-align: left; }
th[scope=row] { text-align: left; font-weight: 400; white-space: nowrap; }
tr.ticket th, tr.ticket td { font-weight: 700; }
td { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1rem; font-size: 0.88rem; margin: 0.5rem 0; }
dt { color: #444; }
dd { margin: 0; grid-column: 2; overflow-wrap: anywhere;
  font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; }
.verdicts dl { display: block; font-size: 1rem; }
.verdicts dt { font-weight: 600; color: inherit; margin-top: 0.75rem; }
.verdicts dd { font-family: inherit; }
.summary { font-size: 1.1rem; font-weight: 600; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; margin: 0; padding: 0; list-style: none; }
@media print { h2, figure, tr { break-inside: avoid; } }
"""


_NOT_HTML = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters that no page may hold, not even escaped, and that steer a terminal in which one is looked at."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_VOID = {"img"}
"""Elements that hold nothing, and have no closing tag."""


class Markup(str):
    """A text that is HTML already, and is not escaped again."""

    __slots__ = ()


def to_html(results: Results, pictures: Sequence[Picture], on_picture: Callable[[], None] | None = None) -> str:
    """The results as a page: verdicts, accuracies, tables, layers, mapping, connectivity, cost, provenance.

    Whatever comes from the results is escaped. The same results give the same bytes.

    Args:
        results: Reports and connections.
        pictures: Their pictures, in any order.
        on_picture: Called when a picture is done, which is what takes time.
    """
    targets = group_reports(results.reports)
    shown = _Pictures(pictures, on_picture)
    sections = [
        ("Verdict", list(_verdicts(targets))),
        ("Accuracy", shown.of("accuracy")),
        ("Difference to the reference", shown.of("difference")),
        ("Results", table_parts([accuracy_table(target, level) for target in targets for level in target.levels])),
        ("Density by layer", shown.of("layers")),
        ("Mapping", shown.of("mapping")),
        ("Linear mode connectivity", shown.of("connectivity") + _connections(results)),
        (
            "Cost",
            shown.of("cost")
            + table_parts([cost_table(target, level) for target in targets for level in target.levels])
            + shown.of("account")
            + table_parts([account_table(target) for target in targets]),
        ),
        ("Provenance", list(_provenance(targets, results))),
    ]
    return document(TITLE, _summary(results), sections)


def document(title: str, summary: str, sections: Sequence[tuple[str, Sequence[Markup]]], *, style: str = "") -> str:
    """A whole page: its title, a line below it, links to its sections, and those of them that have anything in them.

    Args:
        title: What it is.
        summary: The line.
        sections: Each section's title and parts.
        style: What it needs beside :data:`STYLE`, as CSS.
    """
    filled = [(heading, _anchor(heading), parts) for heading, parts in sections if parts]
    links = [element("li", element("a", heading, href=f"#{anchor}")) for heading, anchor, _ in filled]
    page = element(
        "html",
        element(
            "head",
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", title),
            element("style", Markup(STYLE + style)),
        ),
        element(
            "body",
            element("header", element("h1", title), element("p", summary)),
            element("nav", element("ul", *links), aria_label="Contents"),
            element(
                "main",
                *(
                    element("section", element("h2", heading, id=anchor), *parts, aria_labelledby=anchor)
                    for heading, anchor, parts in filled
                ),
            ),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{_NOT_HTML.sub(_REPLACEMENT, page)}\n"


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """One HTML element.

    Args:
        tag: Its name.
        children: What is in it: text, which is escaped, or :class:`Markup`.
        attributes: Its attributes, whose values are escaped; in their names ``_`` stands for ``-``, and one at the end
            for nothing.
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
    inside = "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    if tag in _VOID:
        return Markup(f"<{tag}{shown}>\n")
    return Markup(f"<{tag}{shown}>{inside}</{tag}>\n")


def inline_svg(text: str, prefix: str, label: str) -> Markup:
    """An SVG file as a part of a page.

    Args:
        text: The file, as matplotlib writes it.
        prefix: What is put before each of its ids, so that pictures of one page do not share any.
        label: What it shows, for those who cannot see it.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<style\b.*?</style>", "", body, flags=re.DOTALL)  # it would hold for the whole page
    body = re.sub(r"<[a-zA-Z][^<>]*>", lambda tag: _prefixed(tag[0], prefix), body)
    return Markup(re.sub(r"<svg\b[^>]*>", lambda tag: _opened(tag[0], label), body, count=1))


def _prefixed(tag: str, prefix: str) -> str:
    return re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{prefix}-", tag)


def _opened(tag: str, label: str) -> str:
    """The first tag of a picture that is as wide as the page, and is one image to a screen reader."""
    sized = re.sub(r'\s(width|height)="[^"]*"', "", tag)
    return f'{sized.removesuffix(">")} role="img" aria-label="{html.escape(label)}">'


class _Pictures:
    """The pictures as figures of a page, by what they show."""

    def __init__(self, pictures: Sequence[Picture], on_picture: Callable[[], None] | None) -> None:
        from ticketkit.report.figures.style import to_svg

        self._figures: dict[Kind, list[Markup]] = {}
        for number, picture in enumerate(pictures):
            svg = inline_svg(to_svg(picture.figure), f"p{number}", f"{picture.title}. {picture.description}")
            caption = element("figcaption", element("strong", f"{picture.title}."), picture.description)
            self._figures.setdefault(picture.kind, []).append(element("figure", svg, caption))
            if on_picture is not None:
                on_picture()

    def of(self, kind: Kind) -> list[Markup]:
        """The figures of one kind."""
        return self._figures.get(kind, [])


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _summary(results: Results) -> str:
    counts = [(len(results.reports), "comparison"), (len(results.connections), "connection")]
    return ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count)


def _verdicts(targets: Sequence[Target]) -> Iterator[Markup]:
    pairs = [
        part
        for target in targets
        for report in target.reports
        for part in (
            element("dt", subject_of(target, report)),
            *(element("dd", sentence) for sentence in reversed(verdict_sentences(report))),
        )
    ]
    if summary := hypothesis_summary([report for target in targets for report in target.reports]):
        yield element("p", summary, class_="summary")
    if pairs:
        yield element("div", element("dl", *pairs), class_="verdicts")


def table_parts(tables: Sequence[Table | None]) -> list[Markup]:
    """The tables, each with its note; None is no table."""
    return [part for table in tables if table is not None for part in _set(table)]


def _set(table: Table) -> Iterator[Markup]:
    def words(column: int) -> dict[str, str]:
        return {"class_": "word"} if column in table.left else {}

    heads = (element("th", head, scope="col", **words(column)) for column, head in enumerate(table.heads))
    rows = (
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, **words(column)) for column, cell in enumerate(row[1:], start=1)),
            **({"class_": "ticket"} if place in table.bold else {}),
        )
        for place, row in enumerate(table.rows)
    )
    body = element(
        "table", element("caption", table.title), element("thead", element("tr", *heads)), element("tbody", *rows)
    )
    yield element("div", body, class_="scroll", tabindex="0", role="region", aria_label=table.title)
    if table.note:
        yield element("p", table.note, class_="note")


def _connections(results: Results) -> list[Markup]:
    return table_parts([connection_table(results.connections)]) if results.connections else []


def _provenance(targets: Sequence[Target], results: Results) -> Iterator[Markup]:
    for target in targets:
        for report in target.reports:
            yield from _described(subject_of(target, report), provenance(report))
    for connection in results.connections:
        yield from _described(f"{connection.name}, connectivity", connection_provenance(connection))


def _described(title: str, pairs: Sequence[tuple[str, str]]) -> Iterator[Markup]:
    yield element("h3", title)
    yield definitions(pairs)


def definitions(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Labels and what each says; an empty label goes on with the one before."""
    parts = [element("dt", label) + element("dd", text) if label else element("dd", text) for label, text in pairs]
    return element("dl", *map(Markup, parts))
