"""What an IMP run keeps on disk, so that a killed run goes on where it was.

```
run.json         what is run: network, data, recipe, seed, compute; a resumed run must agree with it
rewind.st        the dense network at the rewind step
level-00.st …    the network at the end of each level's training, as a ticket of final weights
level-00.json …  accuracy and seconds of that level
training.safetensors   the newest state of the level being trained
.lock            locked while a run works in the folder; says which
```

Every file appears whole or not at all; a level is done when its ``.st`` is there. A file whose name ends in ``.tmp``
while nobody is at work was left by a killed run, and goes when the next one begins.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from ticketkit.atomic import remove_leftovers, write_text
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.errors import RunError
from ticketkit.lock import BusyError, FolderLock
from ticketkit.spare import Spare
from ticketkit.ticket import Ticket
from ticketkit.train.checkpoint import Checkpoint, label_of

CHECKPOINT_FILE = "training.safetensors"


def tidy(path: Path) -> None:
    """Remove what a run left that was killed right after its last level; nothing while somebody is at work there."""
    if (path / CHECKPOINT_FILE).exists():
        with suppress(BusyError, OSError), FolderLock(path):
            _remove_left(path)


class RunFolder:
    """The folder of one run, which nobody else works in until it is closed.

    Args:
        path: The folder; made if it does not exist.
        run: What is run, as plain JSON values.
        resume: Whether to go on with a run that the folder holds.

    Raises:
        BusyError: If another run is at work in the folder; nothing in it has been changed.
        RunError: If the folder holds a run and ``resume`` is false, or it holds another run than this one, or it cannot
            be written.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self._spare = Spare(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
        except OSError as error:
            raise _unwritable(error, path) from None
        try:
            self._begin(run, resume)
        except BaseException:
            self.close()
            raise

    def _begin(self, run: Mapping[str, Any], resume: bool) -> None:
        description = self.path / "run.json"
        try:
            if description.exists():
                if not resume:
                    raise RunError(f"a run folder must be new, or resumed with --resume (it holds a run): {self.path}")
                _check_same(json.loads(description.read_text(encoding="utf-8")), run, description)
            else:
                write_text(description, json.dumps(run, indent=2, sort_keys=True) + "\n")
        except ValueError as error:
            raise RunError(f"a run's description must be JSON ({error}): {description}") from None
        except OSError as error:
            raise _unwritable(error, self.path) from None
        _remove_left(self.path)

    def close(self) -> None:
        """Let others work in the folder."""
        self._spare.release()
        self._lock.release()

    def __enter__(self) -> Self:
        """The folder itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def reserve(self, size: int) -> None:
        """Keep room on the disk, so that one that fills up while a level is trained does not lose the level.

        What :meth:`keep` and a checkpoint find no room for, they write to that room; then it is gone, and has to be
        reserved anew.

        Args:
            size: Bytes, at least.

        Raises:
            RunError: If there is no such room, or the folder cannot be written.
        """
        try:
            self._spare.reserve(size)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise _unwritable(error, self.path) from None
            raise RunError(
                f"a run folder must have room for the end of a level, {size:,} bytes ({error.strerror}): {self.path}"
            ) from None

    def load(self, name: str) -> Ticket | None:
        """The ticket kept under a name, or None if there is none yet."""
        path = self.path / f"{name}.st"
        return load_ticket(path) if path.exists() else None

    def keep(self, name: str, ticket: Ticket) -> None:
        """Keep a ticket under a name.

        Raises:
            BundleError: If it cannot be written; one of that name is as it was.
        """
        path = self.path / f"{name}.st"
        self._spare.used_by(lambda: save_ticket(ticket, path, overwrite=True))

    def load_notes(self, name: str) -> dict[str, Any]:
        """The notes kept under a name; empty if there are none."""
        path = self.path / f"{name}.json"
        try:
            notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (OSError, ValueError) as error:
            raise RunError(f"notes of a run must be readable JSON ({error}): {path}") from None
        return notes

    def keep_notes(self, name: str, notes: Mapping[str, Any]) -> None:
        """Keep notes under a name.

        Raises:
            RunError: If they cannot be written; those of that name are as they were.
        """
        path = self.path / f"{name}.json"
        text = json.dumps(notes, indent=2, sort_keys=True) + "\n"
        try:
            self._spare.used_by(lambda: write_text(path, text, overwrite=True))
        except OSError as error:
            raise RunError(f"notes of a run must be written ({error.strerror or error}): {path}") from None

    def checkpoint(self, label: str, interval: float) -> Checkpoint:
        """The checkpoint of the training with this label."""
        return Checkpoint(path=self.path / CHECKPOINT_FILE, label=label, interval=interval, spare=self._spare)


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _remove_left(path: Path) -> None:
    """Remove temporary files, and the checkpoint of a level that is done."""
    remove_leftovers(path)
    label = label_of(path / CHECKPOINT_FILE)
    if label is not None and (path / f"{label}.st").exists():
        with suppress(OSError):  # it is in nobody's way
            (path / CHECKPOINT_FILE).unlink(missing_ok=True)


def _unwritable(error: OSError, path: Path) -> RunError:
    return RunError(f"a run folder must be writable ({error.strerror or error}): {path}")


def _check_same(found: Any, run: Mapping[str, Any], path: Path) -> None:
    difference = _difference("", found, json.loads(json.dumps(run)))
    if difference is not None:
        field, was, got = difference
        raise RunError(
            f"a resumed run must be the one the folder holds: {field} was {_short(was)} (got {_short(got)}): {path}"
        )


def _difference(field: str, found: Any, wanted: Any) -> tuple[str, Any, Any] | None:
    """The first field in which two JSON values differ, by its path, with both values."""
    if found == wanted:
        return None
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            inner = _difference(f"{field}.{key}" if field else key, found.get(key), wanted.get(key))
            if inner is not None:
                return inner
    return field or "its description", found, wanted


def _short(value: Any, limit: int = 60) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= limit else text[: limit - 1] + "…"
