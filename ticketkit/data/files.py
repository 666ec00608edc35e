"""Images that lie in files: decoded to uint8 by several processes, in order, a bounded number of them at a time."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ticketkit.data.framing import MOST_PIXELS, CentreCrop, Framing, ResizedCrop
from ticketkit.errors import DataError
from ticketkit.reading import regular_size

if TYPE_CHECKING:
    from PIL import Image

CHUNK = 256
"""Images that a process decodes before it hands them over; fewer where they are large."""

CHUNK_BYTES = 1 << 24
"""What the decoded images of a chunk take at most, if one of them does not take more."""

QUEUED = 2
"""Chunks for each process that are being decoded or wait to be taken: this bounds the memory of a pass."""

IN_PROCESS = 4_096
"""Up to so many images are decoded by the calling process: starting others takes as long as that does."""

NAMED = 3
"""Files that a message names of each kind; it counts the rest."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What files may hold, whatever they are called. Pillow knows more: of PostScript it would make images by a program."""

BROKEN = "broken"
UNREADABLE = "unreadable"
NO_FILE = "no file"
TOO_LARGE = f"of more than {MOST_PIXELS // 2**20} megapixels"
OTHER_PIXELS = "of 32-bit or floating-point pixels"

Pixels = NDArray[np.uint8]
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An image that is not what it must be.

    Attributes:
        path: Its file.
        reason: What was found, in a word or two.
        size: Its height and width, if these are wrong.
        in_colour: Whether it is in colour, and must be grey.
    """

    path: str
    reason: str
    size: tuple[int, int] | None = None
    in_colour: bool = False

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomCrops:
    """What random boxes of images are drawn from.

    Attributes:
        least: The least area of a box; see :class:`~ticketkit.data.framing.ResizedCrop`.
        seeds: The seed of each image's box.
    """

    least: float
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """Decodes files to images of one shape. It is small: whoever sends it to a process sends no list of files with it.

    Attributes:
        shape: Channels, height and width of an image. Grey images become colour where there are three channels.
        framing: How to bring images to their size; None takes them as they are.
    """

    shape: tuple[int, int, int]
    framing: CentreCrop | None = None

    def __call__(self, paths: Sequence[str], crops: RandomCrops | None = None) -> tuple[Pixels, tuple[Fault, ...]]:
        """Decode files.

        Args:
            paths: The files.
            crops: What to cut out of them at random, in place of ``framing``; None for nothing.

        Returns:
            Images, uint8 [N, H, W, C], black where there is a fault; and the faults.
        """
        channels, height, width = self.shape
        images = np.zeros((len(paths), height, width, channels), dtype=np.uint8)
        faults = []
        framings: Iterable[Framing | None] = [self.framing] * len(paths)
        if crops is not None:
            framings = [ResizedCrop(size=(width, height), least=crops.least, seed=seed) for seed in crops.seeds]
        for image, path, framing in zip(images, paths, framings, strict=True):
            pixels = decode_image(path, framing)
            if isinstance(pixels, str):
                faults.append(Fault(path=path, reason=pixels))
            elif (size := pixels.shape[:2]) != (height, width):
                faults.append(Fault(path=path, reason=f"{size[1]}x{size[0]}", size=size))
            elif pixels.shape[2] > channels:
                faults.append(Fault(path=path, reason="in colour", in_colour=True))
            else:
                image[:] = pixels
        return images, tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some images of :class:`ImageFiles`, decoded.

    Attributes:
        images: uint8 [N, C, H, W], in C order.
        sums: int64 [2, C]: the sum of each channel's pixels, and of their squares.
        faults: What is wrong with images; those are black.
    """

    images: Pixels
    sums: NDArray[np.int64]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFiles:
    """Images that are decoded whenever they are needed, in place of an array that holds them.

    Attributes:
        paths: Their files.
        decoder: What makes images of them.
        workers: Processes that decode; None for as many as there are processors, and none for a few images.
        on_progress: Called, in a pass over all of them, with the images done and the images there are.
    """

    paths: tuple[str, ...]
    decoder: Decoder
    workers: int | None = None
    on_progress: Callable[[int, int], None] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, chosen: slice | NDArray[np.intp]) -> ImageFiles:
        """Some of them, by position, as of an array; nothing is decoded."""
        if isinstance(chosen, slice):
            return replace(self, paths=self.paths[chosen])
        return replace(self, paths=tuple(self.paths[position] for position in chosen.tolist()))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, channels, height and width."""
        return len(self.paths), *self.decoder.shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """What a pixel's channel is once it is decoded."""
        return np.dtype(np.uint8)

    def parts(self) -> Generator[Part]:
        """Decode all, in order; the memory that takes does not grow with their number."""
        yield from in_processes(
            partial(_decode_part, self.decoder),
            chunked(self.paths, image_bytes=int(np.prod(self.decoder.shape))),
            workers_for(len(self.paths), self.workers),
        )


def _decode_part(decoder: Decoder, paths: Sequence[str]) -> Part:
    images, faults = decoder(paths)
    # The processes sum up, as they are many and who hashes the images is one. Sums of integers are exact.
    flat = images.reshape(-1, images.shape[-1])
    sums = [flat.sum(axis=0, dtype=np.int64), np.square(flat, dtype=np.uint32).sum(axis=0, dtype=np.int64)]
    return Part(images=np.ascontiguousarray(images.transpose(0, 3, 1, 2)), sums=np.stack(sums), faults=faults)


def chunked(paths: Sequence[str], *, image_bytes: int = 0) -> list[Sequence[str]]:
    """Cut a list of files into what a process decodes at a time.

    Args:
        paths: The files.
        image_bytes: What one decoded image takes; 0 if that is not known.
    """
    size = min(CHUNK, max(CHUNK_BYTES // image_bytes, 1)) if image_bytes else CHUNK
    return [paths[start : start + size] for start in range(0, len(paths), size)]


def workers_for(images: int, wanted: int | None) -> int:
    """How many processes a pass over images uses; 1 stands for the calling one."""
    return (wanted or processors()) if images > IN_PROCESS else 1


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(function: Callable[[Chunk], Result], chunks: Sequence[Chunk], workers: int) -> Generator[Result]:
    """Yield a function's results for every chunk, in order, worked out by several processes.

    Args:
        function: What to do; it and the chunks are pickled.
        chunks: What to do it with.
        workers: Processes; 1 stands for the calling one.
    """
    finished = 0
    workers = min(workers, len(chunks))
    if workers > 1:
        # Not threads: small images spend their time in Python, and two threads are slower than one. Not forked
        # processes: they inherit locks that threads of torch and numpy may hold.
        executor = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            for result in _in_turn(executor, function, chunks, QUEUED * workers):
                yield result
                finished += 1
        except BrokenProcessPool:
            pass  # a process was killed, or could not start, as in a script without the guard: this one goes on
        finally:
            executor.shutdown(cancel_futures=True)
    for chunk in chunks[finished:]:
        yield function(chunk)


def _in_turn(
    executor: ProcessPoolExecutor, function: Callable[[Chunk], Result], chunks: Sequence[Chunk], queued: int
) -> Iterator[Result]:
    """The results in order, of which at most ``queued`` are asked for at a time: Executor.map asks for all at once."""
    waiting: deque[Future[Result]] = deque()
    for chunk in chunks:
        if len(waiting) == queued:
            yield waiting.popleft().result()
        with interrupts_blocked():  # the first call starts the processes
            waiting.append(executor.submit(function, chunk))
    while waiting:
        yield waiting.popleft().result()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes started inside the block are not reached by Ctrl-C: the one that started them is, and ends them.

    A terminal sends SIGINT to all of them, and each would print a traceback. A process inherits what is blocked in the
    thread that starts it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it, as the first process does, would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def decode_image(path: str, framing: Framing | None) -> Pixels | str:
    """Decode one file: uint8 [H, W, C] with one channel or three, or why it is left out, in a word or two.

    Grey stays grey. All else becomes RGB as torchvision's loader makes it: transparency is dropped, palettes and CMYK
    are converted, an animation gives its first frame, and EXIF's orientation is not followed. Grey of 16 bits keeps
    the upper 8; of what has no such range, 32-bit and floating-point pixels, nothing is made.
    """
    from PIL import Image  # Pillow is not imported to look up a data set

    try:
        regular_size(path)  # a pipe would be waited for
    except OSError as error:
        return NO_FILE if error.errno in {errno.EINVAL, errno.EISDIR} else UNREADABLE
    try:
        # Pillow's warnings are of images that it reads all the same, or of large ones, which are counted here.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as opened:
            image = _prepared(opened, framing)
            return image if isinstance(image, str) else np.atleast_3d(np.asarray(image))
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception as error:  # Pillow's decoders raise whatever they meet
        return UNREADABLE if isinstance(error, OSError) and error.errno is not None else BROKEN


def _prepared(opened: Image.Image, framing: Framing | None) -> Image.Image | str:
    """An image that is open, in 8 bits and of the size asked for, or why there is none."""
    if opened.width * opened.height > MOST_PIXELS:
        return TOO_LARGE
    image = eight_bits(opened)
    if image is None:
        return OTHER_PIXELS
    return image if framing is None else framing(image) or TOO_LARGE


def eight_bits(image: Image.Image) -> Image.Image | None:
    """The image in grey or in colour, 8 bits a channel; None where its pixels have no such range."""
    from PIL import Image  # Pillow is not imported to look up a data set

    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return None if image.mode in ("I", "F") else image.convert("RGB")


def size_error(first: tuple[int, ...], other: tuple[int, ...], path: str) -> DataError:
    """What to raise for an image that has not the height and width of the first."""
    sizes = " and ".join(f"{width}x{height}" for height, width in (first, other))
    return DataError(f"images must have one size, or image_size be given (got {sizes}): {path}")
