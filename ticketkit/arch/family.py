"""Families of networks, and the names people type for their members."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ticketkit.arch.spec import ArchSpec, LayerSpec
from ticketkit.errors import ArchError
from ticketkit.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A design of which networks of several depths exist.

    Attributes:
        name: Its full name ("cifar-resnet").
        short: What people type before the depth ("resnet").
        default_width: The width of a network whose name gives none.
        prunes_head: Whether the output layer's weight is pruned by default.
        variants: The switches that a name may end in; the empty one is the plain network.
        has_depth: Whether a network of this depth exists.
        depths: What the depths are, for messages ("6n + 2").
        layers: The layers of a network, in execution order.
    """

    name: str
    short: str
    default_width: int
    prunes_head: bool
    variants: tuple[str, ...] = ("",)
    has_depth: Callable[[int], bool]
    depths: str
    layers: Callable[[ArchSpec], tuple[LayerSpec, ...]]

    def check(self, spec: ArchSpec) -> None:
        """Refuse a network that the family does not have.

        Raises:
            ArchError: Naming the nearest networks that it has.
        """
        if not self.has_depth(spec.depth):
            near = " or ".join(f"{self.short}{depth}" for depth in self._nearest_depths(spec.depth))
            raise ArchError(
                f"the depth of a {self.name} must be {self.depths} (got {self.short}{spec.depth}; nearest: {near})"
            )
        if spec.variant not in self.variants:
            known = ", ".join(repr(variant) for variant in self.variants if variant) or "none"
            raise ArchError(f"the variant of a {self.name} must be one of {known} (got {spec.variant!r})")

    def _nearest_depths(self, depth: int) -> Iterator[int]:
        searched = 1_000
        below = (d for d in range(depth - 1, max(depth - searched, 0), -1) if self.has_depth(d))
        above = (d for d in range(depth + 1, depth + searched) if self.has_depth(d))
        for candidates in (below, above):
            yield from [found] if (found := next(candidates, None)) is not None else []


FAMILIES: Registry[Family] = Registry("architecture family", "ticketkit.arch", ArchError)

_NAME = re.compile(
    r"(?P<family>[a-z][a-z0-9-]*?)(?P<depth>[0-9]{1,6})(?:-w(?P<width>[0-9]{1,7}))?(?:-(?P<variant>[a-z][a-z0-9-]*))?"
)


def parse_arch(
    text: str,
    *,
    default_width: int | None = None,
    num_classes: int = 10,
    in_channels: int = 3,
) -> ArchSpec:
    """Read an architecture's name: ``resnet20``, ``cifar-resnet20-w8``, ``resnet20-pad``.

    Args:
        text: The family, full or short, its depth, and optionally ``-w`` and a width and a variant.
        default_width: Channels of the first stage where the name gives none; the family's own default if None.
        num_classes: Outputs.
        in_channels: Channels of the input images.

    Raises:
        ArchError: If no such network exists; the message names the nearest that does.
    """
    match = _NAME.fullmatch(text.strip().lower())
    if match is None:
        raise ArchError(f"an architecture must be a family and a depth, such as resnet20 (got {text!r})")
    family = _family(match["family"], text)
    return ArchSpec(
        family=family.name,
        depth=int(match["depth"]),
        width=int(match["width"]) if match["width"] else default_width or family.default_width,
        num_classes=num_classes,
        in_channels=in_channels,
        variant=match["variant"] or "",
    )


def _family(name: str, text: str) -> Family:
    if name in FAMILIES:
        return FAMILIES[name]
    for family in FAMILIES.values():
        if family.short == name:
            return family
    known = ", ".join(sorted({label for family in FAMILIES.values() for label in (family.short, family.name)}))
    raise ArchError(f"an architecture's family must be one of {known} (got {name!r} in {text!r})")
