"""Which files are the images of a folder, in what order, and what is said of those that are left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketkit.data.files import NAMED, Fault
from ticketkit.errors import DataError, one_line

IMAGE_ENDS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""How the name of an image ends, in any case; those that torchvision's ImageFolder takes."""

OTHER_KIND = "of another kind"
OUTSIDE = "in no class's folder"
LOOP = "reached in a circle of links"

_LONGEST_PATH = 120
"""How much of a path a line shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The images of one part of a folder.

    Attributes:
        folder: The part: ``train``, ``test`` or ``val``.
        paths: Their files, sorted by class, folder and name.
        labels: int64 of shape [N]: the position of each one's class among ``classes``.
        classes: The classes' folders, sorted.
        left_out: The files that are no images, or none that can be decoded.
    """

    folder: Path
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    left_out: tuple[Fault, ...] = ()

    @property
    def files(self) -> int:
        """Number of files, with those that are left out."""
        return len(self.paths) + len(self.left_out)

    def without(self, reasons: Mapping[str, str]) -> Listing:
        """The same without some images, each path with the reason why it is left out; others' paths do not matter."""
        kept = [place for place, path in enumerate(self.paths) if path not in reasons]
        faults = [Fault(path=path, reason=reasons[path]) for path in self.paths if path in reasons]
        return replace(
            self,
            paths=tuple(self.paths[place] for place in kept),
            labels=self.labels[kept],
            left_out=(*self.left_out, *faults),
        )


def list_part(folder: Path) -> Listing:
    """List the images below each class's folder, as torchvision's ImageFolder does and in its order.

    A folder below a class's folder belongs to the class; a link to a folder is followed, but never into a circle.

    Raises:
        DataError: If there is no class, or a folder cannot be read.
    """
    paths: list[str] = []
    labels: list[int] = []
    left_out: list[Fault] = []
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _is_folder(entry)) for entry in entries)
        classes = [name for name, is_folder in found if is_folder]
        left_out += [Fault(path=str(folder / name), reason=OUTSIDE) for name, is_folder in found if not is_folder]
        for label, name in enumerate(classes):
            for path in _walk(os.path.join(folder, name), left_out):
                if path.lower().endswith(IMAGE_ENDS):
                    paths.append(path)
                    labels.append(label)
                else:
                    left_out.append(Fault(path=path, reason=OTHER_KIND))
    except OSError as error:
        raise DataError(f"a folder of images must be readable ({error.strerror}): {error.filename}") from None
    if not classes:
        raise DataError(f"a folder of images must hold a folder for each class (got none): {folder}")
    return Listing(
        folder=folder,
        paths=tuple(paths),
        labels=np.array(labels, dtype=np.int64),
        classes=tuple(classes),
        left_out=tuple(left_out),
    )


def check_classes(listing: Listing, root: Path) -> None:
    """Refuse a part of which a class has no image.

    Raises:
        DataError: Naming the class, and what was left out.
    """
    counts = np.bincount(listing.labels, minlength=len(listing.classes))
    if empty := [name for name, count in zip(listing.classes, counts, strict=True) if not count]:
        names = ", ".join(empty[:NAMED]) + (", …" if len(empty) > NAMED else "")
        line = left_out_line((listing,), root)
        raise DataError(
            f"every class must hold an image (got none for {names}{f'; {line}' if line else ''}): {listing.folder}"
        )


def left_out_line(parts: Sequence[Listing], root: Path) -> str:
    """What was left out, in one line: how many files, why, and the first few of each kind; empty if none was.

    For example ``3 of 120 files were left out: 2 broken (train/cat/a.jpg, train/dog/b.jpg), 1 of another kind (…)``.
    """
    faults = [fault for part in parts for fault in part.left_out]
    if not faults:
        return ""
    by_reason: dict[str, list[str]] = {}
    for fault in faults:
        by_reason.setdefault(fault.reason, []).append(fault.path)
    kinds = []
    for reason, paths in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        names = [one_line(os.path.relpath(path, root), _LONGEST_PATH) for path in paths[:NAMED]]
        kinds.append(f"{len(paths):,} {reason} ({', '.join(names + ['…'] * (len(paths) > NAMED))})")
    were = "was" if len(faults) == 1 else "were"
    return f"{len(faults):,} of {sum(part.files for part in parts):,} files {were} left out: {', '.join(kinds)}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _walk(top: str, left_out: list[Fault]) -> Iterator[str]:
    """Every file below a folder, sorted by folder and name."""
    folders: list[tuple[str, list[str]]] = []
    waiting = [(top, frozenset[tuple[int, int]]())]
    while waiting:
        folder, above = waiting.pop()
        status = os.stat(folder)
        if (itself := (status.st_dev, status.st_ino)) in above:
            left_out.append(Fault(path=folder, reason=LOOP))
            continue
        names = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    waiting.append((entry.path, above | {itself}))
                else:
                    names.append(entry.name)
        folders.append((folder, sorted(names)))
    for folder, names in sorted(folders):
        for name in names:
            yield os.path.join(folder, name)
