"""The registry of the data sets that ticketkit can load, and what is asked of their loaders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ticketkit.data.facts import Facts
from ticketkit.data.framing import CentreCrop
from ticketkit.data.images import ImageData
from ticketkit.errors import DataError
from ticketkit.registry import Registry

MOST_SIDE = 8_192
"""The largest side length that images are brought to; an image of it has :data:`~ticketkit.data.files.MOST_PIXELS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """What is asked of a data set's loader; each takes what concerns it.

    Attributes:
        data_dir: The folder that holds the data; None for the data set's own default.
        image_size: Height and width in pixels to bring images to, where they differ; None to take them as they are.
        resize: Length in pixels that an image's shorter side is brought to before its centre is cut out, at least
            ``image_size``, which must be given with it; None for ``image_size`` itself. ImageNet is mostly evaluated
            with 256 and 224.
        download: Whether a data set that is missing may be fetched from the net.
        workers: Processes that decode images; None for as many as there are processors.
        stream: Whether images that lie in a file each are decoded whenever they are needed, instead of once; None
            decides by ``memory_budget``. Other data sets are always held.
        memory_budget: What decoded images may take, in bytes, before they are streamed; None for no limit.
            :func:`ticketkit.train.memory_budget` gives a device's.
        cache_dir: Where decoded images are kept; None for ``ticketkit`` in the user's cache folder.
        on_progress: Called, in the thread that loads, with the images done and the images there are.
        on_wait: Called with one line before something slow that shows no progress, such as a download, and with one
            about files that were left out; if None, the latter is a warning.

    Raises:
        DataError: If a number is less than 1, a side above 8,192 pixels, or ``resize`` is given without
            ``image_size`` or less than it.
    """

    data_dir: Path | None = None
    image_size: int | None = None
    resize: int | None = None
    download: bool = True
    workers: int | None = None
    stream: bool | None = None
    memory_budget: int | None = None
    cache_dir: Path | None = None
    on_progress: Callable[[int, int], None] | None = None
    on_wait: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "resize", "workers", "memory_budget"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise DataError(f"{name} of a data set must be at least 1 (got {number})")
        for name in ("image_size", "resize"):
            number = getattr(self, name)
            if number is not None and number > MOST_SIDE:
                raise DataError(f"{name} of a data set must be at most {MOST_SIDE:,} pixels (got {number:,})")
        if self.resize is not None and (self.image_size is None or self.resize < self.image_size):
            cut = "no image_size" if self.image_size is None else f"{self.image_size}"
            raise DataError(f"resize of a data set must be at least its image_size (got {self.resize} and {cut})")

    @property
    def framing(self) -> CentreCrop | None:
        """How images are brought to one size; None to take them as they are."""
        return None if self.image_size is None else CentreCrop(size=self.image_size, resize=self.resize)

    def check_image_size(self, name: str, size: int) -> None:
        """Refuse a size that a data set of fixed size does not have; for loaders.

        Args:
            name: The data set.
            size: Height and width of its images.

        Raises:
            DataError: If ``image_size`` or ``resize`` is given and differs.
        """
        for field in ("image_size", "resize"):
            if (got := getattr(self, field)) not in (None, size):
                raise DataError(f"{field} of {name} must be {size}, or not given (got {got})")


Loader = Callable[[DataRequest], ImageData]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A data set that is registered.

    Attributes:
        facts: What is known of it before it is read.
        load: What reads it.
    """

    facts: Facts
    load: Loader


DATASETS: Registry[DataSet] = Registry("data set", "ticketkit.data", DataError)


def load_data(name: str, request: DataRequest | None = None) -> ImageData:
    """Load a data set.

    Args:
        name: The name it is registered under ("digits", "cifar10", "folder").
        request: Where it is and how to read it; all defaults if None.

    Raises:
        DataError: If there is no such data set, or it is missing or malformed.

    Examples:
        >>> ticketkit.load_data("digits").classes
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    return DATASETS[name].load(request or DataRequest())
