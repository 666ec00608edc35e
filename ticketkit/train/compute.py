"""Where and how to compute: device, precision, threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ticketkit._version import __version__
from ticketkit.commit import running_commit
from ticketkit.errors import RunError

Precision = Literal["fp32", "tf32", "bf16"]

SMALL_IMAGE = 8
"""Up to this side length, one thread is measured to be the fastest on the CPU (ARCHITECTURE.md, "Threads")."""

WORKSPACE_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
WORKSPACES = (":4096:8", ":16:8")
"""Sizes of cuBLAS's workspace with which it repeats its results bit for bit (NVIDIA's documentation of cuBLAS, section
"Results reproducibility"); the first is the quicker one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Where and how a training computes.

    Attributes:
        device: ``cpu`` or ``cuda:n``.
        precision: Of convolutions and linear layers; weights are float32 in any case. ``bf16`` runs them in bfloat16
            by autocast, ``tf32``, on CUDA only, on tensor cores that round their inputs to 10 bits of mantissa.
        threads: Threads of the CPU's operators; of no consequence on CUDA.
        compiled: Whether ``torch.compile`` fuses the network's operators, which rounds differently.
        graphs: Whether a step is captured as a CUDA graph, which changes no result; of no consequence on the CPU.
        deterministic: Whether CUDA computes with deterministic algorithms alone, so that the same training gives the
            same bits again on the same GPU; of no consequence on the CPU, where it always does.

    Raises:
        RunError: If the CPU is to compute in ``tf32``, or operators that are fused are to be deterministic on CUDA.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    compiled: bool = False
    graphs: bool = True
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.precision == "tf32" and not self.is_cuda:
            raise RunError(f"the precision on {self.device} must be fp32 or bf16 (got tf32, which is CUDA's)")
        if self.is_cuda and self.deterministic and self.compiled:
            raise RunError(
                "what is deterministic on CUDA must not be compiled (torch.compile chooses kernels by timing)"
            )

    @property
    def captures(self) -> bool:
        """Whether steps are captured as CUDA graphs."""
        return self.is_cuda and self.graphs

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def describe(self) -> dict[str, Any]:
        """What a result can depend on, for provenance: this program, torch, the device and how it computes.

        ``commit`` is there where it is known, ``compiled`` where operators are fused. What a result cannot depend on is
        left out, so that equal tickets are equal files: threads on CUDA; on the CPU ``deterministic``.
        """
        device = torch.cuda.get_device_name(self.device) if self.is_cuda else "cpu"
        settings: dict[str, Any] = {"ticketkit": __version__}
        if (commit := running_commit()) is not None:
            settings["commit"] = commit
        settings |= {"torch": str(torch.__version__), "device": device, "precision": self.precision}
        if self.compiled:
            settings["compiled"] = True
        if not self.is_cuda:
            settings["threads"] = self.threads
        elif self.deterministic:
            settings["deterministic"] = True
        return settings

    @property
    def summary(self) -> str:
        """The same in a few words, for people."""
        how = f"{self.precision}, compiled" if self.compiled else self.precision
        if self.is_cuda:
            how += ", deterministic" if self.deterministic else ""
            return f"{torch.cuda.get_device_name(self.device)} ({self.device}), {how}"
        return f"cpu, {self.threads} thread{'' if self.threads == 1 else 's'}, {how}"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use these settings inside the block, and those of before after it.

        Threads, the precision of CUDA's float32, cuDNN's search for the fastest kernels and whether algorithms are
        deterministic are settings of the whole process: blocks of different settings must not overlap.

        Raises:
            RunError: If an operator in the block has no deterministic algorithm, or cuBLAS has been told to work in a
                way that is not deterministic.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with _cuda_settings(self.precision, self.deterministic) if self.is_cuda else nullcontext():
                yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def _cuda_settings(precision: Precision, deterministic: bool) -> Iterator[None]:
    rounding = "tf32" if precision == "tf32" else "ieee"
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    convolution = cudnn.conv  # type: ignore[attr-defined]  # torch puts it there at run time
    before = matmul.fp32_precision, convolution.fp32_precision, cudnn.benchmark
    matmul.fp32_precision, convolution.fp32_precision, cudnn.benchmark = rounding, rounding, not deterministic
    try:
        with _deterministic_algorithms() if deterministic else nullcontext():
            yield
    finally:
        matmul.fp32_precision, convolution.fp32_precision, cudnn.benchmark = before


@contextmanager
def _deterministic_algorithms() -> Iterator[None]:
    """Let CUDA compute with deterministic algorithms alone, inside the block."""
    fix_workspace()
    cudnn = torch.backends.cudnn
    memory: Any = torch.utils.deterministic
    before = cudnn.deterministic, memory.fill_uninitialized_memory
    enabled = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    # Else every new tensor is filled, lest somebody reads what nobody wrote: nothing here does, and it takes time.
    cudnn.deterministic, memory.fill_uninitialized_memory = True, False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = str(error).partition(", but you set")[0].strip()
        raise RunError(f"every operator must have a deterministic algorithm ({reason}); train without it") from error
    finally:
        cudnn.deterministic, memory.fill_uninitialized_memory = before
        torch.use_deterministic_algorithms(enabled, warn_only=only_warned)


def fix_workspace() -> None:
    """Let cuBLAS use a workspace with which it repeats itself; it looks when it is first used, so this comes before.

    The setting is a variable of the process's environment, and stays.

    Raises:
        RunError: If it is set to something else.
    """
    found = os.environ.setdefault(WORKSPACE_VARIABLE, WORKSPACES[0])
    if found not in WORKSPACES:
        allowed = " or ".join(WORKSPACES)
        raise RunError(
            f"for deterministic algorithms {WORKSPACE_VARIABLE} must be {allowed}, or not set (got {found!r})"
        )


def choose_compute(
    device: str = "auto",
    *,
    image_size: int,
    threads: int | None = None,
    precision: Precision | None = None,
    compiled: bool = False,
    graphs: bool = True,
    deterministic: bool = False,
) -> Compute:
    """Choose the device, and what is measured to be fastest on it.

    Args:
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:n``.
        image_size: Side length of the images, in pixels; on the CPU it decides the number of threads.
        threads: Number of CPU threads, instead of the default.
        precision: Instead of the default, ``bf16`` on CUDA and ``fp32`` on the CPU.
        compiled: Whether to fuse the network's operators by ``torch.compile``.
        graphs: Whether to capture a step as a CUDA graph, on CUDA.
        deterministic: Whether to compute with deterministic algorithms alone, on CUDA.

    Raises:
        RunError: If there is no such device, or it cannot compute so.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = "cuda:0"
    if device != "cpu":
        _check_cuda(device)
        if deterministic:
            fix_workspace()
    return Compute(
        device=device,
        precision=precision or ("fp32" if device == "cpu" else "bf16"),
        threads=threads or (1 if image_size <= SMALL_IMAGE else cores()),
        compiled=compiled,
        graphs=graphs,
        deterministic=deterministic,
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_cuda(device: str) -> None:
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number.isdigit():
        raise RunError(f"a device must be auto, cpu, cuda or cuda:n (got {device!r})")
    if not torch.cuda.is_available():
        raise RunError(f"CUDA must be available for device {device} (this torch, {torch.__version__}, finds no GPU)")
    if int(number) >= torch.cuda.device_count():
        raise RunError(f"a CUDA device must be one of {torch.cuda.device_count()} (got {device})")
