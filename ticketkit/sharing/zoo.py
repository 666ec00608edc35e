"""The index of a zoo: which tickets there are, and where; ``formats/zoo-v1.md`` is its specification."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta

from ticketkit.errors import BundleError, one_line
from ticketkit.fractions import WithFractions
from ticketkit.provenance import Count, Fraction, Name, Sha256
from ticketkit.reading import check_plain, shown
from ticketkit.report.grouping import short_name
from ticketkit.sharing.errors import ZooError
from ticketkit.sharing.references import parse_reference

INDEX_NAME = "zoo.json"
MOST_BYTES = 4 * 2**20
MOST_TICKETS = 10_000

Url = Annotated[str, Meta(min_length=1, max_length=2_000)]

_RELATIVE = re.compile(r"(?!\.)[A-Za-z0-9._+=,@-]{1,100}(/(?!\.)[A-Za-z0-9._+=,@-]{1,100}){0,15}")
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_MAJOR = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The format's name and version."""

    name: Literal["ticketkit-zoo"] = "ticketkit-zoo"
    version: Name = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(WithFractions):
    """A ticket of a zoo.

    Attributes:
        name: What it is called in the zoo.
        url: Where it is: relative to the index, or an absolute ``https://`` or ``hf://`` reference.
        id: Its id.
        bytes: Length of its file.
        architecture: Full name of its network.
        num_classes: Classes of its network.
        in_channels: Input channels of its network.
        kept: Its kept weights.
        total: Its prunable weights.
        method: How its mask was found.
        dataset: Name of the data it was found on; None if it does not say.
        accuracy: Test accuracy after training, in [0, 1]: of the verification, else of the ticket's own results; None
            where nothing tells.
        verify: Where a report of ``verify`` about it is, as ``url``; None for none.
        parent: Id of the ticket it was stretched from; None if it was found.
        licence: Its licence as the Hugging Face Hub names it; None if nobody said one.

    Raises:
        ValueError: If a URL is none, or more is kept than there is.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$(?!\n)", max_length=100)]
    url: Url
    id: Sha256
    bytes: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    architecture: Name
    num_classes: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    in_channels: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    kept: Count
    total: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    method: Name
    dataset: Name | None = None
    accuracy: Fraction | None = None
    verify: Url | None = None
    parent: Sha256 | None = None
    licence: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.+-]*$(?!\n)", max_length=60)] | None = None

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Make an entry of plain values, checked as a file's is.

        Raises:
            ValueError: If a value is out of its range.
        """
        return msgspec.convert(dict(values), cls)

    def __post_init__(self) -> None:
        for url in (self.url, self.verify):
            if url is not None:
                check_place(url)
        if self.kept > self.total:
            raise ValueError(f"'kept' must be at most 'total', {self.total:,} (got {self.kept:,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tickets of a zoo are wanted; None means any.

    Attributes:
        arch: The network's full or short name, or a pattern of ``*`` and ``?``.
        dataset: Name of the data.
        min_sparsity: Least sparsity, in [0, 1].
        max_sparsity: Greatest sparsity, in [0, 1].
        min_accuracy: Least accuracy, in [0, 1]; a ticket of unknown accuracy is not wanted then.
    """

    arch: str | None = None
    dataset: str | None = None
    min_sparsity: float | None = None
    max_sparsity: float | None = None
    min_accuracy: float | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether a ticket is wanted."""
        names = (entry.architecture, short_name(entry.architecture))
        return (
            (self.arch is None or any(fnmatchcase(name, self.arch) for name in names))
            and (self.dataset is None or entry.dataset == self.dataset)
            and (self.min_sparsity is None or entry.sparsity >= self.min_sparsity)
            and (self.max_sparsity is None or entry.sparsity <= self.max_sparsity)
            and (self.min_accuracy is None or (entry.accuracy is not None and entry.accuracy >= self.min_accuracy))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoo:
    """An index.

    Attributes:
        tickets: Its tickets, each name once.
        format: The format's name and version.

    Raises:
        ValueError: If two tickets have one name.
    """

    tickets: Annotated[tuple[Entry, ...], Meta(max_length=MOST_TICKETS)] = ()
    format: Format = Format()

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.tickets]
        if len(set(names)) < len(names):
            again = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"each name must be there once (got {again!r} again)")

    def select(self, wanted: Wanted) -> tuple[Entry, ...]:
        """The tickets that are wanted, in the index's order."""
        return tuple(entry for entry in self.tickets if wanted.takes(entry))

    def with_entries(self, entries: Iterable[Entry]) -> Zoo:
        """The same with entries added, each in place of one of its name; sorted by name."""
        tickets = {entry.name: entry for entry in (*self.tickets, *entries)}
        return Zoo(tickets=tuple(tickets[name] for name in sorted(tickets)))

    def to_text(self) -> str:
        """The index as JSON, the same bytes for the same tickets."""
        document = {"format": msgspec.to_builtins(Format()), "tickets": [entry_json(entry) for entry in self.tickets]}
        return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON values, its sparsity too."""
    values: dict[str, Any] = msgspec.to_builtins(entry)
    return values | {"sparsity": entry.sparsity}


def parse_zoo(text: str) -> Zoo:
    """Read an index, strictly.

    Raises:
        ZooError: If it is not one; the message does not say where it lies.
    """
    if len(text) > MOST_BYTES:
        raise ZooError(f"an index must have at most {MOST_BYTES:,} characters (got {len(text):,})")
    try:
        raw = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_whole)
        check_plain(raw)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ZooError(f"an index must be JSON ({reason})") from None
    _check_format(raw)
    try:
        return msgspec.convert(raw, Zoo)
    except msgspec.ValidationError as error:
        raise ZooError(f"an index must follow formats/zoo-v1.md: {one_line(str(error), 400)}") from None


def check_place(url: str) -> bool:
    """Check where an entry says that a file is.

    Returns:
        Whether it is relative to the index.

    Raises:
        ValueError: If it is neither relative, without leading dots, nor ``https://`` or ``hf://``.
    """
    if _RELATIVE.fullmatch(url):
        return True
    if url.startswith(("https://", "hf://")):
        try:
            reference = parse_reference(url)
        except BundleError as error:
            raise ValueError(str(error)) from None
        if reference.pin is None:
            return False
    raise ValueError(
        "a place must be https://, hf://, or relative to the index: plain names joined by /, none with a leading dot, "
        f"and without #sha256= (got {shown(url)})"
    )


def _check_format(raw: Any) -> None:
    found = raw.get("format") if isinstance(raw, Mapping) else None
    name, version = (found.get("name"), found.get("version")) if isinstance(found, Mapping) else (None, None)
    if name != "ticketkit-zoo":
        raise ZooError(f"an index's format must be named 'ticketkit-zoo' (got {shown(name)})")
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        raise ZooError(f"an index's format must have a version such as 1.0 (got {shown(version)})")
    if match[1] != _MAJOR:
        raise ZooError(f"this reader knows zoo format 1.x (got {version}); a newer ticketkit may read it")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("an object has a key twice")
    return content


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


_MOST_DIGITS: Final = 20


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("it has a number of too many digits")
    return int(digits)
