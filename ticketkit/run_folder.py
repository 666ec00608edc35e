"""What an IMP run keeps on disk, so that a killed run goes on where it was.

```
run.json         what is run: network, data, recipe, seed, compute; a resumed run must agree with it
rewind.st        the dense network at the rewind step
level-00.st …    the network at the end of each level's training, as a ticket of final weights
level-00.json …  accuracy and seconds of that level
training.safetensors   the newest state of the level being trained
```

Every file appears whole or not at all; a level is done when its ``.st`` is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ticketkit.atomic import write_text
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.errors import RunError
from ticketkit.ticket import Ticket
from ticketkit.train.checkpoint import Checkpoint


class RunFolder:
    """The folder of one run.

    Args:
        path: The folder; made if it does not exist.
        run: What is run, as plain JSON values.
        resume: Whether to go on with a run that the folder holds.

    Raises:
        RunError: If the folder holds a run and ``resume`` is false, or it holds another run than this one.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        description = path / "run.json"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if description.exists():
                if not resume:
                    raise RunError(f"a run folder must be new, or resumed with --resume (it holds a run): {path}")
                _check_same(json.loads(description.read_text(encoding="utf-8")), run, description)
            else:
                write_text(description, json.dumps(run, indent=2, sort_keys=True) + "\n")
        except ValueError as error:
            raise RunError(f"a run's description must be JSON ({error}): {description}") from None
        except OSError as error:
            raise RunError(f"a run folder must be writable ({error.strerror or error}): {path}") from None

    def load(self, name: str) -> Ticket | None:
        """The ticket kept under a name, or None if there is none yet."""
        path = self.path / f"{name}.st"
        return load_ticket(path) if path.exists() else None

    def keep(self, name: str, ticket: Ticket) -> None:
        """Keep a ticket under a name."""
        save_ticket(ticket, self.path / f"{name}.st", overwrite=True)

    def load_notes(self, name: str) -> dict[str, Any]:
        """The notes kept under a name; empty if there are none."""
        path = self.path / f"{name}.json"
        try:
            notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except (OSError, ValueError) as error:
            raise RunError(f"notes of a run must be readable JSON ({error}): {path}") from None
        return notes

    def keep_notes(self, name: str, notes: Mapping[str, Any]) -> None:
        """Keep notes under a name."""
        write_text(self.path / f"{name}.json", json.dumps(notes, indent=2, sort_keys=True) + "\n", overwrite=True)

    def checkpoint(self, label: str, interval: float) -> Checkpoint:
        """The checkpoint of the training with this label."""
        return Checkpoint(path=self.path / "training.safetensors", label=label, interval=interval)


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
