"""What is known of a data set before it is read: data beside its loader, which ``ticketkit data`` lists."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Source = Literal["embedded", "download", "own"]
"""Where a data set comes from: with ticketkit, from the net, or from a folder of the user's own."""

DEFAULT_DIR: Final = Path("data")
"""Where data sets that are downloaded lie unless ``data_dir`` says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a data set before it is read.

    Attributes:
        name: The name it is registered under.
        title: What it is, in a few words.
        source: Where it comes from.
        how_to: How to bring it by hand: what to put into its folder, and where that comes from; empty where there is
            nothing to bring.
        classes: The classes' names, in the order of the labels; None where its folder tells.
        shape: Channels, height and width of its images; None where its folder tells.
        train: Number of training images; None where its folder tells.
        test: Number of test images; None where its folder tells.
        recipe: Name of the recipe that ``ticketkit find`` trains it by, if none is given.
        mirrors: Whether an image's mirror image is one of the same class, as of most photographs and of no digit.
        megabytes: What lies in its folder, by path, and what fetching each part takes, in MB.
        needs: What must be installed to read it beside ticketkit, as ``pip`` takes it; empty for nothing.
    """

    name: str
    title: str
    source: Source
    how_to: str = ""
    classes: tuple[str, ...] | None = None
    shape: tuple[int, int, int] | None = None
    train: int | None = None
    test: int | None = None
    recipe: str = "fast-cifar"
    mirrors: bool = True
    megabytes: Mapping[str, int] = field(default_factory=dict)
    needs: str = ""

    @property
    def overrides(self) -> tuple[str, ...]:
        """What its default recipe must have otherwise, as :func:`ticketkit.load_recipe` takes it."""
        return () if self.mirrors else ("flip=false",)

    def missing(self, folder: Path) -> tuple[str, ...]:
        """What must lie in a folder and does not, or cannot be looked at."""
        return tuple(path for path in self.megabytes if not os.path.exists(folder / path))


def bytes_below(path: Path) -> int:
    """What the files at or below a path take on disk, in bytes; what cannot be looked at counts as nothing."""
    total = 0
    with suppress(OSError):
        total = 0 if path.is_dir() else path.stat().st_size
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total
