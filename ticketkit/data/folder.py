"""Any folder of images in torchvision's ImageFolder layout: ``train/CLASS/*`` and ``test/CLASS/*`` (or ``val``).

Images are decoded once, in several processes, and kept as one file of bytes in the user's cache folder; or, where they
are too many to be held, whenever they are needed.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ticketkit.data.cache import FolderCache, LeftOut
from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.facts import Facts
from ticketkit.data.files import (
    UNREADABLE,
    Decoder,
    ImageFiles,
    Pixels,
    chunked,
    decode_image,
    in_processes,
    size_error,
    workers_for,
)
from ticketkit.data.framing import CentreCrop
from ticketkit.data.images import ImageData
from ticketkit.data.listing import Listing, check_classes, left_out_line, list_part
from ticketkit.data.naming import framed_name
from ticketkit.data.survey import BrokenImagesError, ColourError, Survey
from ticketkit.errors import DataError, one_line

NAME = "folder"

_LONGEST_NAME = 100
"""How much of a folder's name the data set's name takes; a ticket's provenance holds it."""

Shape = tuple[int, int, int]


def load_folder(request: DataRequest) -> ImageData:
    """Load a folder of images: ``data_dir/train/CLASS/*`` and ``data_dir/test/CLASS/*`` (``val`` without ``test``).

    Images become RGB, except where every one of them is grey: then they keep their one channel
    (:func:`ticketkit.data.files.decode_image` says what becomes of other kinds of pixels). They must be of one size,
    unless ``image_size`` is given: then the shorter side is resized to it, or to ``resize`` where that is given, with
    antialiasing, and the centre is cut out, as torchvision's Resize and CenterCrop do. The name says so:
    ``folder:flowers@224px``, ``folder:flowers@256-224px``. Where a recipe cuts training images out at random, this is
    what evaluation, mean, standard deviation and fingerprint are of.

    What cannot be decoded, has more than :data:`~ticketkit.data.files.MOST_PIXELS` pixels or is no image is left out,
    and one line to ``on_wait`` says how many files that are, why, and which are the first. The fingerprint is that of
    the images that remain. Classes whose names differ in case alone are two.

    What was decoded is kept in ``cache_dir``, in one file for each folder and image size, and used again as long as
    no image's name, size or modification time has changed; ``on_progress`` is called only while decoding. A cache
    that cannot be written or is damaged costs time, nothing else.

    A streamed folder is decoded once at first too, for its mean, standard deviation and fingerprint, which are those
    of the same folder held, and to find every image that is broken: if there are any, once more without these. Only
    what this tells is kept in ``cache_dir``.

    Args:
        request: ``data_dir`` must be given. With more than a few thousand images ``workers`` processes decode them;
            as always with processes, a script that calls this does so under ``if __name__ == "__main__":``. With
            ``stream``, or where the decoded images would take more than ``memory_budget``, they are streamed.

    Raises:
        DataError: If the folder does not have this layout, training and test set differ in their classes, images
            differ in size, or a class is left without an image; what was left out is counted, and the first named.
    """
    if request.data_dir is None:
        raise DataError("data_dir of a folder data set must be given (got none)")
    try:
        root = Path(os.path.realpath(request.data_dir))
    except ValueError:  # a name with a NUL, which no folder has
        raise DataError(f"data_dir of a folder data set must be a folder (got {str(request.data_dir)!r})") from None
    parts = list_folder(root)
    paths = parts[0].paths + parts[1].paths
    cache = FolderCache(root, paths, framing=request.framing, folder=request.cache_dir)
    name = framed_name(f"folder:{one_line(root.name, _LONGEST_NAME)}", request.framing)
    if request.stream or (request.stream is None and request.memory_budget is not None):
        known = cache.survey()
        shape = _first_shape(parts, root, request.framing) if known is None else known[0].shape
        if request.stream or len(paths) * math.prod(shape) > (request.memory_budget or 0):
            return _streamed(name, root, parts, shape, request, cache, known)
    found = cache.images()
    if found is None:
        found = _decode(parts, root, request)
        if UNREADABLE not in found[1].values():  # what cannot be read now can perhaps be read next time
            cache.keep_images(*found)
    images, left_out = found
    train, test = _remaining(parts, root, left_out)
    data = ImageData(
        name=name,
        train_images=images[: len(train.paths)],
        train_labels=train.labels,
        test_images=images[len(train.paths) :],
        test_labels=test.labels,
        classes=train.classes,
    )
    _say(data, (train, test), root, request)
    return data


def list_folder(root: Path) -> tuple[Listing, Listing]:
    """List the training and the test images of a folder; none is opened.

    Raises:
        DataError: If it does not have the layout that :func:`load_folder` takes, or cannot be looked at.
    """
    try:
        test_dir = next((root / part for part in ("test", "val") if (root / part).is_dir()), None)
        has_train = (root / "train").is_dir()
    except OSError as error:
        raise DataError(f"a folder of images must be readable ({error.strerror}): {error.filename}") from None
    if test_dir is None or not has_train:
        raise DataError(f"a folder data set must hold train/CLASS/ and test/CLASS/, or val/CLASS/: {root}")
    train, test = list_part(root / "train"), list_part(test_dir)
    for part in (train, test):
        check_classes(part, root)
    if train.classes != test.classes:
        names = ", ".join(sorted(set(train.classes) ^ set(test.classes)))
        raise DataError(f"train and {test_dir.name} must have the same classes (only one has {names}): {root}")
    return train, test


def _remaining(parts: tuple[Listing, Listing], root: Path, left_out: LeftOut) -> tuple[Listing, Listing]:
    """The parts without what was left out of all their images.

    Raises:
        DataError: If a class is left without an image.
    """
    paths = parts[0].paths + parts[1].paths
    reasons = {paths[place]: reason for place, reason in left_out.items()}
    train, test = (part.without(reasons) for part in parts)
    for part in (train, test):
        check_classes(part, root)
    return train, test


def _say(data: ImageData, parts: tuple[Listing, Listing], root: Path, request: DataRequest) -> None:
    """Say what was left out, to whoever listens; nothing is left out in silence."""
    line = left_out_line(parts, root)
    if not line:
        return
    if request.on_wait is not None:
        request.on_wait(f"{data.name}: {line}")
    else:
        warnings.warn(f"{data.name}: {line}", stacklevel=4)  # of whoever called load_data


def _first_shape(parts: tuple[Listing, Listing], root: Path, framing: CentreCrop | None) -> Shape:
    """Channels, height and width of the first image that can be decoded."""
    left_out = {}
    for place, path in enumerate(parts[0].paths + parts[1].paths):
        if not isinstance(pixels := decode_image(path, framing), str):
            height, width, channels = pixels.shape
            return channels, height, width
        left_out[place] = pixels
    _remaining(parts, root, left_out)  # which no class survives
    raise DataError(f"a folder data set must hold an image (got none): {root}")


def _streamed(
    name: str,
    root: Path,
    parts: tuple[Listing, Listing],
    shape: Shape,
    request: DataRequest,
    cache: FolderCache,
    known: tuple[Survey, LeftOut] | None,
) -> ImageData:
    left_out: LeftOut = {} if known is None else known[1]
    places = {path: place for place, path in enumerate(parts[0].paths + parts[1].paths)}
    while True:
        train, test = _remaining(parts, root, left_out)
        decoder = Decoder(shape=shape, framing=request.framing)
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
            data.surveyed(None if known is None else known[0])
            break
        except ColourError:  # the first colour image makes them all colour
            shape = (3, *shape[1:])
        except BrokenImagesError as error:
            left_out = {**left_out, **{places[fault.path]: fault.reason for fault in error.faults}}
    if known is None and UNREADABLE not in left_out.values():
        made = Survey(shape=shape, mean=data.mean, std=data.std, fingerprint=data.fingerprint)
        cache.keep_survey(made, left_out)
    _say(data, (train, test), root, request)
    return data


def _decode(parts: tuple[Listing, Listing], root: Path, request: DataRequest) -> tuple[Pixels, LeftOut]:
    """Decode every image; those that are left out have no place in the array."""
    paths = parts[0].paths + parts[1].paths
    images: Pixels | None = None
    left_out: dict[int, str] = {}
    kept = 0
    with contextlib.closing(_decoded(paths, request)) as stream:
        for place, decoded in enumerate(stream):
            if isinstance(decoded, str):
                left_out[place] = decoded
                continue
            if images is None:
                images = _room(len(paths), decoded.shape, root)
            if decoded.shape[1:] != images.shape[2:]:
                raise size_error(images.shape[2:], decoded.shape[1:], paths[place])
            if len(decoded) > images.shape[1]:  # the first colour image makes them all colour
                images = np.repeat(images, len(decoded), axis=1)
            images[kept] = decoded
            kept += 1
    _remaining(parts, root, left_out)  # which refuses a class without an image, and with it a folder without any
    if images is None:
        raise DataError(f"a folder data set must hold an image (got none): {root}")
    return images[:kept], left_out


def _room(count: int, shape: tuple[int, ...], root: Path) -> Pixels:
    try:
        return np.empty((count, *shape), dtype=np.uint8)
    except MemoryError:
        size = count * math.prod(shape)
        raise DataError(f"images must fit into memory, or be streamed (they take {size:,} bytes): {root}") from None


def _decoded(paths: tuple[str, ...], request: DataRequest) -> Generator[Pixels | str]:
    """Decode every image, in order: uint8 [C, H, W], or what went wrong."""
    done = 0
    workers = workers_for(len(paths), request.workers)
    for decoded in in_processes(partial(_decode_chunk, request.framing), chunked(paths), workers):
        yield from decoded
        done += len(decoded)
        if request.on_progress:
            request.on_progress(done, len(paths))


def _decode_chunk(framing: CentreCrop | None, paths: Sequence[str]) -> list[Pixels | str]:
    decoded = (decode_image(path, framing) for path in paths)
    return [
        pixels if isinstance(pixels, str) else np.ascontiguousarray(pixels.transpose(2, 0, 1)) for pixels in decoded
    ]


FOLDER = Facts(
    name=NAME,
    title="a folder of your own, such as ImageNet",
    source="own",
    how_to="put the images into train/CLASS/ and test/CLASS/, or val/CLASS/, and name the folder by --data-dir",
)
DATASETS.register(NAME, DataSet(facts=FOLDER, load=load_folder))
