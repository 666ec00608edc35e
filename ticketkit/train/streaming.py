"""Images that are decoded while the device computes, by processes, and copied to it ahead of their step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ticketkit.data.files import IN_PROCESS, Decoder, ImageFiles, RandomCrops, interrupts_blocked, processors
from ticketkit.errors import DataError, RunError
from ticketkit.train.sources import EVALUATION_BATCH, Part, bordered

PIECE = 32
"""Images that a process decodes at a time: the processes share the work of a batch, so that none is waited for long."""

AHEAD = 4
"""Pieces for each process that are decoded, or wait to be taken: this bounds the memory that streaming takes."""

MEMORY_SHARE = 0.25
"""The part of the memory that decoded images may take before they are streamed: on the CPU they are held twice."""

Piece = tuple[tuple[str, ...], RandomCrops | None]
"""Files that a process decodes at a time, and what is cut out of them at random."""


def memory_budget(device: str = "auto") -> int:
    """What the decoded images of a data set may take, in bytes, before they are better streamed.

    A quarter of the machine's memory, or of what its container may use; on CUDA also at most half of the device's.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:n``; one that does not exist counts for the CPU.
    """
    budget = int(MEMORY_SHARE * _machine_memory())
    if device != "cpu" and torch.cuda.is_available():
        with suppress(RuntimeError, AssertionError, ValueError):  # whoever chooses the device will say what is wrong
            name = "cuda" if device == "auto" else device
            return min(budget, torch.cuda.get_device_properties(name).total_memory // 2)
    return budget


def _machine_memory() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 33
    with suppress(OSError, ValueError):  # no control group of version 2, or "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return memory


class StreamedImages:
    """Images that are decoded for every epoch anew. Implements :class:`~ticketkit.train.sources.ImageSource`.

    Args:
        train: The files of the training images.
        test: The files of the test images, of the same shape.
        border: Width of the black border that training images are given, in pixels.
        device: Where images are copied to.
        least: The least area of boxes that are cut out of training images, as a fraction; 0 for none.
    """

    def __init__(self, train: ImageFiles, test: ImageFiles, border: int, device: str, *, least: float = 0.0) -> None:
        self._files: dict[Part, ImageFiles] = {"train": train, "test": test}
        self._border = border
        self._least = least
        self._to_device = _CudaCopies(device) if device.startswith("cuda") else _HostCopies()
        self._workers = _workers(train)
        # As many readers as there are epochs at a time: one, unless several threads train.
        self._idle: list[_Reader] = []
        self._lock = threading.Lock()

    @property
    def waited(self) -> float:
        """See :class:`~ticketkit.train.sources.ImageSource`."""
        return self._to_device.waited

    def train(self, order: Tensor, crops: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """See :class:`~ticketkit.train.sources.ImageSource`."""
        for images in self._batches("train", order.unbind(), None if crops is None else crops.unbind()):
            yield bordered(images, self._border), torch.arange(len(images), device=images.device)

    def plain(self, part: Part, order: Tensor) -> Iterator[Tensor]:
        """See :class:`~ticketkit.train.sources.ImageSource`."""
        yield from self._batches(part, torch.split(order, EVALUATION_BATCH))

    def _batches(self, part: Part, order: Sequence[Tensor], crops: Sequence[Tensor] | None = None) -> Iterator[Tensor]:
        files = self._files[part].paths
        batches = [[*range(0, len(batch), PIECE)] for batch in order]
        seeds_of: Sequence[Tensor | None] = [None] * len(order) if crops is None else crops
        wanted = (
            (
                tuple(files[position] for position in batch[start : start + PIECE].tolist()),
                None if seeds is None else self._crops(seeds[start : start + PIECE]),
            )
            for batch, seeds, starts in zip(order, seeds_of, batches, strict=True)
            for start in starts
        )
        with self._reader() as reader:
            pieces = reader.read(wanted)
            for starts in batches[:-1]:
                yield self._to_device(pieces, len(starts))
            last = [self._to_device(pieces, len(starts)) for starts in batches[-1:]]
        # Whoever trains takes the last batch and then evaluates: the reader must be free by then.
        yield from last

    def _crops(self, seeds: Tensor) -> RandomCrops:
        return RandomCrops(least=self._least, seeds=tuple(seeds.tolist()))

    @contextmanager
    def _reader(self) -> Iterator[_Reader]:
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        reader = reader or _Reader(self._files["train"].decoder, self._workers, pinned=self._to_device.pinned)
        try:
            yield reader
        except GeneratorExit:  # an epoch that was given up; after any other error nobody knows what is on its way
            self._give_back(reader)
            raise
        self._give_back(reader)

    def _give_back(self, reader: _Reader) -> None:
        with self._lock:
            self._idle.append(reader)


def _workers(files: ImageFiles) -> int:
    """How many processes decode for training; 0 stands for the calling one."""
    if files.workers is not None:
        return files.workers
    return processors() if len(files) > IN_PROCESS else 0


class _Decoding(Dataset["Tensor | str"]):
    """What the processes do: names of files to images, uint8 [N, H, W, C], or to the one line of what is wrong."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __getitem__(self, piece: Piece) -> Tensor | str:
        images, faults = self._decoder(*piece)
        if faults:
            return f"a streamed image must stay as it was when the data set was loaded: {faults[0]}"
        return torch.from_numpy(images)


class _Reader:
    """Processes that decode, kept from one epoch to the next, since starting them takes seconds.

    Args:
        decoder: What they do.
        workers: How many there are; 0 decodes in the calling process, when an image is asked for.
        pinned: Whether images lie in memory that the device can copy from by itself.
    """

    def __init__(self, decoder: Decoder, workers: int, *, pinned: bool) -> None:
        self._order: list[Iterable[Piece]] = [()]
        self._loader: DataLoader[Tensor | str] = DataLoader(
            _Decoding(decoder),
            batch_size=None,
            sampler=_Replaceable(self._order),
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            persistent_workers=workers > 0,
            multiprocessing_context="spawn" if workers else None,  # see ticketkit.data.files.in_processes
            pin_memory=pinned,
            generator=torch.Generator(),  # its base seed shall not come from, and so move, the global generator
        )

    def read(self, order: Iterable[Piece]) -> Iterator[Tensor]:
        """Decode pieces, in order, some of them ahead of being asked for.

        Raises:
            DataError: If an image is not what it was.
            RunError: If a process has ended.
        """
        self._order[0] = order
        try:
            with interrupts_blocked(), _no_handler_of_deaths():
                pieces = iter(self._loader)
            for piece in pieces:
                if isinstance(piece, str):
                    raise DataError(piece)
                yield piece
        except (RuntimeError, OSError, EOFError) as error:  # what the loader says, or a connection that was cut
            lines = [line.strip(". ") for line in str(error).splitlines()]
            reason = next(filter(None, lines), type(error).__name__)
            raise RunError(
                f"the processes that decode images must go on to the end ({reason}); killed ones have often run out "
                "of memory, and a script must start trainings under if __name__ == '__main__'"
            ) from error


class _Replaceable:
    """An order of pieces that is looked up anew whenever the loader begins an epoch."""

    def __init__(self, order: list[Iterable[Piece]]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._order[0])


@contextmanager
def _no_handler_of_deaths() -> Iterator[None]:
    """Keep torch from setting a handler of SIGCHLD, for all of the process and for good.

    It would raise in whatever the main thread is doing when a process of the loader ends. The loader itself finds out
    within seconds, when it waits for what that process should have decoded.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


class _HostCopies:
    """Puts the pieces of a batch together in the memory of the CPU."""

    pinned = False

    def __init__(self) -> None:
        self.waited = 0.0
        self._lock = threading.Lock()

    def __call__(self, pieces: Iterator[Tensor], count: int) -> Tensor:
        """Take ``count`` pieces, and give the batch: uint8 [N, H, W, C]."""
        began = time.perf_counter()
        taken = [*islice(pieces, count)]
        with self._lock:
            self.waited += time.perf_counter() - began
        return torch.cat(taken)


class _CudaCopies:
    """Puts the pieces of a batch together on a GPU, by copies on a stream of their own.

    The host is ahead of the device, as nothing in an epoch waits for it: while the device computes a step, the next
    step's images are copied.

    Args:
        device: The GPU.
    """

    pinned = True

    def __init__(self, device: str) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._stops: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()
        self._seconds = 0.0
        self._lock = threading.Lock()

    @property
    def waited(self) -> float:
        """Seconds from when the device had nothing left to do until the images were there, over all batches so far."""
        self._add_up()
        return self._seconds

    def _add_up(self) -> None:
        """Add up the stops that the device has behind it, without waiting for it."""
        with self._lock:
            while self._stops and self._stops[0][1].query():  # type: ignore[no-untyped-call]
                asked, given = self._stops.popleft()
                self._seconds += asked.elapsed_time(given) / 1e3

    def __call__(self, pieces: Iterator[Tensor], count: int) -> Tensor:
        """Take ``count`` pieces, and give the batch: uint8 [N, H, W, C]."""
        current = torch.cuda.current_stream(self._device)
        asked, given = _timed_event(), _timed_event()
        asked.record(current)
        taken = [*islice(pieces, count)]
        with torch.cuda.stream(self._stream):
            images = torch.cat([piece.to(self._device, non_blocking=True) for piece in taken])
        current.wait_stream(self._stream)
        images.record_stream(current)  # its memory is not used again before the step is done with it
        given.record(current)
        with self._lock:
            self._stops.append((asked, given))
        self._add_up()
        return images


def _timed_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
