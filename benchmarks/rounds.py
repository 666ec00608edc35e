"""Timing things beside each other on a machine that others use too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast something was, round by round.

    Attributes:
        all: Of each round, in things a second.
    """

    all: tuple[float, ...]

    @property
    def best(self) -> float:
        """Of the fastest round: what others on the machine disturbed least."""
        return max(self.all)

    @property
    def median(self) -> float:
        """Of the round in the middle."""
        return statistics.median(self.all)

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"best": self.best, "median": self.median, "rounds": len(self.all)}


class Budget:
    """Time to spend, from now on.

    Args:
        seconds: How much there is.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; negative once it is overspent."""
        return self._end - time.monotonic()

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0


def interleaved(blocks: Mapping[str, Callable[[], float]], *, rounds: int, seconds: float) -> dict[str, Rates]:
    """Time blocks in turn, A B C A B C, so that what disturbs the machine disturbs all of them.

    A first round is not counted: in it kernels are chosen, compiled and captured.

    Args:
        blocks: Each does some work and gives its rate, in things a second.
        rounds: How often each is timed, at most.
        seconds: No round begins after so long, but each block is timed once.
    """
    for block in blocks.values():
        block()
    budget = Budget(seconds)
    found: dict[str, list[float]] = {name: [] for name in blocks}
    for number in range(rounds):
        if number and budget.spent:
            break
        for name, block in blocks.items():
            found[name].append(block())
    return {name: Rates(all=tuple(rates)) for name, rates in found.items()}


def best_seconds(function: Callable[[], Any], device: str, *, repeats: int = 5) -> float:
    """Least wall time of a function that computes on a device, waiting for it."""
    times = []
    for _ in range(repeats + 1):
        synchronise(device)
        began = time.perf_counter()
        function()
        synchronise(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def synchronise(device: str) -> None:
    """Wait until a device has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
