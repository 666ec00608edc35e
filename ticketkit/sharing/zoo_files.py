"""Zoos on disks and servers: reading an index where it is, getting a ticket out of one, making one of files."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from ticketkit.atomic import replacing, write_text
from ticketkit.bundle import load_ticket, read_header
from ticketkit.errors import BundleError
from ticketkit.reading import read_text, shown
from ticketkit.report.comparison import Report
from ticketkit.report.sparsity import SparsityReport
from ticketkit.sharing.card import load_report
from ticketkit.sharing.download import OnProgress
from ticketkit.sharing.errors import RemoteError, ZooError
from ticketkit.sharing.front_matter import dataset_of, measured_accuracy
from ticketkit.sharing.references import HubFile, Reference, parse_hub_repo, parse_reference
from ticketkit.sharing.remote import BRIEF, CHUNK, OK, Deadline, InterruptedTransferError, Patience, ask, retried
from ticketkit.sharing.resolve import naming, request_of, resolve
from ticketkit.sharing.zoo import INDEX_NAME, MOST_BYTES, Entry, Zoo, check_place, parse_zoo

REPORT_SUFFIX = ".verify.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedZoo:
    """An index, and where it was read.

    Attributes:
        zoo: The index.
        place: Its file or URL.
    """

    zoo: Zoo
    place: Reference

    def entry(self, name: str) -> Entry:
        """The ticket of a name, or of the only name that begins so.

        Raises:
            ZooError: If there is none, or if several begin so.
        """
        found = [entry for entry in self.zoo.tickets if name and entry.name.startswith(name)]
        exact = [entry for entry in found if entry.name == name]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            names = ", ".join(entry.name for entry in found[:20])
            raise ZooError(f"a name must begin one ticket's alone (got {shown(name)}, of {names}): {self.place}")
        raise ZooError(f"no ticket of the zoo is {shown(name)}; see ticketkit zoo list: {self.place}")

    def reference(self, entry: Entry) -> Reference:
        """Where a ticket is, with the id that it must have."""
        digits = entry.id.replace(":", "=")
        if not check_place(entry.url):
            return parse_reference(f"{entry.url}#{digits}")
        match self.place.place:
            case Path() as path:
                return Reference(text=entry.url, place=path.parent / entry.url, pin=entry.id)
            case HubFile() as file:
                folder = file.path.rpartition("/")[0]
                path_there = f"{folder}/{entry.url}" if folder else entry.url
                there = HubFile(repo=file.repo, path=path_there, revision=file.revision)
                return Reference(text=f"hf://{there.repo}/{path_there}@{there.revision}", place=there, pin=entry.id)
            case str() as url:
                return parse_reference(f"{urljoin(url, entry.url)}#{digits}")


def read_zoo(place: str | os.PathLike[str], *, patience: Patience = BRIEF) -> PlacedZoo:
    """Read an index from a file, a folder that holds ``zoo.json``, a URL, or the Hub.

    Args:
        place: A path, a reference, or the same without ``zoo.json``: a folder, a URL that ends in ``/``, or
            ``hf://user/repo``.
        patience: How long to wait for a server.

    Raises:
        RemoteError: If it cannot be had.
        ZooError: If it cannot be read, or is none.
    """
    found = parse_reference(_with_name(os.fspath(place)))
    if found.pin is not None:
        raise ZooError(f"an index has no id: without #sha256= (got one): {found}")
    if isinstance(found.place, Path):
        path = found.place / INDEX_NAME if found.place.is_dir() else found.place
        found = Reference(text=os.fspath(path), place=path)
        try:
            text = read_text(path, most=MOST_BYTES)
        except OSError as error:
            raise ZooError(f"an index must be a readable file ({error.strerror or error}): {path}") from None
        except ValueError:
            raise ZooError(f"an index must be UTF-8 (it is not): {path}") from None
    else:
        with naming(found):
            text = _fetch_text(found, patience)
    try:
        return PlacedZoo(zoo=parse_zoo(text), place=found)
    except ZooError as error:
        raise ZooError(f"{error}: {found}") from None


def get_ticket(
    placed: PlacedZoo, entry: Entry, out: Path, *, overwrite: bool = False, on_progress: OnProgress | None = None
) -> Path:
    """Get a ticket out of a zoo: fetched if it is elsewhere, checked whole, and as the index describes it.

    Args:
        placed: The zoo.
        entry: The ticket.
        out: The file to write.
        overwrite: Whether an existing file may be replaced.
        on_progress: Told the bytes that are there, and those of the whole file, while it is fetched.

    Raises:
        BundleError: If it cannot be had, is not sound, or the file cannot be written.
        ZooError: If it is not what the index says.
    """
    file = resolve(placed.reference(entry), on_progress=on_progress)
    ticket = load_ticket(file, mapped=True)
    for what, said, found in (
        ("id", entry.id, ticket.id),
        ("architecture", entry.architecture, ticket.arch.name),
        ("kept count", entry.kept, ticket.kept),
        ("total", entry.total, ticket.total),
    ):
        if said != found:
            raise ZooError(f"an index must say what its tickets are ({what} of {entry.name}: {said}, in truth {found})")
    try:
        with replacing(out, overwrite=overwrite) as temporary:
            shutil.copyfile(file, temporary)
    except FileExistsError:
        raise BundleError(f"a ticket must not be overwritten unasked (a file is there already): {out}") from None
    except OSError as error:
        raise BundleError(f"a ticket must be written to a writable place ({error.strerror or error}): {out}") from None
    return out


def describe(
    ticket: Path,
    *,
    url: str,
    name: str | None = None,
    report: Report | None = None,
    report_url: str | None = None,
    licence: str | None = None,
) -> Entry:
    """Check a ticket whole, and make its entry.

    Args:
        ticket: Its file.
        url: Where it is, as the entry is to say.
        name: What it is called; None for its file's name without ``.st``.
        report: A report of ``verify`` about it.
        report_url: Where that is.
        licence: Its licence; None if nobody said one.

    Raises:
        BundleError: If the ticket is not sound.
        ZooError: If the report is about another ticket, or a field has a value that no index may have.
    """
    header = read_header(ticket)
    found = SparsityReport.of(load_ticket(ticket, mapped=True), header)
    if report is not None and report.ticket_id != found.id:
        raise ZooError(f"a report must be about its ticket, {found.id} (it is about {report.ticket_id}): {ticket}")
    entry = {
        "name": ticket.stem if name is None else name,
        "url": url,
        "id": found.id,
        "bytes": header.file_bytes,
        "architecture": found.architecture.name,
        "num_classes": found.architecture.num_classes,
        "in_channels": found.architecture.in_channels,
        "kept": found.kept,
        "total": found.total,
        "method": found.provenance.method,
        "dataset": dataset_of(found) or None,
        "accuracy": measured_accuracy(found, () if report is None else (report,)),
        "verify": report_url,
        "parent": found.provenance.parent,
        "licence": licence,
    }
    try:
        return Entry.checked(entry)
    except ValueError as error:
        raise ZooError(f"a zoo's entry must follow formats/zoo-v1.md ({error}): {ticket}") from None


def build_zoo(folder: Path, *, licence: str | None = None) -> Zoo:
    """Make the index of a folder: every ticket in it and below, with the report beside it, ``NAME.verify.json``.

    Args:
        folder: The folder.
        licence: The licence of all its tickets; None if nobody said one.

    Raises:
        BundleError: If a ticket is not sound.
        ZooError: If there is none, or two have one name.
    """
    entries = []
    for path in sorted(folder.rglob("*.st")):
        url = path.relative_to(folder).as_posix()
        beside = path.with_suffix(REPORT_SUFFIX)
        report, report_url = None, None
        if beside.exists():
            report, report_url = load_report(beside), beside.relative_to(folder).as_posix()
        entries.append(describe(path, url=url, report=report, report_url=report_url, licence=licence))
    names = [entry.name for entry in entries]
    if again := sorted({name for name in names if names.count(name) > 1}):
        raise ZooError(f"each ticket of a zoo must have a name of its own (got {again[0]!r} again): {folder}")
    if not entries:
        raise ZooError(f"a zoo must have a ticket, a file *.st (got none): {folder}")
    return Zoo().with_entries(entries)


def write_zoo(zoo: Zoo, path: Path) -> None:
    """Write an index, in place of one that is there; the file of anything else is left alone.

    Raises:
        ZooError: If there is a file that is no index, or it cannot be written.
    """
    if path.exists():
        read_zoo(path)
    try:
        write_text(path, zoo.to_text(), overwrite=True)
    except OSError as error:
        raise ZooError(f"an index must be written to a writable place ({error.strerror or error}): {path}") from None


def relative_url(file: Path, folder: Path) -> str:
    """Where a file is, relative to the folder of an index.

    Raises:
        ZooError: If it is not in that folder or below.
    """
    try:
        return file.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise ZooError(f"a ticket must lie in the index's folder, or its URL be given (got {file}): {folder}") from None


def _with_name(place: str) -> str:
    """A place that is a repository's or ends in ``/``, with the index's name behind it."""
    if place.startswith("hf://"):
        try:
            return f"hf://{parse_hub_repo(place)}/{INDEX_NAME}"
        except RemoteError:
            return place
    is_url = place.startswith(("https://", "http://"))
    return place + INDEX_NAME if is_url and urlsplit(place).path.endswith("/") else place


def _fetch_text(place: Reference, patience: Patience) -> str:
    """What a server gives at a URL, if that is little.

    Raises:
        RemoteError: If it cannot be had.
    """
    deadline = Deadline(patience.total)
    url, headers = request_of(place)

    def attempt() -> bytes:
        with ask(url, headers=headers, patience=patience, deadline=deadline) as answer:
            if answer.status != OK:
                raise answer.refused()
            content = bytearray()
            while part := answer.read(CHUNK):
                content += part
                if max(len(content), answer.length or 0) > MOST_BYTES:
                    raise RemoteError(f"an index must have at most {MOST_BYTES:,} bytes (got more)")
            if answer.length is not None and answer.length != len(content):
                text = f"a server must send what it says ({len(content):,} of {answer.length:,} bytes)"
                raise InterruptedTransferError(text)
            return bytes(content)

    content = retried(attempt, patience=patience, deadline=deadline)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RemoteError("an index must be UTF-8 (it is not)") from None
