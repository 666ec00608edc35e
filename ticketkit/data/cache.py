"""What decoding a folder of images gave, kept in the user's cache folder until an image changes.

A cache that cannot be written or is damaged costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ticketkit.atomic import replacing
from ticketkit.cache_folder import cache_folder
from ticketkit.data.files import Pixels
from ticketkit.data.framing import CentreCrop
from ticketkit.data.survey import Survey

CACHE_VERSION = 2

LeftOut = Mapping[int, str]
"""Images that are left out: the place of each in the list of all, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A survey as it is kept, with the key of what it was made of."""

    key: str
    survey: Survey
    left_out: dict[int, str]


class FolderCache:
    """The decoded images of a folder, or what a pass over them told.

    There is one file of each for a folder and image size, so that a folder that changes leaves nothing behind.

    Args:
        root: The folder of images.
        paths: Its images.
        framing: How they are brought to one size, if at all.
        folder: Where to keep the files; None for :func:`ticketkit.cache_folder.cache_folder`.
    """

    def __init__(self, root: Path, paths: Sequence[str], *, framing: CentreCrop | None, folder: Path | None) -> None:
        folder = folder or cache_folder()
        sizes = [None] if framing is None else [framing.size, *([] if framing.resize is None else [framing.resize])]
        name = hashlib.sha256(json.dumps([str(root), *sizes]).encode()).hexdigest()
        self._stem = None if folder is None else folder / f"folder-{name[:32]}"
        self._key = _key(root, paths)
        self._count = len(paths)

    def images(self) -> tuple[Pixels, LeftOut] | None:
        """The decoded images, uint8 [N, C, H, W], and what was left out, if they are kept and still hold."""
        if self._stem is None:
            return None
        try:
            with self._stem.with_suffix(".npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if not np.array_equal(arrays["key"], np.frombuffer(self._key, dtype=np.uint8)):
                    return None
                images = arrays["images"]  # zip's checksum is compared on the way
                left_out = dict(zip(arrays["left_out"].tolist(), arrays["reasons"].tolist(), strict=True))
        except Exception:  # whatever is wrong with the cache, the images themselves are still there
            return None
        whole = images.dtype == np.uint8 and images.shape[:1] == (self._count - len(left_out),)
        return (images, left_out) if whole and self._lists(left_out) else None

    def keep_images(self, images: Pixels, left_out: LeftOut) -> None:
        """Keep decoded images, and which were left out."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(
                    file,
                    key=np.frombuffer(self._key, dtype=np.uint8),
                    images=images,
                    left_out=np.array([*left_out], dtype=np.int64),
                    reasons=np.array([*left_out.values()], dtype=np.str_),
                )

        self._keep(".npz", write)

    def survey(self) -> tuple[Survey, LeftOut] | None:
        """What a pass over the images told, and what was left out, if that is kept and still holds."""
        if self._stem is None:
            return None
        try:
            kept = msgspec.json.decode(self._stem.with_suffix(".json").read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None
        holds = kept.key == self._key.hex() and self._lists(kept.left_out)
        return (kept.survey, kept.left_out) if holds else None

    def keep_survey(self, survey: Survey, left_out: LeftOut) -> None:
        """Keep what a pass over the images told, and which were left out."""
        content = msgspec.json.encode(_Kept(key=self._key.hex(), survey=survey, left_out=dict(left_out)))
        self._keep(".json", lambda path: path.write_bytes(content))

    def _lists(self, left_out: LeftOut) -> bool:
        return all(0 <= place < self._count for place in left_out)

    def _keep(self, suffix: str, write: Callable[[Path], object]) -> None:
        if self._stem is None:
            return
        path = self._stem.with_suffix(suffix)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, overwrite=True) as temporary:
                write(temporary)


def _key(root: Path, paths: Sequence[str]) -> bytes:
    """SHA-256 of everything that the decoded images depend on, beside the image size."""
    from PIL import __version__ as decoder  # Pillow is not imported to look up a data set

    digest = hashlib.sha256(json.dumps([CACHE_VERSION, decoder, str(root)]).encode())
    for path in paths:
        state: list[str | int] = [path]
        with contextlib.suppress(OSError):  # a link that leads nowhere: decoding it will say so
            stat = os.stat(path)
            state += [stat.st_size, stat.st_mtime_ns]
        digest.update(json.dumps(state).encode())
    return digest.digest()
