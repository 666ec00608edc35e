"""The C library's allocator, set for work that asks for the same memory at every step."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""What glibc's ``mallopt`` calls the settings (malloc.h)."""

_MIB = 2**20


def keep_freed_memory() -> bool:
    """Let the process keep memory that it frees, instead of giving it back to the system and asking for it again.

    A training step on the CPU allocates its activations anew each time. glibc gives blocks of that size back at once,
    so every step of ResNet-20 with 128 images of CIFAR touches about 20,000 pages for the first time, which takes about
    a twentieth of its time. It is a setting of the whole process, which programs choose and libraries do not: the
    command line calls this, :mod:`ticketkit` otherwise never.

    Returns:
        Whether it was set: only where the C library is glibc.
    """
    if (libc := _glibc()) is None:
        return False
    # What the heap grows by is memory only once it is used. As the largest block that is not given back, older versions
    # take no more than half a heap of theirs, 32 MiB.
    kept = libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1) and libc.mallopt(_TOP_PAD, 64 * _MIB)
    return bool(kept and (libc.mallopt(_MMAP_THRESHOLD, 1024 * _MIB) or libc.mallopt(_MMAP_THRESHOLD, 32 * _MIB)))


def give_back_freed_memory() -> None:
    """Give the system what the process has freed and kept, once, so that what it takes from now on can be measured."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        _ = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):  # musl and others
        return None
    return libc
