"""The layers of any torch module, as the architectures have them: read off its modules and their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from torch import nn

from ticketkit.arch import LayerSpec, TensorSpec
from ticketkit.arch.spec import Kind, Role
from ticketkit.errors import ArchError

Place = tuple[int, int]
"""A stage and a unit of it, by the numbers in the modules' names."""

_WEIGHT, _WEIGHT_AND_BIAS = ("weight",), ("weight", "bias")

_KINDS: tuple[tuple[type[nn.Module], Kind, tuple[tuple[str, ...], ...]], ...] = (
    (nn.Conv2d, "conv2d", (_WEIGHT_AND_BIAS, _WEIGHT)),
    (nn.Linear, "linear", (_WEIGHT_AND_BIAS, _WEIGHT)),
    (nn.BatchNorm2d, "batch_norm", ((*_WEIGHT_AND_BIAS, "running_mean", "running_var", "num_batches_tracked"),)),
    (nn.LayerNorm, "layer_norm", (_WEIGHT_AND_BIAS,)),
    (nn.GroupNorm, "layer_norm", (_WEIGHT_AND_BIAS,)),  # both normalise each image by itself
    (nn.MultiheadAttention, "attention", (("in_proj_weight", "in_proj_bias"),)),
    (nn.Embedding, "embedding", (_WEIGHT,)),
    (nn.RMSNorm, "embedding", (_WEIGHT,)),  # its scale is a learnt constant, and no more
)
"""What each of torch's modules computes, and the tensors that the format knows of such a layer."""


def describe(model: nn.Module, stages: str | Sequence[str], *, entries: bool = True) -> tuple[LayerSpec, ...]:
    r"""List a model's layers with their places in elastic stages.

    The order is that in which the model registers its modules, which should be that of execution. Layers before the
    stages are the stem, the last one that can be pruned is the head if it stands behind them, with all that follows,
    and anything else outside the stages is fixed.

    Args:
        model: The model.
        stages: A regular expression that matches the beginning of the names of modules in units, up to the end or a
            point, such as ``stages\.(?P<stage>\d+)\.(?P<unit>\d+)``: its group ``unit`` is the unit's number, its
            group ``stage`` that of its stage, and without such a group all units are of one stage. Or one expression
            for each stage. Numbers need not follow one another; their order counts.
        entries: Whether each stage begins with a unit that never moves, since it may differ from the others.

    Raises:
        ArchError: If nothing matches, units of a stage are not alike, or a module has tensors that no kind of layer
            has.
    """
    place = _reader(stages)
    found = [(name, *_layer(name, module)) for name, module in model.named_modules() if _holds_tensors(module)]
    _check_order(model, found)
    places = {name: place(name) for name, _, _ in found}
    ordered = _ranked([where for where in places.values() if where is not None])
    if not ordered:
        must = f"stages must match the names of modules with tensors, such as {found[0][0]!r}"
        raise ArchError(f"{must} (got {stages!r})")
    inside = [number for number, (name, _, _) in enumerate(found) if places[name] is not None]
    weighty = [number for number, (_, kind, _) in enumerate(found) if kind in ("conv2d", "linear")]
    last = max(weighty, default=0)
    head = last if last > inside[-1] else len(found)
    layers = []
    for index, (name, kind, tensors) in enumerate(found):
        where = places[name]
        stage, unit = (None, None) if where is None else ordered[where]
        role: Role = "fixed"
        if where is not None:
            role = "entry" if entries and unit == 0 else "unit"
        elif index < inside[0]:
            role = "stem"
        elif index >= head:
            role = "head"
        layers.append(LayerSpec(index=index, name=name, kind=kind, tensors=tensors, role=role, stage=stage, unit=unit))
    _check_units(layers)
    return tuple(layers)


def compiled(stages: str | Sequence[str]) -> list[re.Pattern[str]]:
    """The expressions that :func:`describe` takes, checked.

    Raises:
        ArchError: If one is no regular expression, or has no group ``unit``.
    """
    patterns = []
    for text in [stages] if isinstance(stages, str) else stages:
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise ArchError(f"stages must be regular expressions (got {text!r}: {error})") from None
        if "unit" not in pattern.groupindex:
            raise ArchError(f"an expression for stages must have a group (?P<unit>…) (got {text!r})")
        patterns.append(pattern)
    if not patterns:
        raise ArchError("stages must have at least one regular expression (got none)")
    return patterns


def _reader(stages: str | Sequence[str]) -> Callable[[str], Place | None]:
    patterns = compiled(stages)

    def read(name: str) -> Place | None:
        for number, pattern in enumerate(patterns):
            match = pattern.match(name)
            if match is not None and name[match.end() :][:1] in ("", "."):
                groups = match.groupdict()
                stage = groups.get("stage", str(number))
                if stage is None or not stage.isdecimal() or not (groups["unit"] or "").isdecimal():
                    raise ArchError(f"the groups stage and unit must match numbers (got {groups} in {name!r})")
                return int(stage), int(groups["unit"])
        return None

    return read


def _holds_tensors(module: nn.Module) -> bool:
    return any(True for _ in _own_tensors(module))


def _own_tensors(module: nn.Module) -> Iterator[str]:
    """Names of a module's own parameters and of those of its buffers that its ``state_dict`` has."""
    yield from (name for name, parameter in module._parameters.items() if parameter is not None)
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name


def _layer(name: str, module: nn.Module) -> tuple[Kind, tuple[TensorSpec, ...]]:
    names = tuple(_own_tensors(module))
    if not name:
        raise ArchError(f"a tensor of the network itself must stand in a module of its own (got {names[0]})")
    for kind_of_module, kind, known in _KINDS:
        if isinstance(module, kind_of_module):
            if names not in known:
                must = f"the tensors of a {kind_of_module.__name__} must be {', '.join(known[0])}"
                raise ArchError(f"{must} (got {', '.join(names)} of {name})")
            return kind, tuple(_tensor(module, tensor) for tensor in names)
    if len(names) == 1 and not type(module).__module__.startswith("torch.nn.modules."):
        return "embedding", (_tensor(module, names[0]),)
    must = ", ".join(kind_of_module.__name__ for kind_of_module, _, _ in _KINDS)
    got = f"{name}, a {type(module).__name__} with {', '.join(names)}"
    raise ArchError(f"a layer must be one of {must}, or a module of your own with one tensor (got {got})")


def _tensor(module: nn.Module, name: str) -> TensorSpec:
    parameter = module._parameters.get(name)
    tensor = module._buffers[name] if parameter is None else parameter
    if tensor is None:  # not among those that _own_tensors names
        raise ArchError(f"a layer must hold its tensors (got none for {name})")
    dtype = "F32" if tensor.is_floating_point() else "I64"
    return TensorSpec(name=name, shape=tuple(tensor.shape), dtype=dtype, trainable=parameter is not None)


def _check_order(model: nn.Module, found: Sequence[tuple[str, Kind, tuple[TensorSpec, ...]]]) -> None:
    """Refuse a model whose ``state_dict`` is not what its modules hold, tensor by tensor."""
    if not found:
        raise ArchError(f"a network must have layers with tensors (got {type(model).__name__})")
    listed = [f"{name}.{tensor.name}" for name, _, tensors in found for tensor in tensors]
    if listed != (own := list(model.state_dict())):
        must = "a module must stand in the network once, and its state_dict hold its tensors alone"
        raise ArchError(f"{must} (got {min(set(listed) ^ set(own))})")
    trainable = [name for name, _ in model.named_parameters(remove_duplicate=True)]
    if shared := set(dict(model.named_parameters(remove_duplicate=False))) - set(trainable):
        raise ArchError(f"a parameter must be that of one layer alone ({min(shared)} is shared)")


def _ranked(places: Sequence[Place]) -> dict[Place, Place]:
    """Stage and unit counted from 0, for the numbers that stand in the names."""
    stages: dict[int, list[int]] = {}
    for stage, unit in places:
        stages.setdefault(stage, []).append(unit)
    return {
        (stage, unit): (number, rank)
        for number, stage in enumerate(sorted(stages))
        for rank, unit in enumerate(sorted(set(stages[stage])))
    }


def _check_units(layers: Sequence[LayerSpec]) -> None:
    """Refuse units of one stage, entries aside, that have other layers than the first of them."""
    units: dict[tuple[int | None, int | None], list[LayerSpec]] = {}
    for layer in layers:
        if layer.role == "unit":
            units.setdefault((layer.stage, layer.unit), []).append(layer)
    first: dict[int | None, list[LayerSpec]] = {}
    for (stage, unit), members in units.items():
        like = first.setdefault(stage, members)
        if _shapes(members) != _shapes(like):
            raise ArchError(
                f"units of a stage must be alike, with layers of the same kinds and shapes (stage {stage}, unit {unit} "
                f"is not like unit {like[0].unit}: {_difference(members, like)})"
            )


def _shapes(unit: Sequence[LayerSpec]) -> list[tuple[str, tuple[TensorSpec, ...]]]:
    return [(layer.kind, layer.tensors) for layer in unit]


def _difference(unit: Sequence[LayerSpec], like: Sequence[LayerSpec]) -> str:
    for layer, other in zip(unit, like, strict=False):
        if (layer.kind, layer.tensors) != (other.kind, other.tensors):
            return f"{_named(layer)} beside {_named(other)}"
    return f"{len(unit)} layers beside {len(like)}"


def _named(layer: LayerSpec) -> str:
    shapes = ", ".join("×".join(map(str, tensor.shape)) for tensor in layer.tensors[:1])
    return f"{layer.name} {layer.kind} {shapes}"
