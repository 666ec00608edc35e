"""Feeding many inputs to a contract, and keeping count."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import corpus
from contracts import BrokenContractError, Outcome, check_bundle, check_mapping
from mutations import make_mapping, mutate, mutate_mapping
from tally import Failure, Tally

HANG_SECONDS = 20
MOST_GROWTH = 256 * 2**20
"""How much more memory than any before it one small input may take, in bytes."""
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


class HangError(BaseException):
    """An input took so long that it was stopped; not an Exception, so that nothing takes it for an error of its own."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One process's run of a contract over inputs.

    Attributes:
        target: ``bundle`` or ``mapping``.
        folder: Where input files are written, best in memory. The last input stays there if the process dies.
        out: Where inputs that break the contract are saved, as ``crash-SHA256``.
        alarm: Whether to stop an input that hangs; libFuzzer, which does so itself, needs the alarm for that.
        tally: What came of them.
    """

    target: str
    folder: Path
    out: Path
    alarm: bool = True
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        self.tally.memory_bytes = peak_memory()

    def feed(self, data: bytes, origin: str, *, thorough: bool) -> Outcome | None:
        """Give the contract one input, and count what came of it; None if it broke the contract."""
        outcome = None
        try:
            with at_most(HANG_SECONDS) if self.alarm else nullcontext():
                if self.target == "bundle":
                    outcome = check_bundle(data, self.folder, thorough=thorough)
                else:
                    (self.folder / "input.txt").write_bytes(data)
                    outcome = check_mapping(corpus.decoded(data), thorough=thorough)
        except (BrokenContractError, HangError) as error:
            self._failed(data, origin, str(error))
        memory = peak_memory()
        growth, self.tally.memory_bytes = memory - self.tally.memory_bytes, max(memory, self.tally.memory_bytes)
        if growth > self.tally.growth_bytes:
            self.tally.growth_bytes, self.tally.hungriest = growth, origin
        if outcome is not None and growth > MOST_GROWTH:
            self._failed(data, origin, f"it took {growth / 2**20:,.0f} MiB, with a file of {len(data):,} bytes")
            return None
        if outcome is not None:
            self.tally.stages[outcome.stage] += 1
            if outcome.seconds > self.tally.slowest_s:
                self.tally.slowest_s, self.tally.slowest = outcome.seconds, origin
        return outcome

    def _failed(self, data: bytes, origin: str, line: str) -> None:
        name = f"crash-{hashlib.sha256(data).hexdigest()}{'.st' if self.target == 'bundle' else '.txt'}"
        (self.out / name).write_bytes(data)
        self.tally.failures.append(Failure(line, origin, name))


def make_input(target: str, seed: int, number: int, seeds: list[Any]) -> bytes:
    """The input of this number: it depends on nothing else, so each can be made again by itself."""
    random = Random(f"{target}:{seed}:{number}")
    if target == "bundle":
        return mutate(random.choice(seeds), random, random.choice(seeds))
    text = make_mapping(random) if random.random() < 0.5 else random.choice(seeds)
    return corpus.encoded(mutate_mapping(text, random) if random.random() < 0.7 else text)


def run_range(session: Session, seed: int, numbers: range, seeds: list[Any]) -> Tally:
    """Feed a range of inputs made by mutation; one of eight is looked at from all sides."""
    for number in numbers:
        data = make_input(session.target, seed, number, seeds)
        session.feed(data, f"seed {seed}, input {number}", thorough=number % 8 == 0)
    return session.tally


def peak_memory() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MEMORY_UNIT


def memory_folder() -> str | None:
    """A folder that lies in memory, where the system has one; None is the usual temporary folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stop what takes longer than this; in the main thread of a process only."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise HangError(f"it took more than {seconds:g} s and was stopped")

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
