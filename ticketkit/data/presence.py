"""Whether a data set is there, and what its folder tells without opening an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ticketkit.data.facts import DEFAULT_DIR, Facts, bytes_below
from ticketkit.data.folder import list_folder
from ticketkit.errors import DataError

State = Literal["embedded", "yes", "partly", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What is there of a data set.

    Attributes:
        facts: What is known of it anyway.
        state: ``embedded`` in ticketkit, or whether all, some or none of its files are there. They are not read: one
            that is there may be damaged.
        folder: The folder that was looked in; None if there was none to look in.
        bytes: What its files take on disk.
        train: Number of training images; None if it is not known.
        test: Number of test images; None if it is not known.
        classes: The classes' names; None if they are not known.
        reason: What a folder lacks, or what of it cannot be looked at, in one line; empty where there is nothing to
            say.
    """

    facts: Facts
    state: State
    folder: Path | None = None
    bytes: int = 0
    train: int | None = None
    test: int | None = None
    classes: tuple[str, ...] | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, as ``formats/data-v1.md`` describes them."""
        facts = self.facts
        return {
            "name": facts.name,
            "title": facts.title,
            "source": facts.source,
            "state": self.state,
            "reason": self.reason or None,
            "folder": None if self.folder is None else str(self.folder),
            "files": [*facts.megabytes],
            "bytes": self.bytes,
            "train": self.train,
            "test": self.test,
            "shape": None if facts.shape is None else [*facts.shape],
            "classes": None if self.classes is None else [*self.classes],
            "recipe": facts.recipe,
            "overrides": [*facts.overrides],
            "mirrors": facts.mirrors,
            "download_megabytes": sum(facts.megabytes.values()),
            "needs": facts.needs or None,
            "how_to": facts.how_to or None,
        }


def presence_of(facts: Facts, data_dir: Path | None = None) -> Presence:
    """Look for a data set. Nothing is downloaded, and no image is opened.

    Args:
        facts: What is known of it.
        data_dir: The folder to look in; None for its own default.
    """
    if facts.source == "own":
        return _of_folder(facts, data_dir)
    if facts.source == "embedded":
        with resources.as_file(resources.files("ticketkit.data").joinpath("digits.npz")) as path:
            return _known(facts, "embedded", None, bytes_below(path))
    folder = data_dir or DEFAULT_DIR
    missing = facts.missing(folder)
    state: State = "yes" if not missing else "no" if len(missing) == len(facts.megabytes) else "partly"
    reason = f"partly: {', '.join(missing)} is missing" if state == "partly" else ""
    if hidden := _hidden(folder / path for path in missing):
        reason = f"{state}: {hidden}"
    return _known(facts, state, folder, sum(bytes_below(folder / path) for path in facts.megabytes), reason)


def _hidden(paths: Iterable[Path]) -> str:
    """Which of some files, if any, may be there and cannot be looked at, and why."""
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return f"it must be possible to look at {path} ({error.strerror})"
    return ""


def _known(facts: Facts, state: State, folder: Path | None, size: int, reason: str = "") -> Presence:
    return Presence(
        facts=facts,
        state=state,
        folder=folder,
        bytes=size,
        train=facts.train,
        test=facts.test,
        classes=facts.classes,
        reason=reason,
    )


def _of_folder(facts: Facts, data_dir: Path | None) -> Presence:
    if data_dir is None:
        return Presence(facts=facts, state="no", reason="no: no folder was named by --data-dir")
    try:
        train, test = list_folder(data_dir)
    except DataError as error:
        return Presence(facts=facts, state="no", folder=data_dir, reason=f"no: {error}")
    return Presence(
        facts=facts,
        state="yes",
        folder=data_dir,
        bytes=sum(bytes_below(Path(path)) for part in (train, test) for path in part.paths),
        train=len(train.paths),
        test=len(test.paths),
        classes=train.classes,
    )
