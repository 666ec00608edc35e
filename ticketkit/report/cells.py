"""A study's results: what one cell's file holds, and the comparisons that all of them make up.

``formats/sweep-v1.md`` describes the files. A folder holds ``study.json``, which lists the cells, and a file for each
of them that is done; whatever reads it takes those that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ticketkit.errors import StudyError
from ticketkit.reading import parse_json, read_text, shown
from ticketkit.report.comparison import TICKET, ArmResult, LayerDensity, Origin, Report, Run
from ticketkit.report.connection import Connection, Curve
from ticketkit.report.runs import Count, Fraction

CELL_FORMAT: Final = {"name": "ticketkit-cell", "version": "1.0"}
STUDY_FORMAT: Final = {"name": "ticketkit-study", "version": "1.0"}
STUDY_FILE: Final = "study.json"
MAX_BYTES: Final = 32 * 2**20
"""The longest file of results that is read; a guard against absurd ones. An index has about 300 bytes a cell."""

Kind = Literal["find", "train", "connect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a cell stands in its study.

    Attributes:
        kind: Whether IMP runs of a network are made, an arm is trained, or its connectivity measured.
        arm: The arm's name; for ``find`` the method.
        target: The full name of the network; for ``find`` of the network that is pruned.
        seed: The run's seed.
        sparsity: The sparsity that all arms have; None for what does not depend on it.
        source: What the ticket was found on, as reports call it; None for an arm that depends on no ticket.
        policy: How the ticket was stretched, by its name in the study; None likewise.
    """

    kind: Kind
    arm: str
    target: str
    seed: int
    sparsity: float | None = None
    source: str | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketInfo:
    """The stretched ticket that a cell's arm depends on.

    Attributes:
        id: Its id.
        sparsity: Its sparsity, in [0, 1].
        origin: What it was stretched from; its ``order`` is the policy's name in the study.
        layers: Its prunable tensors.
        find_flops: Sparse FLOPs of finding its source.
    """

    id: str
    sparsity: Fraction
    origin: Origin
    layers: tuple[LayerDensity, ...]
    find_flops: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of an IMP run.

    Attributes:
        level: The level; 0 is the dense network.
        kept: Kept weights.
        accuracy: Test accuracy at its end, in [0, 1].
    """

    level: Count
    kept: Count
    accuracy: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What one cell gave.

    Attributes:
        place: Where it stands in the study.
        setting: Data, recipe and environment.
        summary: What the arm is, in one line.
        total: Prunable weights of the target.
        start_step: The step of the schedule that arms start at.
        kept: Weights it keeps: of the prunable ones, or all parameters of another, dense network; 0 for ``find``.
        architecture: The network's name, where it is not the target.
        ticket: The ticket that the arm depends on, if it does.
        run: The training, for ``train``.
        curve: The line, for ``connect``.
        levels: The levels of the run, for ``find``.
        seconds: Wall time of the whole cell.
    """

    place: Place
    setting: Mapping[str, Any]
    summary: str
    total: Annotated[int, Meta(ge=1)]
    start_step: Count = 0
    kept: Count = 0
    architecture: str | None = None
    ticket: TicketInfo | None = None
    run: Run | None = None
    curve: Curve | None = None
    levels: tuple[Level, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return {"format": dict(CELL_FORMAT), **plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEntry:
    """A cell as the study lists it, with the name of its file in the folder."""

    file: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyIndex:
    """What a study consists of.

    Attributes:
        title: What it shows.
        arms: The arms, in the order that reports have them.
        reference: The arm that the elastic hypothesis compares tickets with.
        margin: How far below it they may be, as a fraction of the test set.
        cells: Every cell, in order.
        command: The command that runs it.
    """

    title: str
    arms: tuple[str, ...]
    reference: str
    margin: float
    cells: tuple[CellEntry, ...]
    command: str = ""

    def to_json(self) -> dict[str, Any]:
        """The index as plain JSON values."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return {"format": dict(STUDY_FORMAT), **plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResults:
    """What a study's folder holds so far.

    Attributes:
        index: What it consists of.
        done: The results of the cells that are done.
        reports: A comparison for each ticket: target, sparsity, source and policy.
        connections: The lines of each ticket and of each other arm whose connectivity is measured.
    """

    index: StudyIndex
    done: tuple[CellResult, ...]
    reports: tuple[Report, ...]
    connections: tuple[Connection, ...]

    @property
    def missing(self) -> int:
        """Number of cells that are not done."""
        return len(self.index.cells) - len(self.done)


def read_study(folder: Path) -> StudyResults:
    """Read a study's folder, and put its cells together.

    Raises:
        StudyError: If it holds no study, or a file of it is not what it should be.
    """
    index = _read(folder / STUDY_FILE, STUDY_FORMAT, StudyIndex)
    for entry in index.cells:
        _check_inside(entry.file, folder / STUDY_FILE)
    results = tuple(read_cell(path) for entry in index.cells if (path := folder / entry.file).exists())
    return StudyResults(
        index=index,
        done=results,
        reports=tuple(_reports(index, results)),
        connections=tuple(_connections(index, results)),
    )


def _check_inside(file: str, index: Path) -> None:
    """Refuse a cell that lies elsewhere: a folder from a stranger says nothing of other files."""
    parts = PurePosixPath(file).parts
    if not parts or PurePosixPath(file).is_absolute() or ".." in parts or not file.isprintable():
        raise StudyError(f"a cell's file must lie in its study's folder (got {shown(file)}): {index}")


def read_cell(path: Path) -> CellResult:
    """Read one cell's file.

    Raises:
        StudyError: If it is not one.
    """
    result: CellResult = _read(path, CELL_FORMAT, CellResult)
    return result


def _read(path: Path, format_: Mapping[str, str], kind: type[Any]) -> Any:
    try:
        document = parse_json(read_text(path, most=MAX_BYTES))
    except OSError as error:
        raise StudyError(f"a study's file must be readable ({error.strerror}): {path}") from None
    except ValueError as error:
        raise StudyError(f"a study's file must be JSON ({error}): {path}") from None
    found = document.get("format") if isinstance(document, dict) else None
    if not isinstance(found, dict) or found.get("name") != format_["name"]:
        raise StudyError(f"a study's file must have the format {format_['name']} (got {shown(found)}): {path}")
    if str(found.get("version")).partition(".")[0] != "1":
        raise StudyError(f"a {format_['name']} must be of version 1.x (got {str(found.get('version'))[:20]}): {path}")
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise StudyError(f"a study's file must follow {format_['name']} 1.x: {error}: {path}") from None


def _ticket_key(place: Place) -> tuple[str, float, str, str]:
    return place.target, place.sparsity or 0.0, place.source or "", place.policy or ""


def _reports(index: StudyIndex, results: Sequence[CellResult]) -> Iterable[Report]:
    """A comparison for each ticket that has been trained, in the order of the study."""
    trained = [result for result in results if result.place.kind == "train"]
    tickets = [result for result in trained if result.place.arm == TICKET]
    for key, group in groupby(_in_study_order(index, tickets), key=lambda result: _ticket_key(result.place)):
        own = list(group)
        info = own[0].ticket
        if info is None:
            continue
        arms = [_arm(TICKET, own)]
        for name in index.arms:
            runs = [result for result in trained if result.place.arm == name and _belongs(result.place, key)]
            if name != TICKET and runs:
                arms.append(_arm(name, runs))
        names = {arm.name for arm in arms}
        yield Report(
            ticket_id=info.id,
            architecture=own[0].place.target,
            sparsity=info.sparsity,
            start_step=own[0].start_step,
            setting=own[0].setting,
            arms=tuple(arms),
            reference=index.reference if index.reference in names - {TICKET} else None,
            margin=index.margin,
            origin=replace(info.origin, architecture=own[0].place.source or info.origin.architecture),
            layers=info.layers,
            find_flops=info.find_flops,
            command=index.command,
        )


def _in_study_order(index: StudyIndex, results: Sequence[CellResult]) -> list[CellResult]:
    order: dict[tuple[str, float, str, str], int] = {}
    for entry in index.cells:
        order.setdefault(_ticket_key(entry.place), len(order))
    return sorted(results, key=lambda result: (order[_ticket_key(result.place)], result.place.seed))


def _belongs(place: Place, key: tuple[str, float, str, str]) -> bool:
    """Whether a result stands beside a ticket: the same target, and the same of whatever else it depends on."""
    target, sparsity, source, policy = key
    return (
        place.target == target
        and place.sparsity in (None, sparsity)
        and place.source in (None, source)
        and place.policy in (None, policy)
    )


def _arm(name: str, results: Sequence[CellResult]) -> ArmResult:
    first = results[0]
    runs = sorted((result.run for result in results if result.run is not None), key=lambda run: run.seed)
    return ArmResult(
        name=name,
        summary=first.summary,
        kept=first.kept,
        total=first.total,
        runs=tuple(runs),
        architecture=first.architecture,
    )


def _connections(index: StudyIndex, results: Sequence[CellResult]) -> Iterable[Connection]:
    """The lines of each arm that was connected, over the seeds; tickets under the paper's name for them."""
    several = len({entry.place.policy for entry in index.cells if entry.place.policy}) > 1
    lines = [result for result in results if result.place.kind == "connect" and result.curve is not None]
    keys = {replace(result.place, seed=0): None for result in lines}
    for key in keys:
        own = [result for result in lines if replace(result.place, seed=0) == key]
        first = own[0]
        name = "ETT" if key.arm == TICKET else key.arm
        if key.source is not None:
            name = f"{name} ← {key.source}"
        yield Connection(
            name=f"{name}, {key.policy}" if several and key.policy else name,
            ticket_id=first.ticket.id if first.ticket else "",
            architecture=key.target,
            sparsity=key.sparsity or 0.0,
            start_step=first.start_step,
            setting=first.setting,
            curves=tuple(result.curve for result in own if result.curve is not None),
            command=index.command,
        )
