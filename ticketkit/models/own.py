"""Networks of your own: made known to this process, they are found, stretched, verified and kept as any other."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ticketkit.arch import FAMILIES, ArchSpec, Family, LayerSpec
from ticketkit.arch.spec import LIMITS
from ticketkit.errors import ArchError
from ticketkit.models.build import MODELS
from ticketkit.models.describe import compiled, describe

ANY_DEPTH = range(1, LIMITS["depth"] + 1)

_NAME = re.compile("[a-z](?:[a-z0-9-]*[a-z])?")

_SHOWN = 3
"""How many depths a message names."""


def register_network(
    name: str,
    build: Callable[[ArchSpec], nn.Module],
    *,
    stages: str | Sequence[str],
    entries: bool = True,
    depths: range = ANY_DEPTH,
    default_width: int = 1,
    prunes_head: bool = True,
    residual: bool = False,
    variants: Sequence[str] = ("",),
    image_size: int | None = None,
) -> Family:
    r"""Make a network of your own known to this process, at every depth that it has.

    Its members then have names, such as ``tower4`` for depth 4 and ``tower4-w32`` where 32 is not the default width,
    and everything takes them: ``parse_arch``, ``find_ticket``, ``stretch_ticket``, ``verify_ticket``, ``save_ticket``.
    A file of such a ticket is read where the same network is registered, and refused elsewhere; every layer in it must
    be the network's. What the network's layers are is read off its modules. There are convolutions (``Conv2d``),
    ``Linear``, ``BatchNorm2d``, ``LayerNorm``, ``GroupNorm``, ``RMSNorm``, ``MultiheadAttention``, ``Embedding``, and
    modules of your own that hold one tensor. A network begins as its constructor leaves it, under the seed.

    Args:
        name: What stands before the depth in the networks' names: lower-case letters, and digits or hyphens inside.
            Files hold it, so take one that nobody else will.
        build: Makes the network from ``arch.depth``, ``width``, ``num_classes``, ``in_channels`` and ``variant``. It
            must follow them, and return the same layers for the same values.
        stages: Which modules are units of which stage: a regular expression that matches the beginning of their names,
            up to the end or a point, with a group ``unit`` for the unit's number and, if there is more than one stage,
            a group ``stage``; or one expression for each stage. Units of a stage must be alike. Modules that do not
            match stand outside the stages and are copied one to one.
        entries: Whether each stage begins with a unit that never moves, and which may so differ from the others.
            Without, the first unit is like the others, and a stage of one unit can be stretched.
        depths: The depths that exist, if not all from 1.
        default_width: The width of a network whose name gives none. Leave it where the network knows no width.
        prunes_head: Whether the output layer is pruned too, unless asked otherwise.
        residual: Whether each unit adds a branch that ends in a ``BatchNorm2d`` to its input, so that copies can be
            rescaled.
        variants: What a name may end in ("small" in ``tower4-small``); the empty one is the plain network.
        image_size: The height and width that its images must have; None if any will do.

    Returns:
        The family, as ``FAMILIES[name]``.

    Raises:
        ArchError: If the name is taken or no name, or ``stages`` are no such expressions. What the network's modules
            are is looked at when a network is first used, and refused then if no ticket can hold it.

    Examples:
        >>> import ticketkit
        >>> from torch import nn
        >>> class Tower(nn.Module):
        ...     def __init__(self, depth: int, width: int, classes: int, channels: int) -> None:
        ...         super().__init__()
        ...         self.stem = nn.Conv2d(channels, width, 3, padding=1)
        ...         self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        ...         self.head = nn.Linear(width, classes)
        ...     def forward(self, images):
        ...         features = self.stem(images)
        ...         for block in self.blocks:
        ...             features = features + block(features.relu())
        ...         return self.head(features.mean((2, 3)))
        >>> tower = ticketkit.register_network(
        ...     "plain-tower",
        ...     lambda arch: Tower(arch.depth, arch.width, arch.num_classes, arch.in_channels),
        ...     stages=r"blocks\.(?P<unit>\d+)",
        ...     entries=False,
        ...     default_width=8,
        ... )
        >>> ticketkit.parse_arch("plain-tower3").stages
        (3,)
        >>> source, target = ticketkit.parse_arch("plain-tower2"), ticketkit.parse_arch("plain-tower5")
        >>> ticketkit.plan_stretch(source, target)
        StageMap(stages=((0, 1, 0, 1, 0),))
    """
    if not _NAME.fullmatch(name):
        raise ArchError(
            f"a network's name must be lower-case letters, with digits or hyphens inside (got {name[:80]!r})"
        )
    if name in FAMILIES or name in {family.short for family in FAMILIES.values()}:
        raise ArchError(f"a network must have a name of its own ({name!r} is taken in this process)")
    if not depths or depths[0] < 1:
        raise ArchError(f"depths must be a range of at least one number, all from 1 (got {depths})")
    compiled(stages)  # what is wrong with them is said here already

    def layers(arch: ArchSpec) -> tuple[LayerSpec, ...]:
        found = describe(own.begun(arch, 0), stages, entries=entries)
        if len(found) < arch.depth:  # as every reader of files relies on
            raise ArchError(f"{arch.name} must have a layer for each of its depth (got {len(found):,})")
        return found

    own = OwnNetwork(name, build)
    family = Family(
        name=name,
        short=name,
        default_width=default_width,
        prunes_head=prunes_head,
        residual=residual,
        variants=tuple(variants),
        examples=(f"{name}{depths[0]}",),
        has_depth=depths.__contains__,
        depths=_listed(depths),
        layers=layers,
        image_size=lambda _: image_size,
    )
    MODELS.register(name, own)
    return FAMILIES.register(name, family)


@dataclass(frozen=True)
class OwnNetwork:
    """A builder of networks whose weights their own constructors draw.

    Attributes:
        name: The networks' name, for messages.
        build: Makes one.
    """

    name: str
    build: Callable[[ArchSpec], nn.Module]

    def __call__(self, arch: ArchSpec) -> nn.Module:
        """Build a network on the current default device; its constructor runs on the CPU, where it may compute."""
        device = torch.empty(0).device
        with torch.device("cpu"):
            return self._built(arch).to(device)

    def begun(self, arch: ArchSpec, seed: int) -> nn.Module:
        """Build a network on the CPU, every random number drawn from this seed, and leave no trace elsewhere."""
        # The generator that constructors draw from is the process's own, and several threads may build networks.
        with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(seed)
            return self._built(arch)

    def _built(self, arch: ArchSpec) -> nn.Module:
        model = self.build(arch)
        if not isinstance(model, nn.Module):
            raise ArchError(f"what builds {self.name} must return a torch module (got {type(model).__name__})")
        return model


_ONE_AT_A_TIME = threading.Lock()


def _listed(depths: range) -> str:
    if len(depths) <= _SHOWN:
        return " or ".join(map(str, depths))
    return f"{depths[0]}, {depths[1]}, … or {depths[-1]}"
