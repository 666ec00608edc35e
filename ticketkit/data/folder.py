"""Any folder of images in torchvision's ImageFolder layout: ``train/CLASS/*`` and ``test/CLASS/*`` (or ``val``).

Images are decoded once, in several processes, and kept as one file of bytes in the user's cache folder; or, where they
are too many to be held, whenever they are needed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketkit.data.cache import FolderCache
from ticketkit.data.files import (
    Decoder,
    ImageFiles,
    Pixels,
    chunked,
    decode_image,
    in_processes,
    size_error,
    unreadable_error,
    workers_for,
)
from ticketkit.data.images import DATASETS, DataRequest, ImageData
from ticketkit.data.survey import ColourError, Survey
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

NAME = "folder"

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The images of one part of a folder.

    Attributes:
        paths: Their files, sorted by class and name.
        labels: int64 of shape [N]: the position of each one's class among ``classes``.
        classes: The classes' folders, sorted.
    """

    paths: tuple[str, ...]
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

    A streamed folder is decoded once at first too, for its mean, standard deviation and fingerprint, which are those
    of the same folder held, and to find every image that is broken; only what this tells is kept in ``cache_dir``.

    Args:
        request: ``data_dir`` must be given. With more than a few thousand images ``workers`` processes decode them;
            as always with processes, a script that calls this does so under ``if __name__ == "__main__":``. With
            ``stream``, or where the decoded images would take more than ``memory_budget``, they are streamed.

    Raises:
        DataError: If the folder does not have this layout, training and test set differ in their classes, images
            differ in size, or any cannot be decoded; these are counted, and the first named.
    """
    if request.data_dir is None:
        raise DataError("data_dir of a folder data set must be given (got none)")
    root = request.data_dir.resolve()
    train, test = _list_parts(root)
    paths = train.paths + test.paths
    cache = FolderCache(root, paths, image_size=request.image_size, folder=request.cache_dir)
    name = f"folder:{root.name}"
    if request.stream or (request.stream is None and request.memory_budget is not None):
        known = cache.survey()
        shape = _first_shape(paths, request.image_size) if known is None else known.shape
        if request.stream or len(paths) * math.prod(shape) > (request.memory_budget or 0):
            return _streamed(name, train, test, shape, request, cache, known)
    images = cache.images()
    if images is None:
        images = _decode(paths, request)
        cache.keep_images(images)
    return ImageData(
        name=name,
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
        paths=tuple(path for path, _ in found.samples),
        labels=np.asarray(found.targets, dtype=np.int64),
        classes=tuple(found.classes),
    )


def _first_shape(paths: Sequence[str], image_size: int | None) -> Shape:
    """Channels, height and width of the first image that can be decoded."""
    for path in paths:
        if not isinstance(pixels := decode_image(path, image_size), str):
            height, width, channels = pixels.shape
            return channels, height, width
    raise unreadable_error([f"{path} ({decode_image(path, image_size)})" for path in paths], len(paths))


def _streamed(
    name: str,
    train: Listing,
    test: Listing,
    shape: Shape,
    request: DataRequest,
    cache: FolderCache,
    known: Survey | None,
) -> ImageData:
    decoder = Decoder(shape=shape, image_size=request.image_size)
    train_images, test_images = (
        ImageFiles(paths=part.paths, decoder=decoder, workers=request.workers, on_progress=request.on_progress)
        for part in (train, test)
    )
    data = ImageData(
        name=name,
        train_images=train_images,
        train_labels=train.labels,
        test_images=test_images,
        test_labels=test.labels,
        classes=train.classes,
    )
    try:
        data.surveyed(known)
    except ColourError:  # the first colour image makes them all colour
        return _streamed(name, train, test, (3, *shape[1:]), request, cache, known)
    if known is None:
        cache.keep_survey(Survey(shape=shape, mean=data.mean, std=data.std, fingerprint=data.fingerprint))
    return data


def _decode(paths: tuple[str, ...], request: DataRequest) -> Pixels:
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
                raise size_error(images.shape[2:], decoded.shape[1:], paths[index])
            if len(decoded) > images.shape[1]:  # the first colour image makes them all colour
                images = np.repeat(images, len(decoded), axis=1)
            images[index] = decoded
    if broken:
        raise unreadable_error(broken, len(paths))
    if images is None:
        raise DataError(f"a folder data set must hold an image (got none): {request.data_dir}")
    return images


def _decoded(paths: tuple[str, ...], request: DataRequest) -> Generator[Pixels | str]:
    """Decode every image, in order: uint8 [C, H, W], or what went wrong."""
    done = 0
    workers = workers_for(len(paths), request.workers)
    for decoded in in_processes(partial(_decode_chunk, request.image_size), chunked(paths), workers):
        yield from decoded
        done += len(decoded)
        if request.on_progress:
            request.on_progress(done, len(paths))


def _decode_chunk(image_size: int | None, paths: Sequence[str]) -> list[Pixels | str]:
    decoded = (decode_image(path, image_size) for path in paths)
    return [
        pixels if isinstance(pixels, str) else np.ascontiguousarray(pixels.transpose(2, 0, 1)) for pixels in decoded
    ]


DATASETS.register(NAME, load_folder)
