"""Reading result files: of ``verify``, ``connect`` and ``sweep``, alone, in folders, or wrapped by a benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ticketkit.errors import TicketkitError
from ticketkit.reading import parse_json, read_text
from ticketkit.report import comparison, connection
from ticketkit.report.cells import MAX_BYTES, STUDY_FORMAT, read_study
from ticketkit.report.comparison import Report
from ticketkit.report.connection import Connection, connections_from_json

_WRAPPERS: Final = ("results", "result", "report")
"""Where a document that says more about a result keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One result document.

    Attributes:
        path: The file it is from.
        value: The parsed JSON object, with its ``format``.
        command: The command of what it was wrapped in; empty if it was not.
    """

    path: Path
    value: Mapping[str, Any]
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What some files hold.

    Attributes:
        reports: Comparisons.
        connections: Lines between trainings.
    """

    reports: tuple[Report, ...] = ()
    connections: tuple[Connection, ...] = ()


Gather = Callable[[Sequence[Document]], Results]


def _gather_reports(documents: Sequence[Document]) -> Results:
    reports = []
    for document in documents:
        report = Report.from_json(document.value, str(document.path))
        reports.append(report if report.command else dataclasses.replace(report, command=document.command))
    return Results(reports=tuple(reports))


def _gather_connections(documents: Sequence[Document]) -> Results:
    found = (one for document in documents for one in connections_from_json(document.value, str(document.path)))
    return Results(connections=tuple(found))


def _gather_studies(documents: Sequence[Document]) -> Results:
    """Put the cells of each study together; a cell is read through its study, never alone."""
    reports: list[Report] = []
    connections: list[Connection] = []
    for document in documents:
        study = read_study(document.path.parent)
        if not study.reports and not study.connections:
            done = f"{len(study.done):,} of {len(study.index.cells):,} cells are done"
            raise TicketkitError(f"a study must have at least one ticket trained ({done}): {document.path}")
        reports += study.reports
        connections += study.connections
    return Results(reports=tuple(reports), connections=tuple(connections))


GATHERERS: Final[dict[str, Gather]] = {
    comparison.FORMAT["name"]: _gather_reports,
    connection.FORMAT["name"]: _gather_connections,
    STUDY_FORMAT["name"]: _gather_studies,
}
"""By a format's name, what makes results of all the documents that have it."""


def read_results(paths: Iterable[Path]) -> Results:
    """Read results from files and folders.

    A folder gives every ``*.json`` below it that is a result of ours, by name; others are passed over. A file must be
    one. A file that is named twice is read once.

    Args:
        paths: Files and folders.

    Raises:
        TicketkitError: If a file is none of ours, cannot be read or is damaged, or if a folder has none.
    """
    documents: dict[Path, Document] = {}
    for path in paths:
        found = list(_in_folder(path) if path.is_dir() else [_in_file(path)])
        if not found:
            raise TicketkitError(f"a folder of results must hold one of {_known()} (got none): {path}")
        for document in found:
            documents.setdefault(document.path.resolve(), document)
    by_format: dict[str, list[Document]] = {}
    for document in documents.values():
        by_format.setdefault(document.value["format"]["name"], []).append(document)
    gathered = [GATHERERS[name](members) for name, members in by_format.items()]
    return Results(
        reports=tuple(report for results in gathered for report in results.reports),
        connections=tuple(one for results in gathered for one in results.connections),
    )


def _in_folder(folder: Path) -> Iterator[Document]:
    for path in sorted(folder.rglob("*.json")):
        if path.is_file() and (document := _read(path)) is not None:
            yield document


def _in_file(path: Path) -> Document:
    document = _read(path)
    if document is None:
        raise TicketkitError(f"a result must be one of {_known()} (this file is none of them): {path}")
    return document


def _known() -> str:
    return ", ".join(sorted(GATHERERS))


def _read(path: Path) -> Document | None:
    """The result in a file; None if it holds another JSON document."""
    try:
        value = parse_json(read_text(path, most=MAX_BYTES))
    except OSError as error:
        raise TicketkitError(f"a result must be a file that can be read ({error.strerror}): {path}") from None
    except ValueError as error:
        raise TicketkitError(f"a result must be JSON ({error}): {path}") from None
    if _is_ours(value):
        return Document(path=path, value=_shown(value))
    if isinstance(value, Mapping):
        for member in _WRAPPERS:
            if _is_ours(value.get(member)):
                command = value.get("command")
                return Document(
                    path=path, value=_shown(value[member]), command=_shown(command) if isinstance(command, str) else ""
                )
    return None


def _is_ours(value: object) -> bool:
    found = value.get("format") if isinstance(value, Mapping) else None
    name = found.get("name") if isinstance(found, Mapping) else None
    return isinstance(name, str) and name in GATHERERS


def _shown(value: Any) -> Any:
    """A JSON value with its texts made safe to show: control characters and lone surrogates are replaced."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(_printable(character) for character in value)
    if isinstance(value, Mapping):
        return {_shown(name): _shown(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_shown(member) for member in value]
    return value


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "�"
