"""The networks that a study names, for the data that they are trained on."""

from __future__ import annotations

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.data import ImageData


def network(name: str, data: ImageData) -> ArchSpec:
    """A network by its name, with the classes and input channels of a data set.

    Raises:
        ArchError: If there is no such network.
    """
    first = parse_arch(name, num_classes=data.num_classes, in_channels=data.shape[0])
    channels = FAMILIES[first.family].image_channels(data.shape)
    return parse_arch(name, num_classes=data.num_classes, in_channels=channels)
