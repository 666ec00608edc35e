"""Progress on standard error: bars with the time left on a terminal, elsewhere a line where a training ends.

Nothing of it is shown where the user asked for quiet, and no control character goes anywhere but to a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ticketkit.cli.output import console, is_quiet

Advance = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""


def shows_bars() -> bool:
    """Whether there is somebody to look at a bar: standard error is a terminal, and nobody asked for quiet.

    Whatever the environment says of colours: ``FORCE_COLOR`` makes no pipe a terminal.
    """
    return sys.stderr.isatty() and not is_quiet()


@contextmanager
def counting(label: str) -> Iterator[Advance]:
    """A bar with the time left for something that is counted; it appears once there is progress."""
    if not shows_bars():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


@contextmanager
def bytes_bar(label: str) -> Iterator[Advance]:
    """The same for bytes, with their rate."""
    if not shows_bars():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


class TrainingProgress:
    """A bar over all the steps of several trainings, with the step rate and the time left.

    Where standard error is not a terminal, there is no bar, but a line at the end of each training.

    Args:
        steps: Steps of all trainings together.
    """

    def __init__(self, steps: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._drawn, self._quiet = shows_bars(), is_quiet()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console(stderr=True),
            transient=True,
            disable=not self._drawn,
        )
        self._task = self._bar.add_task("starting", total=steps, rate="")
        self._before = 0
        self._running: dict[object, int] = {}

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, label: str, steps: int, training: object = None) -> None:
        """Show a running training; may be called by several threads.

        Args:
            label: Which training, and how far it is.
            steps: Steps it has done so far.
            training: What tells it from the others that run beside it.
        """
        self._running[training] = steps
        completed = self._before + sum(list(self._running.values()))
        self._bar.update(self._task, description=label, completed=completed, rate=self._rate())

    def done(self, line: str, steps: int, *trainings: object) -> None:
        """Show the end of something that took so many steps in all, and which of the running trainings were its own."""
        self._before += steps
        for training in trainings or (None,):
            self._running.pop(training, None)
        completed = self._before + sum(list(self._running.values()))
        self._bar.update(self._task, completed=completed, rate=self._rate())
        if self._drawn:
            self._bar.print(line)
        elif not self._quiet:
            click.echo(line, err=True)

    def skip(self, line: str, steps: int) -> None:
        """Show a training that need not be done, and take its steps off the total."""
        total = self._bar.tasks[self._task].total or 0
        self._bar.update(self._task, total=total - steps)
        self.done(line, 0)

    def _rate(self) -> str:
        speed = self._bar.tasks[self._task].speed
        return f"{speed:.0f} steps/s" if speed else ""
