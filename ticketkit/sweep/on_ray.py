"""Running a study's tasks on a Ray cluster, which sees to machines, retries and lost workers.

Every worker writes its task's file itself, in the study's folder. All machines must see that folder, and the one
that the command runs in, under the same paths.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ticketkit.errors import TicketkitError
from ticketkit.sweep.laboratory import Laboratory
from ticketkit.sweep.plan import Task
from ticketkit.sweep.run import Done, do, in_one_line
from ticketkit.sweep.study import Study

LOCAL: Final = "local"
"""The address that starts a cluster on this machine: Ray's own word for it."""

RETRIES: Final = 3
"""How often Ray starts a task again whose worker was lost."""

CONNECT_SECONDS: Final = 10.0
"""How long a cluster may take to answer. Ray itself waits for many minutes, without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRay:
    """Does tasks on a Ray cluster.

    Attributes:
        study: The study.
        folder: Its folder, as the workers see it.
        cpus: Processors of a task. What computes on them takes no more threads than that, unless ``settings`` say how
            many.
        gpus: GPUs of a task; a fraction lets several share one, and with 0 a task sees none.
        settings: Further arguments of the workers' :class:`~ticketkit.sweep.laboratory.Laboratory`.
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
        settings = {"most_threads": max(math.floor(self.cpus), 1), **self.settings}
        shared = ray.put((self.study, self.folder.resolve(), Path.cwd(), settings))
        running = {remote.remote(shared, task): task for task in tasks}
        while running:
            (reference,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(reference)
            try:
                done = ray.get(reference)
            except ray.exceptions.RayTaskError as error:  # what no task should raise, such as that a package is missing
                done = Done(task=task, error=f"a worker must be able to do its task ({in_one_line(error.cause)})")
            except ray.exceptions.RayError as error:
                lost = f"it was lost {RETRIES + 1} times, the last time with {type(error).__name__}"
                done = Done(task=task, error=f"a worker must live until its task is done ({lost})")
            if self.on_done is not None:
                self.on_done(done)
            yield done


def has_room(cpus: float, gpus: float) -> bool:
    """Whether some machine of the cluster that we are connected to has as much as a task takes, busy or not."""
    wanted = {"CPU": cpus, "GPU": gpus}
    machines = [node["Resources"] for node in _import_ray().nodes() if node["Alive"]]
    return any(all(machine.get(name, 0.0) >= amount for name, amount in wanted.items()) for machine in machines)


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a Ray cluster for the block, whose end, also by an error or an interrupt, ends what runs there for us.

    Args:
        address: ``host:port``; ``auto`` for the cluster that this machine is a part of; ``local`` to start one on this
            machine, which ends with the block.

    Raises:
        TicketkitError: If Ray is not installed, or there is no cluster.
    """
    ray = _import_ray()
    terminate = signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(sys.stderr):  # where Ray tells of lost workers; standard output is for results
        try:
            _check_answers(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise TicketkitError(f"a Ray cluster must be reachable at {address!r} ({in_one_line(error)})") from None
        signal.signal(signal.SIGTERM, terminate)  # Ray sets one of its own, which would end us without a word
        try:
            yield
        finally:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Fail at once where nobody listens; a word, or an address with another scheme than Ray's, is left to Ray."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


_laboratories: dict[tuple[Study, Path], Laboratory] = {}
"""A worker's own, so that its next task finds data and tickets in memory."""


def _do(shared: tuple[Study, Path, Path, dict[str, Any]], task: Task) -> Done:
    study, folder, working_folder, settings = shared
    if (study, folder) not in _laboratories:
        with contextlib.suppress(OSError):  # a cluster's workers begin where it was started
            os.chdir(working_folder)
        _laboratories.clear()
        _laboratories[study, folder] = Laboratory(study, folder, **settings)
    return do(_laboratories[study, folder], task)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise TicketkitError("--ray needs Ray: pip install 'ticketkit[ray]' (it is not installed)") from None
    return ray
