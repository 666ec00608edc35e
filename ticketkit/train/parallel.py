"""Several trainings at once in one process, each in a thread of its own and, on CUDA, on a stream of its own.

A training of a small network leaves most of a device idle: on the CPU it uses one core, on a GPU its kernels are
too small. PyTorch's operators hold no interpreter lock while they compute, and a captured step is one call, so threads
are enough, and each training computes exactly what it computes alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Literal, TypeVar

import torch

from ticketkit.arch import ArchSpec
from ticketkit.errors import RunError
from ticketkit.train.compute import Compute, cores
from ticketkit.train.memory import training_bytes

T = TypeVar("T")

Parallel = int | Literal["auto"]

MOST_ON_A_GPU = 8
"""What ``auto`` takes at most; ``benchmarks/gpu.py`` measures what more would bring on a given GPU."""

SHARE_OF_FREE_MEMORY = 0.8
"""What ``auto`` lets trainings take of a GPU's free memory, by estimate."""


class StoppedError(RunError):
    """A training ends because one beside it failed, or because it was interrupted."""


class Stop:
    """Says to trainings that run beside each other when they are to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """End them at their next check."""
        self._event.set()

    def check(self) -> None:
        """End the training that calls this, if it is to end; to be called now and then, such as after each epoch.

        Raises:
            StoppedError: If it is.
        """
        if self._event.is_set():
            raise StoppedError("a training must not be stopped to come to its end (it was)")


def how_many(
    parallel: Parallel, jobs: int, compute: Compute, arch: ArchSpec, shape: tuple[int, int, int], batch: int
) -> int:
    """How many of several trainings to run at once.

    Args:
        parallel: So many, or ``auto``: on the CPU as many as there are cores for their threads, on a GPU as many as
            have room in its free memory, and no more than are known to help.
        jobs: How many trainings there are.
        compute: Where they compute.
        arch: The network that they train, or the largest of them.
        shape: Channels, height and width of an image.
        batch: Images a step.

    Returns:
        From 1 to ``jobs``.

    Raises:
        RunError: If the number is less than 1.
    """
    if parallel != "auto":
        if parallel < 1:
            raise RunError(f"trainings at once must be auto, or 1 or more (got {parallel})")
        found = parallel
    elif compute.is_cuda:
        free, _ = torch.cuda.mem_get_info(compute.device)
        room = SHARE_OF_FREE_MEMORY * free / training_bytes(arch, shape, batch, compute.precision)
        found = min(int(room), MOST_ON_A_GPU)
    else:
        found = cores() // compute.threads
    return max(1, min(found, jobs))


def together(jobs: Sequence[Callable[[], T]], parallel: int, compute: Compute, stop: Stop) -> Generator[tuple[int, T]]:
    """Do jobs, so many at once, and give each one's number and result as it ends.

    With one at a time they are done one after the other, in the calling thread. An error of one ends the others at
    their next check, and so does an interruption.

    Args:
        jobs: What to do; none may wait for another, and each checks ``stop``.
        parallel: How many at once.
        compute: Where and how all of them compute.
        stop: What ends them.
    """
    if parallel == 1 or len(jobs) == 1:
        for number, job in enumerate(jobs):
            yield number, job()
        return
    with (
        compute.applied(),  # settings of the process: all threads set the same, and put back the same
        ThreadPoolExecutor(parallel, initializer=partial(_prepare_thread, compute)) as executor,
    ):
        numbers = {executor.submit(job): number for number, job in enumerate(jobs)}
        try:
            for ended in as_completed(numbers):
                yield numbers[ended], ended.result()
        finally:
            stop.set()
            executor.shutdown(wait=False, cancel_futures=True)


def _prepare_thread(compute: Compute) -> None:
    torch.set_num_threads(compute.threads)
    if compute.is_cuda:
        # A new thread works on the device's default stream, which waits for all others.
        torch.cuda.set_device(compute.device)
        torch.cuda.set_stream(torch.cuda.Stream(compute.device))  # type: ignore[no-untyped-call]
