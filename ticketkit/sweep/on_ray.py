"""Running a study's tasks on a Ray cluster, which sees to machines, retries and lost workers.

Every worker writes its task's file itself, in the study's folder, which all machines must see under the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ticketkit.errors import TicketkitError
from ticketkit.sweep.laboratory import Laboratory
from ticketkit.sweep.plan import Task
from ticketkit.sweep.run import Done, do
from ticketkit.sweep.study import Study

RETRIES = 3
"""How often Ray starts a task again whose worker was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRay:
    """Does tasks on a Ray cluster.

    Attributes:
        study: The study.
        folder: Its folder, as the workers see it.
        cpus: Processors of a task.
        gpus: GPUs of a task; a fraction lets several share one.
        settings: Further arguments of the workers' :class:`Laboratory`.
        on_done: Called at the end of each task.
    """

    study: Study
    folder: Path
    cpus: float = 1
    gpus: float = 0
    settings: dict[str, Any] = field(default_factory=dict)
    on_done: Callable[[Done], None] | None = None

    def __call__(self, tasks: Sequence[Task]) -> Iterable[Done]:
        """Do them; see :data:`ticketkit.sweep.run.Doing`."""
        ray = _import_ray()
        remote = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES)(_do)
        arguments = ray.put((self.study, self.folder.resolve(), self.settings))
        running = {remote.remote(arguments, task): task for task in tasks}
        while running:
            (reference,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(reference)
            try:
                done = ray.get(reference)
            except ray.exceptions.RayError as error:  # lost more often than it is started again
                done = Done(task=task, error=f"a worker must live until its task is done ({type(error).__name__})")
            if self.on_done is not None:
                self.on_done(done)
            yield done


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a Ray cluster for the block; ``local`` starts one on this machine, which ends with it.

    Raises:
        TicketkitError: If Ray is not installed, or there is no cluster.
    """
    ray = _import_ray()
    try:
        ray.init(
            address=None if address == "local" else address,
            log_to_driver=False,
            include_dashboard=False if address == "local" else None,
            ignore_reinit_error=True,
        )
    except ConnectionError as error:
        reason = " ".join(str(error).split())[:200]
        raise TicketkitError(f"a Ray cluster must be reachable at {address!r} ({reason})") from None
    try:
        yield
    finally:
        ray.shutdown()


_laboratories: dict[tuple[Study, Path], Laboratory] = {}
"""A worker's own, so that its next task finds data and tickets in memory."""


def _do(arguments: tuple[Study, Path, dict[str, Any]], task: Task) -> Done:
    study, folder, settings = arguments
    if (study, folder) not in _laboratories:
        _laboratories.clear()
        _laboratories[study, folder] = Laboratory(study, folder, **settings)
    return do(_laboratories[study, folder], task)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise TicketkitError("--ray needs Ray: pip install 'ticketkit[ray]' (it is not installed)") from None
    return ray
