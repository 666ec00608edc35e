"""Any folder of images in torchvision's ImageFolder layout: ``train/CLASS/*`` and ``test/CLASS/*`` (or ``val``).

Images are decoded once, in several processes, and kept as one file of bytes in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ticketkit.atomic import replacing
from ticketkit.data.images import DATASETS, DataRequest, ImageData
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

if TYPE_CHECKING:
    from PIL import Image

NAME = "folder"
CACHE_VERSION = 1
CHUNK = 256
"""Images that a process decodes before it hands them over."""

IN_PROCESS = 4_096
"""Up to so many images are decoded by the calling process: starting others takes as long as that does."""

NAMED = 3
"""Broken images that a message names; it counts the rest."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The images of one part of a folder.

    Attributes:
        paths: Their files, sorted by class and name.
        labels: int64 of shape [N]: the position of each one's class among ``classes``.
        classes: The classes' folders, sorted.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def load_folder(request: DataRequest) -> ImageData:
    """Load a folder of images: ``data_dir/train/CLASS/*`` and ``data_dir/test/CLASS/*`` (``val`` without ``test``).

    Images become RGB, except where every one of them is 8-bit grey: then they keep their one channel. They must be
    of one size, unless ``image_size`` is given: then the shorter side is resized to it, with antialiasing, and the
    centre is cut out, as torchvision's Resize and CenterCrop do.

    What was decoded is kept in ``cache_dir``, in one file for each folder and image size, and used again as long as
    no image's name, size or modification time has changed; ``on_progress`` is called only while decoding. A cache
    that cannot be written or is damaged costs time, nothing else.

    Args:
        request: ``data_dir`` must be given. With more than a few thousand images ``workers`` processes decode them;
            as always with processes, a script that calls this does so under ``if __name__ == "__main__":``.

    Raises:
        DataError: If the folder does not have this layout, training and test set differ in their classes, images
            differ in size, or any cannot be decoded; these are counted, and the first named.
    """
    if request.data_dir is None:
        raise DataError("data_dir of a folder data set must be given (got none)")
    root = request.data_dir.resolve()
    train, test = _list_parts(root)
    paths = train.paths + test.paths
    cache = _cache_path(root, request)
    key = _cache_key(root, paths)
    images = _read_cache(cache, key, len(paths))
    if images is None:
        images = _decode(paths, request)
        _write_cache(cache, key, images)
    return ImageData(
        name=f"folder:{root.name}",
        train_images=images[: len(train.paths)],
        train_labels=train.labels,
        test_images=images[len(train.paths) :],
        test_labels=test.labels,
        classes=train.classes,
    )


def _list_parts(root: Path) -> tuple[Listing, Listing]:
    test_dir = next((root / part for part in ("test", "val") if (root / part).is_dir()), None)
    if test_dir is None or not (root / "train").is_dir():
        raise DataError(f"a folder data set must hold train/CLASS/ and test/CLASS/, or val/CLASS/: {root}")
    train, test = _list_part(root / "train"), _list_part(test_dir)
    if train.classes != test.classes:
        names = ", ".join(sorted(set(train.classes) ^ set(test.classes)))
        raise DataError(f"train and {test_dir.name} must have the same classes (only one has {names}): {root}")
    return train, test


def _list_part(folder: Path) -> Listing:
    try:
        found = import_torchvision().datasets.ImageFolder(folder)
    except FileNotFoundError as error:  # no class, or a class without an image
        raise DataError(f"every class must hold an image ({str(error).rstrip('. ')}): {folder}") from error
    return Listing(
        paths=tuple(Path(path) for path, _ in found.samples),
        labels=np.asarray(found.targets, dtype=np.int64),
        classes=tuple(found.classes),
    )


def _decode(paths: tuple[Path, ...], request: DataRequest) -> Pixels:
    images: Pixels | None = None
    broken: list[str] = []
    with contextlib.closing(_decoded(paths, request)) as stream:
        for index, decoded in enumerate(stream):
            if isinstance(decoded, str):
                broken.append(f"{paths[index]} ({decoded})")
                continue
            if images is None:
                images = np.empty((len(paths), *decoded.shape), dtype=np.uint8)
            if decoded.shape[1:] != images.shape[2:]:
                sizes = " and ".join(f"{width}x{height}" for _, height, width in (images[0].shape, decoded.shape))
                raise DataError(f"images must have one size, or image_size be given (got {sizes}): {paths[index]}")
            if len(decoded) > images.shape[1]:  # the first colour image makes them all colour
                images = np.repeat(images, len(decoded), axis=1)
            images[index] = decoded
    if broken:
        names = ", ".join(broken[:NAMED]) + (", ..." if len(broken) > NAMED else "")
        raise DataError(f"images must be readable ({len(broken):,} of {len(paths):,} are not): {names}")
    if images is None:
        raise DataError(f"a folder data set must hold an image (got none): {request.data_dir}")
    return images


def _decoded(paths: tuple[Path, ...], request: DataRequest) -> Generator[Pixels | str]:
    """Decode every image, in order: uint8 [C, H, W], or what went wrong."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    workers = min(request.workers or os.cpu_count() or 1, len(chunks)) if len(paths) > IN_PROCESS else 1
    done = 0
    for decoded in _decoded_chunks(chunks, workers, request.image_size):
        yield from decoded
        done += len(decoded)
        if request.on_progress:
            request.on_progress(done, len(paths))


def _decoded_chunks(
    chunks: list[tuple[Path, ...]], workers: int, image_size: int | None
) -> Generator[list[Pixels | str]]:
    finished = 0
    if workers > 1:
        # Not threads: small images spend their time in Python, and two threads are slower than one. Not forked
        # processes: they inherit locks that threads of torch and numpy may hold.
        executor = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            for decoded in executor.map(_decode_chunk, chunks, [image_size] * len(chunks)):
                yield decoded
                finished += 1
        except BrokenProcessPool:
            pass  # a process was killed, or could not start, as in a script without the guard: this one goes on
        finally:
            executor.shutdown(cancel_futures=True)
    for chunk in chunks[finished:]:
        yield _decode_chunk(chunk, image_size)


def _decode_chunk(paths: tuple[Path, ...], image_size: int | None) -> list[Pixels | str]:
    return [_decode_image(path, image_size) for path in paths]


def _decode_image(path: Path, image_size: int | None) -> Pixels | str:
    from PIL import Image  # Pillow is not imported to look up a data set

    try:
        with Image.open(path) as opened:
            image = opened if opened.mode in ("L", "RGB") else opened.convert("RGB")
            if image_size is not None:
                image = _resized(image, image_size)
            pixels = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise whatever they meet
        return type(error).__name__
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def _resized(image: Image.Image, size: int) -> Image.Image:
    from PIL import Image  # Pillow is not imported to look up a data set

    shorter = min(image.size)
    width, height = (size if side == shorter else size * side // shorter for side in image.size)
    if shorter != size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def _cache_path(root: Path, request: DataRequest) -> Path | None:
    """One file for each folder and image size, so that a folder that changes leaves nothing behind."""
    if request.cache_dir is not None:
        folder = request.cache_dir
    elif os.path.isabs(base := os.environ.get("XDG_CACHE_HOME", "")):  # the XDG specification ignores others
        folder = Path(base) / "ticketkit"
    else:
        try:
            folder = Path.home() / ".cache" / "ticketkit"
        except RuntimeError:  # a user without a home, as in some containers
            return None
    name = hashlib.sha256(json.dumps([str(root), request.image_size]).encode()).hexdigest()
    return folder / f"folder-{name[:32]}.npz"


def _cache_key(root: Path, paths: tuple[Path, ...]) -> Pixels:
    """SHA-256 of everything that the decoded images depend on, beside the folder and the image size: uint8 [32]."""
    from PIL import __version__ as decoder  # Pillow is not imported to look up a data set

    digest = hashlib.sha256(json.dumps([CACHE_VERSION, decoder, str(root)]).encode())
    for path in paths:
        state: list[str | int] = [str(path)]
        with contextlib.suppress(OSError):  # a link that leads nowhere: decoding it will say so
            stat = path.stat()
            state += [stat.st_size, stat.st_mtime_ns]
        digest.update(json.dumps(state).encode())
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _read_cache(path: Path | None, key: Pixels, count: int) -> Pixels | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if not np.array_equal(arrays["key"], key):
                return None
            images = arrays["images"]  # zip's checksum is compared on the way
    except Exception:  # whatever is wrong with the cache, the images themselves are still there
        return None
    return images if images.dtype == np.uint8 and images.shape[:1] == (count,) else None


def _write_cache(path: Path | None, key: Pixels, images: Pixels) -> None:
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez(file, key=key, images=images)


DATASETS.register(NAME, load_folder)
