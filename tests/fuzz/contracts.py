"""What must hold for every input, good or bad: the contracts that fuzzing looks for a breach of."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors
from parts import canonical

from ticketkit.arch import parse_arch
from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.encoding import DTYPES
from ticketkit.errors import BundleError, StretchError, TicketkitError
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Weights
from ticketkit.stretch import parse_stage_map, stretch_ticket
from ticketkit.ticket import Ticket, same_values

Result = TypeVar("Result")

MOST_SECONDS = 1.0
MOST_CHARACTERS = 1_000

ACCEPTED = "accepted"
STAGES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "length": r"a ticket must be a safe|a safetensors header must fit|a header must be of|a file must (be of|hold)",
        "container": r"a safetensors header must|a ticket must (be a sound safetensors file|have the one meta)",
        "JSON": r"the document must (be JSON|be a JSON object|be text|nest|hold at most|have strings)",
        "format": r"the document's format must be named|this reader knows format version",
        "canonical": r"the document must be (in canonical form|plain JSON)",
        "schema": r"the document must follow the schema",
        "id": r"the id must be",
        "layers": r".* layers?[\[ ]|a ticket must (have at least one|decode to)",
        "layout": r"a ticket must store|stored (type|shape) of",
        "tensors": r"(kept count|padding bits|SHA-256|values) of layers\.",
    }.items()
}
"""The stages of reading a bundle, in their order, and how the lines begin by which each of them refuses one."""
MAPPING_STAGES = ("grammar", "network", ACCEPTED)


class BrokenContractError(Exception):
    """Something that must hold for every input does not hold for this one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input.

    Attributes:
        stage: The stage that refused it, or :data:`ACCEPTED`.
        seconds: What the first reading took.
        line: The error's line; empty if it was accepted.
    """

    stage: str
    seconds: float
    line: str = ""


def check_bundle(data: bytes, folder: Path, *, thorough: bool = False) -> Outcome:
    """Check what :func:`load_ticket` makes of a file.

    It may raise a :class:`BundleError` and nothing else, whose message is one line that names the file, and takes less
    than a second. What it accepts is a safetensors file by the library's own judgement too, saves again to the same
    id, and loads again equal, mapped or not.

    Args:
        data: The file.
        folder: Where files may be written; best in memory.
        thorough: Whether to read it in the other ways too (mapped, and its header alone), and save it twice.

    Raises:
        BrokenContractError: Saying what does not hold.
    """
    path = folder / "input.st"
    path.write_bytes(data)
    ticket, line, seconds = _timed(lambda: load_ticket(path), BundleError)
    if line and not line.endswith(f": {path}"):
        raise BrokenContractError(f"the message does not name its file: {line!r}")
    if ticket is None:
        stage = next((name for name, pattern in STAGES.items() if pattern.match(line)), None)
        if stage is None:
            raise BrokenContractError(f"the line is of no known stage of reading: {line!r}")
        if thorough:
            _same_refusal(lambda: load_ticket(path, mapped=True), line)
            if stage == "tensors":
                read_header(path)
            else:
                _same_refusal(lambda: read_header(path), line)
        return Outcome(stage, seconds, line)
    with _nothing_raised("what was accepted"):
        _check_accepted(ticket, data, folder, thorough=thorough)
    return Outcome(ACCEPTED, seconds)


def _check_accepted(ticket: Ticket, data: bytes, folder: Path, *, thorough: bool) -> None:
    _check_container(data, ticket)
    path, again = folder / "input.st", folder / "again.st"
    if save_ticket(ticket, again, overwrite=True) != ticket.id:
        raise BrokenContractError(f"the id {ticket.id} changed when the ticket was saved")
    found = load_ticket(again)
    if found != ticket or not same_values(found, ticket):
        raise BrokenContractError("the ticket changed when it was saved and loaded again")
    if thorough:
        mapped = load_ticket(path, mapped=True)
        if mapped != ticket or not same_values(mapped, ticket) or read_header(path).id != ticket.id:
            raise BrokenContractError("the ticket is another when it is mapped, or its header read alone")
        save_ticket(found, path, overwrite=True)
        if path.read_bytes() != again.read_bytes():
            raise BrokenContractError("the ticket saves to other bytes when it is saved a second time")
    if ticket.mask.kept != ticket.kept or not repr(ticket).isprintable():
        raise BrokenContractError("the mask does not decode to the weights that are kept")


def _check_container(data: bytes, ticket: Ticket) -> None:
    try:
        found = {key: bytes(entry["data"]) for key, entry in safetensors.deserialize(data)}
    except safetensors.SafetensorError as error:
        raise BrokenContractError(f"the safetensors library refuses what was accepted ({error})") from error
    expected = [content.tobytes() for stored in ticket.stored.values() for _, content in stored.parts()]
    if sorted(found.values()) != sorted(expected):
        raise BrokenContractError("the safetensors library reads other tensors than the ticket has")
    if canonical(dict(ticket.document)) != ticket.document_text:
        raise BrokenContractError("the document is not what its text says")


def check_mapping(text: str, folder: Path | None = None, *, thorough: bool = True) -> Outcome:
    """Check what :func:`parse_stage_map` makes of a text.

    It may raise a :class:`StretchError` and nothing else. What it accepts is written to a text that parses to an equal
    mapping and is the same when it is written again; and stretching by it gives a ticket whose provenance has that
    text, or one of ticketkit's errors.

    Args:
        text: The mapping.
        folder: Not used; so that all contracts are called alike.
        thorough: Whether to stretch a ticket by the mapping.

    Raises:
        BrokenContractError: Saying what does not hold.
    """
    mapping, line, seconds = _timed(lambda: parse_stage_map(text), StretchError)
    if mapping is None:
        return Outcome("grammar", seconds, line)
    with _nothing_raised("what was accepted"):
        written = str(mapping)
        if (again := parse_stage_map(written)) != mapping or str(again) != written:
            raise BrokenContractError(f"the mapping changed when it was written and parsed again: {written[:80]!r}")
    for stages in (1, 3, len(mapping.stages)):
        _timed(lambda stages=stages: mapping.for_stages(stages), StretchError)
    units = len(mapping.stages[0])
    if not thorough or not 1 <= units <= 9:
        return Outcome(ACCEPTED, seconds)
    target = f"resnet{6 * units + 2}-w1-pad"
    ticket, line, _ = _timed(lambda: stretch_ticket(_small_ticket(), target, mapping=text), TicketkitError)
    if ticket is None:
        return Outcome("network", seconds, line)
    with _nothing_raised("the provenance"):
        recorded = parse_stage_map(ticket.provenance.transformations[-1].mapping)
    if recorded.for_stages(3) != mapping.for_stages(3):
        raise BrokenContractError(f"the provenance says another mapping than was used: {str(recorded)[:80]!r}")
    return Outcome(ACCEPTED, seconds)


def _timed(read: Callable[[], Result], expected: type[TicketkitError]) -> tuple[Result | None, str, float]:
    """What a call returns, or None and the line of its error; and how long it took, in seconds."""
    result, line = None, ""
    started = time.perf_counter()
    try:
        result = read()
    except expected as error:
        line = str(error)
    except Exception as error:
        raise BrokenContractError(_told("reading", error)) from error
    seconds = time.perf_counter() - started
    if result is None and not (line.isprintable() and 0 < len(line) <= MOST_CHARACTERS):
        raise BrokenContractError(f"the message is not one line of a sensible length ({len(line)}): {line[:200]!r}")
    if seconds > MOST_SECONDS:
        seconds = min(
            seconds, *(_seconds(read, expected) for _ in range(2))
        )  # another process may have been in the way
    if seconds > MOST_SECONDS:
        raise BrokenContractError(f"it took {seconds:.1f} s, each of three times")
    return result, line, seconds


@contextmanager
def _nothing_raised(what: str) -> Iterator[None]:
    """Let nothing be raised on the way but what says that a contract is broken."""
    try:
        yield
    except BrokenContractError:
        raise
    except Exception as error:
        raise BrokenContractError(_told(what, error)) from error


def _told(what: str, error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{what} made {where.name} raise {type(error).__name__} ({str(error)[:200]!r})"


def _seconds(read: Callable[[], object], expected: type[TicketkitError]) -> float:
    started = time.perf_counter()
    with suppress(expected):
        read()
    return time.perf_counter() - started


def _same_refusal(read: Callable[[], object], line: str) -> None:
    try:
        read()
    except BundleError as error:
        if str(error) != line:
            raise BrokenContractError(f"read otherwise, it is refused otherwise: {error!s} and {line}") from None
    else:
        raise BrokenContractError(f"read otherwise, it is accepted: {line}")


@cache
def _small_ticket() -> Ticket:
    arch = parse_arch("resnet20-w1-pad")
    tensors = {entry.name: np.zeros(entry.tensor.shape, DTYPES[entry.tensor.dtype]) for entry in arch.state()}
    masks = {name: tensors[name] == 0 for name in arch.prunable_names()}
    provenance = Provenance(method="imp")
    return Ticket.from_arrays(arch, tensors, Mask(masks), weights=Weights(role="init"), provenance=provenance)
