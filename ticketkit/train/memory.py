"""The most memory that a piece of work needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ticketkit.arch import ArchSpec
from ticketkit.train.allocator import give_back_freed_memory
from ticketkit.train.compute import Compute, Precision
from ticketkit.train.flops import layer_outputs

KIB = 1_024

_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What Linux takes there to mean: forget the peak of resident memory (proc(5), since 4.0)."""

_STATUS = Path("/proc/self/status")


SAVED_PER_OUTPUT = 4
"""Numbers in memory at once for each one that a layer gives: itself, after normalisation, after the activation
function, and as much again for gradients and workspaces."""

BUFFERS_PER_PARAMETER = 6
"""Weights, gradients, mask, momentum, and copies of them in passing."""

WORKSPACE = 64 * 2**20
"""What libraries take for themselves, in bytes."""


def training_bytes(arch: ArchSpec, image_shape: tuple[int, int, int], batch: int, precision: Precision = "fp32") -> int:
    """Estimate the memory that a training takes on its device, the data aside.

    Args:
        arch: The network.
        image_shape: Channels, height and width of an image.
        batch: Images a step.
        precision: In which activations are kept.
    """
    size = 2 if precision == "bf16" else 4
    activations = SAVED_PER_OUTPUT * batch * layer_outputs(arch, image_shape) * size
    return activations + 4 * BUFFERS_PER_PARAMETER * arch.parameters + WORKSPACE


@dataclass(slots=True)
class PeakMemory:
    """What :func:`peak_memory` measures.

    Attributes:
        bytes: The most memory in use inside the block, once it has ended; None before, and where nothing tells.
    """

    bytes: int | None = None


@contextmanager
def peak_memory(compute: Compute) -> Iterator[PeakMemory]:
    """Measure the most memory in use inside a block.

    On a GPU it is what PyTorch had allocated there at once. On the CPU it is the resident memory of the whole process,
    libraries and data included: in the block on Linux; elsewhere, and where Linux does not let the peak be reset,
    since the process began. Windows tells neither. Blocks must not be nested, since each one resets the peak.

    Args:
        compute: Where the block computes.

    Yields:
        The measurement, filled in at the end of the block, be it by an error.
    """
    peak = PeakMemory()
    if compute.is_cuda:
        # Before the first use of CUDA there is no peak to reset, and torch says so by an error.
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats(compute.device)
    else:
        _forget_peak()
    try:
        yield peak
    finally:
        peak.bytes = torch.cuda.max_memory_allocated(compute.device) if compute.is_cuda else _peak_resident()


def _forget_peak() -> None:
    give_back_freed_memory()
    try:
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:  # not Linux, or a sandbox that guards the file: the peak is then that of the whole process
        return


def _peak_resident() -> int | None:
    """Peak of the process's resident memory, in bytes; None where the system does not tell."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    return _peak_of_process()


def _peak_of_process() -> int | None:
    """The same by POSIX's ``getrusage``, which Windows lacks; KiB on Linux and the BSDs, bytes on macOS."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return None
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB
