"""Running a study: what is done stays done, what is missing is done, and what fails stops nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from ticketkit.atomic import remove_leftovers, write_text
from ticketkit.errors import StudyError, TicketkitError
from ticketkit.lock import BusyError, FolderLock, holder_of
from ticketkit.report.cells import STUDY_FILE, CellResult, Kind, StudyIndex
from ticketkit.sweep.laboratory import Laboratory
from ticketkit.sweep.plan import Plan, Task
from ticketkit.sweep.study import Study
from ticketkit.train import Progress
from ticketkit.train.parallel import Stop, StoppedError, together
from ticketkit.train.pool import Pool

STALE_SECONDS = 3600.0
"""Age at which a temporary file was left by a killed process, where shards may be writing beside this one."""

_LOCK = re.compile(r"\.lock-([0-9]+)-of-([0-9]+)")

Doing = Callable[[Sequence[Task]], Iterable["Done"]]
"""Does tasks that are independent of each other, in any order, and tells of each as it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of several equal parts of a study, for jobs that run beside each other.

    Attributes:
        number: Which part, from 1.
        count: How many there are.

    Raises:
        StudyError: If the number is not one of them.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise StudyError(f"a shard must be one of 1/{self.count} to {self.count}/{self.count} (got {self.number})")

    def of(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """This part of the tasks."""
        return tasks[self.number - 1 :: self.count]

    @contextmanager
    def alone(self, folder: Path) -> Iterator[None]:
        """Have nobody else do this part of a study; shards of the same count may be done beside it.

        Raises:
            BusyError: If another process does it, or the whole, or shards of another count, which overlap with it.
            OSError: If the folder cannot be written.
        """
        what = "a study" if self.count == 1 else f"shard {self.number}/{self.count} of a study"
        with FolderLock(folder, rule=f"{what} must be run once at a time", name=f".lock-{self.number}-of-{self.count}"):
            for path in sorted(folder.glob(".lock-*")):
                found = _LOCK.fullmatch(path.name)
                if found is None or int(found[2]) == self.count:
                    continue
                if (holder := holder_of(folder, path.name)) is not None:
                    other = "the whole of it" if found[2] == "1" else f"its shard {found[1]}/{found[2]}"
                    raise BusyError(f"{what} must not be run beside {other}", folder, holder)
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A task that has ended.

    Attributes:
        task: The task.
        result: What it gave; None if it failed.
        error: Why it failed, in one line; empty if it did not.
    """

    task: Task
    result: CellResult | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What running a study came to.

    Attributes:
        done: Tasks that were done now.
        failed: Tasks that failed.
        waiting: Cells of this shard that wait for IMP runs, of another shard or that failed.
    """

    done: tuple[Done, ...]
    failed: tuple[Done, ...]
    waiting: tuple[Task, ...]


def pending(tasks: Sequence[Task], folder: Path) -> tuple[Task, ...]:
    """Those that are not done."""
    return tuple(task for task in tasks if not (folder / task.file).exists())


def run_study(
    study: Study, plan: Plan, folder: Path, doing: Doing, *, shard: Shard | None = None, command: str = ""
) -> Outcome:
    """Do what is missing of a study, or of one shard of it.

    IMP runs come first, then the cells whose runs are there.

    Args:
        study: The study.
        plan: What there is to do for it.
        folder: Where its results are; made if it does not exist.
        doing: What does the tasks: :class:`InProcess`, or an engine.
        shard: The part to do; all of it if None.
        command: The command that runs it, for reports.

    Raises:
        BusyError: If another process does the same shard, or another part of the study that overlaps with it; nothing
            has been changed.
        StudyError: If the folder cannot be written.
    """
    shard = shard or Shard()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(shard.alone(folder))
            _begin(folder, plan.index(study, command), shard)
        except OSError as error:
            raise StudyError(f"a study's folder must be writable ({error.strerror or error}): {folder}") from None
        ended = list(doing(pending(shard.of(plan.finds), folder)))
        cells = pending(shard.of(plan.cells), folder)
        ready = [task for task in cells if all((folder / need).exists() for need in task.needs)]
        ended += doing(ready)
    return Outcome(
        done=tuple(done for done in ended if not done.error),
        failed=tuple(done for done in ended if done.error),
        waiting=tuple(task for task in cells if task not in ready),
    )


def _begin(folder: Path, index: StudyIndex, shard: Shard) -> None:
    """Write the list of the cells, and remove what killed processes left half-written."""
    write_text(folder / STUDY_FILE, json.dumps(index.to_json(), indent=1) + "\n", overwrite=True)
    for part in (folder, *(folder / kind for kind in get_args(Kind))):
        remove_leftovers(part, older_than=STALE_SECONDS if shard.count > 1 else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """Does tasks in this process, one after the other or several at once.

    Attributes:
        laboratory: What does them.
        parallel: How many at once.
        on_epoch: Called after each epoch with the task, what is trained and how far it is; by several threads, if there
            are several tasks at once.
        on_done: Called at the end of each task.
        on_wait: Called with a line that says so, again and again, while another process makes an IMP run that a task
            needs.
    """

    laboratory: Laboratory
    parallel: int = 1
    on_epoch: Callable[[Task, str, Progress], None] | None = None
    on_done: Callable[[Done], None] | None = None
    on_wait: Callable[[str], None] | None = None

    def __call__(self, tasks: Sequence[Task]) -> Iterable[Done]:
        """Do them; see :data:`Doing`."""
        stop = Stop()
        laboratories: Pool[Laboratory] = Pool()

        def wait(line: str) -> None:
            stop.check()
            if self.on_wait is not None:
                self.on_wait(line)

        self.laboratory.on_wait = wait  # those beside it are copies

        def job(task: Task) -> Done:
            def watch(label: str, progress: Progress) -> None:
                stop.check()
                if self.on_epoch is not None:
                    self.on_epoch(task, label, progress)

            if self.parallel == 1:
                return do(self.laboratory, task, watch)
            with laboratories.lent("laboratory", self.laboratory.beside) as laboratory:
                return do(laboratory, task, watch)

        jobs = [partial(job, task) for task in tasks]
        with closing(together(jobs, self.parallel, self.laboratory.compute, stop)) as ended:
            for _, done in ended:
                if self.on_done is not None:
                    self.on_done(done)
                yield done


def do(laboratory: Laboratory, task: Task, on_epoch: Callable[[str, Progress], None] | None = None) -> Done:
    """Do one task; what breaks one, such as a loss that diverges or a disk that is full, is told and not raised."""
    try:
        return Done(task=task, result=laboratory.do(task, on_epoch))
    except StoppedError:  # the study itself ends
        raise
    except TicketkitError as error:
        return Done(task=task, error=" ".join(str(error).split()))
    except (OSError, RuntimeError, MemoryError) as error:  # RuntimeError: torch's own, out of memory among them
        return Done(task=task, error=f"a task must come to its end ({in_one_line(error)})")


def in_one_line(error: BaseException, limit: int = 200) -> str:
    """An error that is not one of ours, its kind and what it says, in one line of at most so many characters."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= limit else text[: limit - 1] + "…"
