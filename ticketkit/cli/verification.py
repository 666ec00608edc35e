"""How ``ticketkit verify`` follows its trainings: the steps they take, for the progress bar, and their log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticketkit.cli.output import percent
from ticketkit.cli.progress import TrainingProgress
from ticketkit.cli.training import Setting
from ticketkit.cli.training_log import ACCURACY, TrainingLog, run_name

if TYPE_CHECKING:
    from ticketkit.ticket import Ticket
    from ticketkit.train import Progress
    from ticketkit.train.loop import Spent
    from ticketkit.verify import RunReport


class Work:
    """Optimiser steps, by which the progress bar goes.

    Args:
        training: Steps of an arm's training.
        whole: Steps of the whole schedule.
        levels: Levels that ``imp`` and ``lrr`` train, the dense network included.
        dst_multiplier: How many times longer dynamic sparse training takes.
    """

    def __init__(self, training: int, whole: int, levels: int, dst_multiplier: int) -> None:
        self.training = training
        self._whole = whole
        self.levels = levels
        self._dst_multiplier = dst_multiplier

    @classmethod
    def of(cls, ticket: Ticket, setting: Setting, start: str, rate: float, dst_multiplier: int) -> Work:
        """The steps that verifying this ticket takes."""
        from ticketkit.verify.bench import levels_above

        whole = setting.recipe.total_steps(setting.steps_per_epoch)
        first = 0 if start == "0" else ticket.weights.step or 0
        return cls(whole - first, whole, 1 + levels_above(ticket.total, ticket.kept, rate), dst_multiplier)

    def of_arm(self, name: str) -> int:
        """Steps of one run of an arm, with what has to be trained before."""
        from ticketkit.verify import ARMS

        if name not in ARMS:  # another ticket
            return self.training
        arm = ARMS[name]
        own = self._whole * self._dst_multiplier if arm.lengthened else self.training
        return own + (self.levels * self._whole if arm.finds is not None else 0)

    def last_step_of(self, name: str) -> int:
        """The step that an arm's own training ends at."""
        from ticketkit.verify import ARMS

        return self._whole * (self._dst_multiplier if name in ARMS and ARMS[name].lengthened else 1)

    def of_all(self, names: Sequence[str]) -> int:
        """Steps of one run of each arm."""
        return sum(map(self.of_arm, names))


class Watcher:
    """Follows a verification with its progress bar and its log.

    Attributes:
        spent: Where the time of each training went.
    """

    def __init__(self, bar: TrainingProgress, log: TrainingLog, work: Work) -> None:
        self._bar = bar
        self._log = log
        self._work = work
        self.spent: list[Spent] = []

    def on_epoch(self, label: str, seed: int, progress: Progress) -> None:
        """Show and log an epoch."""
        shown = f"{label}, seed {seed}  epoch {progress.epoch}/{progress.epochs}"
        self._bar.epoch(shown, progress.step, (seed, label))
        self._log.epoch(_run(seed, label), progress)

    def on_run(self, report: RunReport) -> None:
        """Show and log the end of a training."""
        run = report.run
        self.spent.append(report.spent)
        how = "from the folder of runs" if report.resumed else f"{run.seconds:.1f} s"
        line = f"seed {run.seed}  {report.arm:<14}  accuracy {percent(run.accuracy):>8}  {how}"
        if report.resumed:
            self._bar.skip(line, self._work.of_arm(report.arm))
        else:
            self._bar.done(line, self._work.of_arm(report.arm), *self._of(report))
            for seed, label in self._of(report)[1:]:
                self._log.close(_run(seed, label))
        came = {ACCURACY: run.accuracy, "test/top5": run.top5, "test/untrained": run.untrained}
        self._log.end(_run(run.seed, report.arm), self._work.last_step_of(report.arm), came, again=report.resumed)

    def _of(self, report: RunReport) -> list[tuple[int, str]]:
        """The trainings that an arm's run consisted of."""
        from ticketkit.verify import ARMS
        from ticketkit.verify.bench import TO_REWIND_STEP, label_of_level

        finds = ARMS[report.arm].finds if report.arm in ARMS else None
        labels = [report.arm, TO_REWIND_STEP]
        if finds is not None:
            labels += [label_of_level(finds, level) for level in range(self._work.levels)]
        return [(report.run.seed, label) for label in labels]


def _run(seed: int, label: str) -> str:
    """What a log calls a training."""
    return run_name(label, f"seed-{seed}")
