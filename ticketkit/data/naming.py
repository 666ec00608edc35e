"""Names of data sets, as tickets record them: ``cifar10[:5000]``, ``folder:flowers@256-224px``.

A name says which of the images were taken and to what size they were brought, so that the same ones can be had again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ticketkit.data.framing import CentreCrop

Limit = tuple[int | None, int | None]
"""How many training and test images of a data set were taken; None for all."""

_LIMIT = re.compile(r"(.*)\[:([0-9]{0,15})(?:,:([0-9]{1,15}))?\]", re.DOTALL)
_SIZES = re.compile(r".*@(?:([0-9]{1,5})-)?([0-9]{1,5})px", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataName:
    """A data set's name, taken apart.

    Attributes:
        loader: The name that it is registered under ("cifar10", "folder").
        limits: How it was limited, the first limit first.
        image_size: The side length that its images were brought to; None if they were taken as they are.
        resize: What their shorter side was brought to before that; None for the same.
    """

    loader: str
    limits: tuple[Limit, ...] = ()
    image_size: int | None = None
    resize: int | None = None


def parse_data_name(name: str) -> DataName:
    """Take a data set's name apart; what it does not say is None."""
    limits: list[Limit] = []
    while match := _LIMIT.fullmatch(name):
        name = match[1]
        limits.append((int(match[2]) if match[2] else None, int(match[3]) if match[3] else None))
    sizes = _SIZES.fullmatch(name)
    resize, image_size = (None, None) if sizes is None else sizes.groups()
    return DataName(
        loader=name.partition(":")[0],
        limits=tuple(reversed(limits)),
        image_size=None if image_size is None else int(image_size),
        resize=None if resize is None else int(resize),
    )


def limited_name(name: str, limit: Limit) -> str:
    """The name of a part of a data set."""
    train, test = ("" if count is None else str(count) for count in limit)
    return f"{name}[:{train},:{test}]" if test else f"{name}[:{train}]"


def framed_name(name: str, framing: CentreCrop | None) -> str:
    """The name of a data set whose images were brought to one size, or of one in a folder that is taken as it is."""
    if parse_data_name(name) != DataName(loader=name.partition(":")[0]):
        name += "/"  # the folder's own name ends like a limit or a size; no folder's name ends in a slash
    if framing is None:
        return name
    return f"{name}@{'' if framing.resize is None else f'{framing.resize}-'}{framing.size}px"
