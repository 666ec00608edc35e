"""What a verification keeps of every training that is finished, so that it need not be done again.

```
RUNS/verify/ARM-NETWORK-seed-S-DIGEST.json
```

A file is named after everything that its result depends on and holds that in full. It says what the training gave and
cost; what was trained is not kept. It appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ticketkit.atomic import remove_leftovers, write_text
from ticketkit.errors import RunError
from ticketkit.report.runs import Count, Run
from ticketkit.verify.training import Outcome

FOLDER: Final = "verify"
FORMAT: Final = {"name": "ticketkit-training", "version": "1.0"}

STALE_SECONDS: Final = 3600.0
"""Age at which a temporary file was left by a killed process: other verifications may be writing beside this one."""


class KeptTrainings:
    """The trainings that a folder holds.

    Args:
        runs: The folder that ``verify --runs`` names; made when the first training is kept.
        common: What all trainings of a verification depend on, as plain JSON values.
    """

    def __init__(self, runs: Path, common: Mapping[str, Any]) -> None:
        self._folder = runs / FOLDER
        self._common = common
        remove_leftovers(self._folder, older_than=STALE_SECONDS)

    def load(self, own: Mapping[str, Any]) -> Outcome | None:
        """What a training gave, if it is there.

        Args:
            own: What it depends on beside what all do: ``arm``, ``architecture``, ``seed``, and whatever else.

        Raises:
            RunError: If its file is damaged.
        """
        path = self._path(own)
        try:
            if not path.exists():
                return None
            found = msgspec.json.decode(path.read_bytes(), type=_Document)
        except OSError as error:
            raise RunError(f"a kept training must be readable ({error.strerror or error}): {path}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RunError(f"a kept training must be sound, or removed to be done again ({error}): {path}") from None
        if found.depends_on != self._depends_on(own):
            raise RunError(f"a kept training must be the one that its name says, or removed (it is another): {path}")
        return Outcome(run=found.run, kept=found.kept, architecture=found.architecture)

    def keep(self, own: Mapping[str, Any], outcome: Outcome) -> None:
        """Keep what a training gave; a file of the same training is replaced.

        Args:
            own: See :meth:`load`.
            outcome: What it gave.

        Raises:
            RunError: If it cannot be written; a file that was there is as it was.
        """
        path = self._path(own)
        document = {
            "format": FORMAT,
            "depends_on": self._depends_on(own),
            "architecture": outcome.architecture,
            "kept": outcome.kept,
            "run": outcome.run,
        }
        text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text, overwrite=True)
        except OSError as error:
            raise RunError(
                f"a finished training must be kept in a writable place ({error.strerror or error}): {path}"
            ) from None

    def _depends_on(self, own: Mapping[str, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({**self._common, **own}))
        return plain

    def _path(self, own: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(self._depends_on(own), sort_keys=True).encode()).hexdigest()
        arm = re.sub(r"[^A-Za-z0-9_-]+", "-", own["arm"])[:40]
        return self._folder / f"{arm}-{own['architecture']}-seed-{own['seed']}-{digest[:16]}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    depends_on: dict[str, Any]
    architecture: str
    kept: Count
    run: Run
