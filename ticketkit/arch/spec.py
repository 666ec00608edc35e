"""What a network is, as data: its name, and its layers in execution order with their place in the stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from ticketkit.errors import ArchError

Kind = Literal["conv2d", "linear", "batch_norm", "layer_norm", "attention", "embedding"]
"""What a layer computes.

``attention`` is the joint projection of multi-head attention to queries, keys and values; what its heads give is
projected back by a ``linear`` layer of its own. ``embedding`` is a learnt constant, such as a position's. The files
hold these names, so they stay.
"""

Role = Literal["stem", "entry", "unit", "fixed", "head"]
"""Where a layer stands.

``unit`` layers may be replicated or dropped, all others are copied one to one: ``stem`` and ``head`` are the input and
output layers, ``entry`` is the first unit of a stage (the one that down-samples), ``fixed`` is anything else that has
one place.
"""

PRUNABLE: dict[str, str] = {"conv2d": "weight", "linear": "weight", "attention": "in_proj_weight"}
"""The tensor that a mask may cover in a layer of each kind; the other kinds have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor of a layer.

    Attributes:
        name: Its name inside the layer ("weight").
        shape: Its dense shape.
        dtype: Its element type, as safetensors spells it ("F32", "I64").
        trainable: Whether it is a parameter; running statistics and their counter are not.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "F32"
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One layer with parameters.

    Attributes:
        index: Its position in execution order, from 0.
        name: Its module's name in the torch model ("blocks.0.conv1").
        kind: What it computes.
        tensors: Its tensors, in the order of the torch model's ``state_dict``.
        role: Where it stands; see :data:`~ticketkit.arch.spec.Role`.
        stage: The elastic stage it belongs to, from 0; None outside the stages.
        unit: The unit inside that stage, from 0; None outside the stages.

    Examples:
        >>> layer = ticketkit.parse_arch("resnet20").layers()[6]
        >>> layer.name, layer.kind, layer.role, layer.stage, layer.unit
        ('blocks.1.conv1', 'conv2d', 'unit', 0, 1)
    """

    index: int
    name: str
    kind: Kind
    tensors: tuple[TensorSpec, ...]
    role: Role
    stage: int | None = None
    unit: int | None = None

    @property
    def prunable(self) -> str | None:
        """Name of the tensor that a mask may cover, or None."""
        return PRUNABLE.get(self.kind)

    def tensor_name(self, tensor: TensorSpec) -> str:
        """Name of one of its tensors in the model's ``state_dict`` ("blocks.0.conv1.weight")."""
        return f"{self.name}.{tensor.name}"


class StateTensor(NamedTuple):
    """One entry of a network's ``state_dict``, with the layer it belongs to."""

    name: str
    layer: LayerSpec
    tensor: TensorSpec

    @property
    def prunable(self) -> bool:
        """Whether a mask may cover it."""
        return self.tensor.name == self.layer.prunable


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchSpec:
    """A network of a known family.

    Attributes:
        family: The family's name ("cifar-resnet").
        depth: Its depth, as the family counts it (20 for ResNet-20).
        width: Channels of the first stage; features of a layer in a network without channels.
        num_classes: Outputs.
        in_channels: Channels of the input images; the number of input features of an MLP.
        variant: The family's own switches, as they stand in the name ("pad"); empty for the plain network.

    Raises:
        ArchError: If the family is unknown, or has no such network.

    Examples:
        >>> arch = ticketkit.ArchSpec(family="cifar-resnet", depth=20, width=8)
        >>> arch.name, arch.stages
        ('cifar-resnet20-w8', (3, 3, 3))
        >>> arch == ticketkit.parse_arch("resnet20-w8")
        True
    """

    family: str
    depth: int
    width: int
    num_classes: int = 10
    in_channels: int = 3
    variant: str = ""

    def __post_init__(self) -> None:
        from ticketkit.arch.family import FAMILIES

        for name, limit in LIMITS.items():
            number = getattr(self, name)
            if not 1 <= number <= limit:
                raise ArchError(f"{name} of {with_article(self.family)} must be from 1 to {limit:,} (got {number:,})")
        FAMILIES[self.family].check(self)
        if len(self.name) > MAX_NAME:  # a ticket's provenance names networks
            raise ArchError(f"the name of {with_article(self.family)} must have at most {MAX_NAME} characters")

    @property
    def name(self) -> str:
        """Its full name, which ``parse_arch`` reads back ("cifar-resnet20-w8"); equal networks have equal names."""
        from ticketkit.arch.family import FAMILIES

        return self.family + FAMILIES[self.family].write(self)

    @property
    def short_name(self) -> str:
        """The name people type ("resnet20-w8"), which ``parse_arch`` reads back too.

        It is the full one where the short one means another family's network: ResNet-50 is ImageNet's.
        """
        from ticketkit.arch.family import FAMILIES

        family = FAMILIES[self.family]
        return family.label(self.depth) + family.write(self)

    @property
    def ends(self) -> str:
        """What comes out and goes in, in words ("10 classes, 1 input channel")."""
        from ticketkit.arch.family import FAMILIES

        numbers = ((self.num_classes, "class", "es"), (self.in_channels, FAMILIES[self.family].channel, "s"))
        return ", ".join(f"{number:,} {noun}{'' if number == 1 else plural}" for number, noun, plural in numbers)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Its layers in execution order."""
        return _layers(self)

    def state(self) -> tuple[StateTensor, ...]:
        """Every tensor of the network, in execution order, under its ``state_dict`` name."""
        return _state(self)

    @property
    def stages(self) -> tuple[int, ...]:
        """Number of units in each elastic stage."""
        return _stages(self)

    @property
    def entries(self) -> tuple[bool, ...]:
        """Whether each elastic stage begins with an entry, a first unit that never moves.

        Where it does not, as in a run of equal layers behind a fixed one, the first unit is like the others.
        """
        begins = {layer.stage: layer.role == "entry" for layer in self.layers() if layer.unit == 0}
        return tuple(begins[stage] for stage in range(len(self.stages)))

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, the weights and biases of every layer; running statistics are none."""
        return sum(entry.tensor.size for entry in self.state() if entry.tensor.trainable)

    def prunable_names(self, *, prune_head: bool | None = None) -> tuple[str, ...]:
        """The tensors to prune: weights of convolutions and linear layers, and of attention's input projection.

        Args:
            prune_head: Whether the output layer's weight is one of them; None leaves it to the family.
        """
        from ticketkit.arch.family import FAMILIES

        prunes_head = FAMILIES[self.family].prunes_head if prune_head is None else prune_head
        return tuple(
            entry.name for entry in self.state() if entry.prunable and (prunes_head or entry.layer.role != "head")
        )


MAX_NAME = 200
"""The longest name of a network, in characters."""

LIMITS = {"depth": 10_000, "width": 100_000, "num_classes": 1_000_000, "in_channels": 1_000_000}
"""The largest networks that can be named; a guard against absurd files, far above any real one."""


def with_article(name: str) -> str:
    """A family's name with its article, for messages; an MLP is spelled out, letter by letter."""
    return f"an {name}" if name.startswith(("a", "e", "i", "o", "mlp")) else f"a {name}"


@lru_cache(maxsize=16)
def _layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    from ticketkit.arch.family import FAMILIES

    return FAMILIES[spec.family].layers(spec)


@lru_cache(maxsize=16)
def _state(spec: ArchSpec) -> tuple[StateTensor, ...]:
    return tuple(
        StateTensor(layer.tensor_name(tensor), layer, tensor) for layer in spec.layers() for tensor in layer.tensors
    )


@lru_cache(maxsize=16)
def _stages(spec: ArchSpec) -> tuple[int, ...]:
    lengths: dict[int, int] = {}
    for layer in spec.layers():
        if layer.stage is not None and layer.unit is not None:
            lengths[layer.stage] = max(lengths.get(layer.stage, 0), layer.unit + 1)
    return tuple(lengths[stage] for stage in sorted(lengths))


@dataclass(slots=True)
class LayerList:
    """Collects a family's layers: say where the next ones stand with ``at``, then add them in execution order."""

    layers: list[LayerSpec] = field(default_factory=list)
    _role: Role = "stem"
    _stage: int | None = None
    _unit: int | None = None

    def at(self, role: Role, stage: int | None = None, unit: int | None = None) -> None:
        """Place the layers that follow."""
        self._role, self._stage, self._unit = role, stage, unit

    def conv2d(self, name: str, out_channels: int, in_channels: int, kernel: int, *, bias: bool = False) -> None:
        """Add a convolution with a square kernel; ``in_channels`` is per group."""
        shape = (out_channels, in_channels, kernel, kernel)
        self._add(name, "conv2d", _weight_and_bias(shape, bias=bias))

    def linear(self, name: str, out_features: int, in_features: int, *, bias: bool = True) -> None:
        """Add a linear layer."""
        self._add(name, "linear", _weight_and_bias((out_features, in_features), bias=bias))

    def batch_norm(self, name: str, channels: int) -> None:
        """Add a batch normalisation with its running statistics."""
        learnt = [TensorSpec(name=tensor, shape=(channels,)) for tensor in ("weight", "bias")]
        running = [
            TensorSpec(name=tensor, shape=(channels,), trainable=False) for tensor in ("running_mean", "running_var")
        ]
        counter = TensorSpec(name="num_batches_tracked", shape=(), dtype="I64", trainable=False)
        self._add(name, "batch_norm", (*learnt, *running, counter))

    def layer_norm(self, name: str, width: int) -> None:
        """Add a layer normalisation over the last dimension."""
        self._add(name, "layer_norm", _weight_and_bias((width,), bias=True))

    def attention(self, name: str, width: int) -> None:
        """Add multi-head attention over ``width`` features: its input projection, then its output projection."""
        projections = 3  # queries, keys and values
        tensors = (
            TensorSpec(name="in_proj_weight", shape=(projections * width, width)),
            TensorSpec(name="in_proj_bias", shape=(projections * width,)),
        )
        self._add(name, "attention", tensors)
        self.linear(f"{name}.out_proj", width, width)

    def embedding(self, name: str, tensor: str, shape: tuple[int, ...]) -> None:
        """Add a learnt constant."""
        self._add(name, "embedding", (TensorSpec(name=tensor, shape=shape),))

    def _add(self, name: str, kind: Kind, tensors: tuple[TensorSpec, ...]) -> None:
        self.layers.append(
            LayerSpec(
                index=len(self.layers),
                name=name,
                kind=kind,
                tensors=tensors,
                role=self._role,
                stage=self._stage,
                unit=self._unit,
            )
        )


def _weight_and_bias(shape: tuple[int, ...], *, bias: bool) -> tuple[TensorSpec, ...]:
    weight = TensorSpec(name="weight", shape=shape)
    return (weight, TensorSpec(name="bias", shape=shape[:1])) if bias else (weight,)
