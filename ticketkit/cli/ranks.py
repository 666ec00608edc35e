"""A command that ``torchrun`` starts once a rank: which of them this process is, and how they speak as one."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING

import click

from ticketkit.errors import RunError, TicketkitError

if TYPE_CHECKING:
    from ticketkit.train import Compute
    from ticketkit.train.distributed import Group

TOGETHER = frozenset({"find"})
"""The commands that several ranks can run together."""

GRACE = 5.0
"""Seconds in which a rank that is told to end must do so by itself; torchrun kills it after 30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Who this process is among the ranks, as ``torchrun`` says in the environment.

    Attributes:
        rank: Its number among all of them, from 0.
        size: How many there are; 1 where nobody started several.
        local_rank: Its number among those of this machine, from 0.
        local_size: How many these are.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def from_environment(cls) -> Place:
        """Read it.

        Raises:
            click.UsageError: If a variable is no number.
        """
        return cls(
            rank=_number("RANK", 0),
            size=_number("WORLD_SIZE", 1),
            local_rank=_number("LOCAL_RANK", 0),
            local_size=_number("LOCAL_WORLD_SIZE", 1),
        )

    def device(self, asked: str) -> str:
        """This rank's own device, of what ``--device`` asks for.

        Raises:
            click.UsageError: If several ranks are to have the same GPU.
        """
        if self.size == 1 or asked == "cpu":
            return asked
        if asked not in ("auto", "cuda"):
            raise click.UsageError(
                f"--device must be auto, cuda or cpu for several ranks, as each has a GPU of its own (got {asked})"
            )
        from torch import cuda

        return f"cuda:{self.local_rank}" if asked == "cuda" or cuda.is_available() else "cpu"

    def shared(self, compute: Compute) -> Compute:
        """The same settings with no more CPU threads than this rank's share: OMP_NUM_THREADS, or of the cores."""
        from ticketkit.train.compute import cores

        if self.size == 1 or compute.is_cuda:
            return compute
        share = _number("OMP_NUM_THREADS", max(cores() // self.local_size, 1))
        return replace(compute, threads=min(compute.threads, share))

    @contextmanager
    def after_first(self, group: Group) -> Iterator[None]:
        """Let each machine's first rank run the block before its others: it downloads, they find it done.

        Only rank 0 says anything meanwhile.
        """
        if self.local_rank:
            group.wait()
        with nullcontext() if group.leads else redirect_stderr(io.StringIO()):
            yield
        if not self.local_rank:
            group.wait()

    @contextmanager
    def joined(self, device: str) -> Iterator[Group]:
        """The group of all ranks; one alone where there is one. The block's errors are said by one rank, the first.

        Args:
            device: This rank's own.
        """
        from ticketkit.train.distributed import ALONE, RESUME, joined

        if self.size == 1:
            yield ALONE
            return
        stopped = f"the run was told to end, as torchrun tells all ranks when one is lost; {RESUME}"
        with joined(device) as group, _ends_when_told(lambda: _say_first(group, stopped)):
            try:
                yield group
            except BaseException as error:
                # From here on this rank is ending, and says at most what it says now.
                for told in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(told, signal.SIG_IGN)
                if not isinstance(error, TicketkitError | click.ClickException | KeyboardInterrupt | click.Abort):
                    group.claim()
                    raise
                if not group.claim():
                    raise click.exceptions.Exit(1) from None
                if isinstance(error, KeyboardInterrupt | click.Abort):
                    raise RunError(stopped) from None
                raise


def is_silent() -> bool:
    """Whether another one of several ranks says what there is to say of a command that ends before its ranks met."""
    place = Place.from_environment()
    return place.size > 1 and place.rank > 0


def end_ranks() -> None:
    """End one of several ranks that has done its work, before torch is taken apart; nothing where there is one.

    A thread of torch's communication may still run then, and C++ aborts a process that destroys a running thread: on a
    busy machine once in some sixty runs, with all done and written.
    """
    if Place.from_environment().size > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def refuse_ranks(command: str) -> None:
    """Refuse a command that several ranks would run, each the whole of it.

    Raises:
        click.UsageError: On rank 0. The others exit as if all were well, lest torchrun ends rank 0 before it says so.
    """
    place = Place.from_environment()
    if place.size == 1 or command in TOGETHER:
        return
    if place.rank:
        raise click.exceptions.Exit(0)
    raise click.UsageError(f"{command} must be started once, not by torchrun in {place.size} ranks as find can be")


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not value.isdecimal():
        raise click.UsageError(f"the environment's {variable} must be a number (got {value!r})")
    return int(value)


def _say_first(group: Group, line: str) -> None:
    if group.claim():
        click.echo(f"ticketkit: {line}", err=True)


@contextmanager
def _ends_when_told(say: Callable[[], None], grace: float = GRACE) -> Iterator[None]:
    """Interrupt the block on SIGTERM, and end the process where it cannot be interrupted.

    Python runs a signal's handler between two of its own instructions. A rank that waits for a lost one, inside NCCL or
    gloo, would not come to any; so a thread sees the signal too, and waits a while.

    Args:
        say: Says why the process ends, if it does so here.
        grace: Seconds until it does.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    ended = threading.Event()

    def watch() -> None:
        while received := reader.recv(1):
            if received[0] in (signal.SIGTERM, signal.SIGINT):
                if not ended.wait(grace):
                    say()
                    os._exit(1)
                return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False), signal.signal(signal.SIGTERM, interrupt)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before[0])
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, before[1])
        writer.close()
        thread.join()
        reader.close()
