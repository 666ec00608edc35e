"""Families of networks, and the names people type for their members."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ticketkit.arch.spec import LIMITS, ArchSpec, LayerSpec, with_article
from ticketkit.errors import ArchError
from ticketkit.reading import did_you_mean
from ticketkit.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a name says of a network, its family aside; None where it says nothing.

    Attributes:
        depth: See :class:`~ticketkit.ArchSpec`, as for all the others.
        width: None is the caller's default, or the family's.
        variant: None is the caller's default; an empty one is the plain network, named as such.
        in_channels: None leaves it to the caller.
        num_classes: None leaves it to the caller.
    """

    depth: int
    width: int | None = None
    variant: str | None = None
    in_channels: int | None = None
    num_classes: int | None = None


LONGEST_TEXT = 1_000
"""The longest text that is read as a name: one spelt out, as MLPs' may be, is longer than its canonical form."""

_LONGEST_RESEMBLING = 40

_PLAIN = re.compile(r"(?P<depth>[0-9]{1,6})(?:-w(?P<width>[0-9]{1,7}))?(?:-(?P<variant>[a-z][a-z0-9-]*))?")


def read_plain(text: str) -> Named | None:
    """Read what most families' names end in: the depth, and optionally ``-w`` and a width, and a variant."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    return Named(
        depth=int(match["depth"]), width=int(match["width"]) if match["width"] else None, variant=match["variant"]
    )


def write_plain(spec: ArchSpec) -> str:
    """Write what :func:`read_plain` reads; a width that is the family's own is left out."""
    width = "" if spec.width == FAMILIES[spec.family].default_width else f"-w{spec.width}"
    return f"{spec.depth}{width}" + (f"-{spec.variant}" if spec.variant else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A design of which networks of several depths exist.

    Attributes:
        name: Its full name ("cifar-resnet").
        short: What people type before the depth ("resnet"); other families may share it.
        precedence: Which family a short name means if several that share it have such a network: the highest.
        default_width: The width of a network whose name gives none.
        prunes_head: Whether the output layer's weight is pruned by default.
        residual: Whether a unit adds its output to its input, and the branch that it adds ends in a normalisation.
        variants: What a name may end in, for messages; the empty one is the plain network.
        examples: Names of some networks, a usual one first; the contract tests run over them.
        has_depth: Whether a network of this depth exists.
        has_variant: Whether a variant exists, spelled in its one canonical way; those in ``variants`` if None.
        depths: What the depths are, for messages ("6n + 2").
        layers: The layers of a network, in execution order.
        read: Takes what stands in a name behind the family; None if that is no name.
        write: The inverse, in the one canonical form.
        problem: What else keeps a network from existing, as the end of a message; None if nothing does.
        design: What a stretched ticket must share with its source beside width, classes and input channels. Networks
            of one design have the same stages, and units of the same shapes in each.
        image_channels: What ``in_channels`` must be for images [C, H, W].
        channel: What one of ``in_channels`` is called.
        image_size: The height and width that its images must have; None if any will do.
    """

    name: str
    short: str
    precedence: int = 0
    default_width: int
    prunes_head: bool
    residual: bool = False
    variants: tuple[str, ...] = ("",)
    examples: tuple[str, ...] = ()
    has_depth: Callable[[int], bool]
    has_variant: Callable[[str], bool] | None = None
    depths: str
    layers: Callable[[ArchSpec], tuple[LayerSpec, ...]]
    read: Callable[[str], Named | None] = read_plain
    write: Callable[[ArchSpec], str] = write_plain
    problem: Callable[[ArchSpec], str | None] = lambda _: None
    design: Callable[[ArchSpec], str] = lambda spec: spec.variant
    image_channels: Callable[[tuple[int, int, int]], int] = lambda shape: shape[0]
    channel: str = "input channel"
    image_size: Callable[[ArchSpec], int | None] = lambda _: None

    def check(self, spec: ArchSpec) -> None:
        """Refuse a network that the family does not have.

        Raises:
            ArchError: Naming the nearest networks that it has.
        """
        if not self.has_depth(spec.depth):
            near = " or ".join(f"{self.label(depth)}{depth}" for depth in _nearest_depths([self], spec.depth))
            must = f"the depth of {with_article(self.name)} must be {self.depths}"
            raise ArchError(f"{must} (got {self.short}{spec.depth}; nearest: {near})")
        exists = self.variants.__contains__ if self.has_variant is None else self.has_variant
        if not exists(spec.variant):
            known = ", ".join(repr(variant) for variant in self.variants if variant)
            must = f"one of {known}" if known else "empty"
            raise ArchError(f"the variant of {with_article(self.name)} must be {must} (got {spec.variant[:80]!r})")
        if problem := self.problem(spec):
            raise ArchError(f"{with_article(self.name)} {problem}")

    def label(self, depth: int) -> str:
        """What stands before the depth in the shortest name that means this family's network."""
        rivals = [f for f in FAMILIES.values() if f.short == self.short and f.precedence > self.precedence]
        return self.name if any(rival.has_depth(depth) for rival in rivals) else self.short


FAMILIES: Registry[Family] = Registry(
    "architecture family",
    "ticketkit.arch",
    ArchError,
    advice="a network of your own must be made known in this process first (ticketkit.register_network)",
)


def parse_arch(
    text: str,
    *,
    default_width: int | None = None,
    default_variant: str = "",
    num_classes: int = 10,
    in_channels: int = 3,
    within: str | None = None,
) -> ArchSpec:
    """Read an architecture's name: ``resnet20``, ``cifar-resnet20-w8``, ``resnet20-pad``, ``mobilenetv1``, ``mlp-…``.

    Each family has names of its own; most are its name, full or short, the depth, and optionally ``-w`` and a width,
    and a variant. A short name that several families share means the one that has such a depth; if more than one has
    it (``resnet50``), the one of the highest precedence, which is ImageNet's.

    Args:
        text: The name, in any case.
        default_width: The width where the name gives none; the family's own default if None.
        default_variant: The variant where the name gives none.
        num_classes: Outputs, unless the name says how many (``mlp-…-10``).
        in_channels: Channels of the input images, unless the name says what goes in (``mlp-784-…``).
        within: The family that a short name means if it shares it, whatever the precedence.

    Raises:
        ArchError: If no such network exists; the message names the nearest that does.

    Examples:
        >>> ticketkit.parse_arch("resnet20").name
        'cifar-resnet20'
        >>> ticketkit.parse_arch("resnet50", num_classes=1000).name
        'imagenet-resnet50'
    """
    if len(text) > LONGEST_TEXT:
        raise ArchError(f"an architecture's name must have at most {LONGEST_TEXT:,} characters (got {len(text):,})")
    name = text.strip().lower()
    label, families = _find_families(name, text)
    chosen = [family for family in families if family.name == within] or families
    readings = [(family, named) for family in chosen if (named := family.read(name.removeprefix(label))) is not None]
    if not readings:
        raise ArchError(_no_name(text, families[0].examples[0] if families[0].examples else "resnet20"))
    family, named = _first_with_depth(label, readings)
    default_width = default_width or family.default_width
    return ArchSpec(
        family=family.name,
        depth=named.depth,
        width=default_width if named.width is None else named.width,
        num_classes=num_classes if named.num_classes is None else named.num_classes,
        in_channels=in_channels if named.in_channels is None else named.in_channels,
        variant=default_variant if named.variant is None else named.variant,
    )


def _find_families(name: str, text: str) -> tuple[str, list[Family]]:
    """The longest label that a name begins with, and the families that have it, the foremost first."""
    labels = sorted({label for family in FAMILIES.values() for label in (family.name, family.short)})
    found = max((label for label in labels if name.startswith(label)), key=len, default="")
    if found and not name.removeprefix(found)[:1].isalpha():
        having = [family for family in FAMILIES.values() if found in (family.name, family.short)]
        return found, sorted(having, key=lambda family: -family.precedence)
    unknown = re.fullmatch(r"([a-z][a-z0-9-]*?)-?[0-9].*", name)
    if unknown is None:
        raise ArchError(_no_name(text, "resnet20"))
    raise ArchError(
        f"an architecture's family must be one of {', '.join(labels)} (got {unknown[1][:40]!r} in {text[:80]!r}"
        f"{_resembling(name)})"
    )


def _no_name(text: str, example: str) -> str:
    return f"an architecture must be a family and a depth, such as {example} (got {text[:80]!r}{_resembling(text)})"


def _resembling(text: str) -> str:
    """The end of a message about a name that is none: a network that has one like it, or nothing."""
    name = text.strip().lower()
    if len(name) > _LONGEST_RESEMBLING or not re.fullmatch(r"[a-z][ -~]*", name):
        return ""
    digits = re.search(r"[0-9]+", name)
    if digits is not None and int(digits[0]) > LIMITS["depth"]:
        return ""
    known = [example for family in FAMILIES.values() for example in family.examples]
    if digits is not None:
        depth = int(digits[0])
        families = [family for family in FAMILIES.values() if family.has_depth(depth) and family.read(str(depth))]
        known += [f"{family.label(depth)}{depth}" for family in families]
    return did_you_mean(name, known)


def _first_with_depth(label: str, readings: list[tuple[Family, Named]]) -> tuple[Family, Named]:
    for family, named in readings:
        if family.has_depth(named.depth):
            return family, named
    first, named = readings[0]
    if len(readings) == 1 or named.depth > LIMITS["depth"]:
        return first, named  # the network itself says what is wrong with it
    families = sorted((family for family, _ in readings), key=lambda family: family.name)
    must = " or ".join(f"{family.depths} for {family.name}" for family in families)
    near = " or ".join(f"{label}{depth}" for depth in _nearest_depths(families, named.depth))
    raise ArchError(f"the depth of {with_article(label)} must be {must} (got {label}{named.depth}; nearest: {near})")


def _nearest_depths(families: list[Family], depth: int) -> Iterator[int]:
    """The nearest depth below and the nearest above of which one of the families has a network."""
    searched = 1_000
    below = range(depth - 1, max(depth - searched, 0), -1)
    above = range(depth + 1, depth + searched)
    for candidates in (below, above):
        yield from [d for d in candidates if any(family.has_depth(d) for family in families)][:1]
