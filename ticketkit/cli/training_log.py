"""TensorBoard scalars of trainings, for ``--log-dir``: a run for each training, fed by what commands are told anyway.

```
DIR/RUN     train/loss, train/learning_rate, train/steps_per_second, test/accuracy and the like, by optimiser step
```

A run that is gone on with takes the place of what it logged before from the same step on, so no point stands twice.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ticketkit.errors import TicketkitError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from ticketkit.provenance import LevelResult
    from ticketkit.report.connection import Curve
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress

LOG_OPTION = click.option(
    "--log-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write TensorBoard scalars to this folder, a run for each training. Needs the extra tensorboard.",
)

ACCURACY: Final = "test/accuracy"
LEVELS: Final = "levels"
"""The run that holds an IMP run's levels side by side, by their number."""

_HUNDREDTHS = 10_000
"""Steps of TensorBoard are whole numbers: a sparsity is counted in hundredths of a per cent."""


@dataclass(slots=True)
class _Run:
    writer: SummaryWriter
    step: int


class TrainingLog:
    """Scalars of trainings, each a run of its own; may be told of them by several threads.

    A disk that fills up while trainings go on ends no training: it is said once, and nothing more is logged.

    Args:
        folder: Where the runs are; None logs nothing.

    Raises:
        TicketkitError: If tensorboard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._before: Callable[[threading.ExceptHookArgs], object] | None = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise TicketkitError(
                "--log-dir needs TensorBoard: pip install 'ticketkit[tensorboard]' (it is not installed)"
            ) from None
        self._make = SummaryWriter
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise TicketkitError(f"a folder of logs must be writable ({error.strerror or error}): {folder}") from None

    def __enter__(self) -> TrainingLog:
        """The log itself."""
        if self._folder is not None:
            self._before, threading.excepthook = threading.excepthook, self._on_failed_thread
        return self

    def __exit__(self, *_: object) -> None:
        """Close all runs."""
        for run in list(self._runs):
            self.close(run)
        if self._before is not None:
            threading.excepthook, self._before = self._before, None

    def _on_failed_thread(self, failed: threading.ExceptHookArgs) -> None:
        """TensorBoard's threads hand a full disk on to who writes next, who says so; they need not die of it aloud."""
        ours = type(failed.thread).__module__.startswith("tensorboard.") and isinstance(failed.exc_value, OSError)
        if not ours and self._before is not None:
            self._before(failed)

    def epoch(self, run: str, progress: Progress) -> None:
        """Log an epoch of a training.

        Args:
            run: The training's name.
            progress: How far it is.
        """
        scalars = {
            "train/loss": progress.loss,
            "train/learning_rate": progress.learning_rate,
            "train/steps_per_second": progress.steps / max(progress.seconds, 1e-9),
        }
        self._write(run, {progress.step: scalars}, first=progress.step - progress.steps + 1, in_order=True)

    def end(self, run: str, step: int, scalars: Mapping[str, float | None], *, again: bool = False) -> None:
        """Log what came of a training, and close its run.

        Args:
            run: The training's name.
            step: Where it ended, in optimiser steps; a later one if its epochs say so.
            scalars: What came of it, by tag; those that are None are left out.
            again: Whether it was found on disk instead of trained: it is logged only if it was not before.
        """
        if self._folder is None or (again and self._has_ended(run)):
            return
        known = self._runs.get(run)
        at = step if known is None else max(step, known.step)
        told = {tag: value for tag, value in scalars.items() if value is not None}
        # One that was trained before this adds to what its run holds, and takes nothing's place.
        self._write(run, {at: told}, first=at + 1)
        self.close(run)

    def level(self, ticket: Ticket, result: LevelResult) -> None:
        """Log a level of an IMP run: its accuracy, and how dense it is, over all and by stage.

        Args:
            ticket: The level's ticket.
            result: What came of it.
        """
        if self._folder is None:
            return
        scalars = {"density/all": result.density, **{f"density/{name}": d for name, d in _densities(ticket).items()}}
        self.levels(LEVELS, {result.level: (1 - result.density, result.accuracy)}, {result.level: scalars})

    def levels(
        self,
        run: str,
        results: Mapping[int, tuple[float, float]],
        more: Mapping[int, Mapping[str, float]] | None = None,
    ) -> None:
        """Log levels of an IMP run side by side, in place of all that the run held.

        Args:
            run: The run's name.
            results: Sparsity and test accuracy of each level.
            more: Further scalars of levels, by tag.
        """
        points: dict[int, dict[str, float]] = {}
        for level, (sparsity, accuracy) in results.items():
            own = {"level/accuracy": accuracy, "level/sparsity": sparsity, **((more or {}).get(level, {}))}
            points.setdefault(level, {}).update(own)
            points.setdefault(round(_HUNDREDTHS * sparsity), {})["level/accuracy_by_sparsity"] = accuracy
        self._write(run, points, first=0)

    def curve(self, run: str, curve: Curve) -> None:
        """Log the line between two trainings, point by point from 0.

        Args:
            run: The line's name.
            curve: The line.
        """
        points = {
            number: {"line/accuracy": point.accuracy, "line/loss": point.loss, "line/train_loss": point.train_loss}
            for number, point in enumerate(curve.points)
        }
        self._write(run, points, first=0)
        self.close(run)

    def close(self, run: str) -> None:
        """Close a run, if it is open."""
        with self._lock, self._surviving():
            if (known := self._runs.pop(run, None)) is not None:
                known.writer.close()

    def _write(
        self, run: str, points: Mapping[int, Mapping[str, float]], *, first: int, in_order: bool = False
    ) -> None:
        """Write scalars by step. Where a run is opened for it, what it held from step ``first`` on goes.

        So it does where scalars must come ``in_order`` and do not: another training of the same name has begun.
        """
        with self._lock, self._surviving():
            if self._folder is None:
                return
            known = self._runs.get(run)
            if known is not None and in_order and first <= known.step:
                known.writer.close()
                known = None
            if known is None:
                writer = self._make(str(self._folder / run), purge_step=first)
                known = self._runs[run] = _Run(writer=writer, step=first - 1)
            for step, scalars in points.items():
                known.step = max(known.step, step)
                for tag, value in scalars.items():
                    known.writer.add_scalar(tag, value, step)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder, self._folder, self._runs = self._folder, None, {}
            warnings.warn(
                f"scalars are logged no more ({error.strerror or error}): {folder}", RuntimeWarning, stacklevel=2
            )

    def _has_ended(self, run: str) -> bool:
        """Whether the end of a training has been logged before."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        if self._folder is None or not (self._folder / run).is_dir():
            return False
        events = EventAccumulator(str(self._folder / run), size_guidance={"scalars": 1})
        tags: dict[str, Any] = events.Reload().Tags()
        return ACCURACY in tags["scalars"]


def run_name(*parts: str) -> str:
    """What a run is called: its parts, made fit for folders, one inside the other."""
    return "/".join(re.sub(r"[^A-Za-z0-9._+-]+", "-", part).strip("-.") or "unnamed" for part in parts)


def _densities(ticket: Ticket) -> dict[str, float]:
    """Density of each stage, and of what lies outside of the stages."""
    from ticketkit.encoding import Bitmask

    counts: dict[str, tuple[int, int]] = {}
    for entry in ticket.arch.state():
        stored = ticket.stored[entry.name]
        if isinstance(stored, Bitmask):
            layer = entry.layer
            name = layer.role if layer.stage is None else f"stage-{layer.stage}"
            kept, total = counts.get(name, (0, 0))
            counts[name] = kept + stored.kept, total + stored.size
    return {name: kept / total for name, (kept, total) in counts.items()}
