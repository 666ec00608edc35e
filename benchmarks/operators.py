"""Which operators a training step spends its time in, and what bounds it."""

from __future__ import annotations

from typing import Any

from floors import Machine, floor_of
from tables import show
from torch.profiler import ProfilerActivity, profile
from variants import OurTraining, Task

from ticketkit.train import Compute

SHOWN = 12
"""Operators in the table; the rest is one line."""


def profile_step(task: Task, compute: Compute, *, shrink: int = 1) -> dict[str, Any]:
    """Profile a block of our eager steps: a captured step would be one operator.

    Args:
        task: What to train.
        compute: Where and how.
        shrink: See :meth:`Machine.measured`.
    """
    training = OurTraining(task, compute)
    training.rate()
    step = min(task.batches.recipe.batch / training.rate() for _ in range(3))
    activities = [ProfilerActivity.CUDA if compute.is_cuda else ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        training.rate()
    times = {event.key: _self_time(event) for event in profiler.key_averages()}
    total = sum(times.values())
    order = sorted(times, key=lambda name: -times[name])
    shares = {name: times[name] / total for name in order[:SHOWN]} | {
        "all others": sum(times[name] for name in order[SHOWN:]) / total
    }
    machine = Machine.measured(compute, shrink=shrink)
    floor = floor_of(task.arch, task.batches.data.shape, task.batches.recipe.batch, compute, machine)
    title = f"One step of {task.arch.name}, batch {task.batches.recipe.batch}, {compute.summary}"
    rows = [[name[:44], f"{100 * share:.1f} %", 1e3 * share * step] for name, share in shares.items()]
    bounds = {"the whole step": step, "FLOP floor": floor.flop_seconds, "byte floor": floor.byte_seconds}
    rows += [[name, f"{100 * seconds / step:.1f} %", 1e3 * seconds] for name, seconds in bounds.items()]
    show(title, ["", "share", "ms"], rows)
    return {
        "network": task.arch.name,
        "step_ms": 1e3 * step,
        "shares": shares,
        "floor": floor.to_dict(),
        "machine": {"flops": machine.flops, "bytes": machine.bytes},
    }


def _self_time(event: Any) -> float:
    """Time in an operator itself, on the device where it computes; microseconds."""
    return float(event.self_device_time_total or event.self_cpu_time_total)
