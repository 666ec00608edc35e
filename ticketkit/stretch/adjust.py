"""What may be done to a ticket as it is stretched, beyond moving units: each off unless asked for, each recorded.

Every function takes the target's stored tensors and gives new ones; what it does not change it passes on as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ticketkit.arch import FAMILIES, ArchSpec, LayerSpec, TensorSpec
from ticketkit.encoding import Array, Bitmask, Dense, Stored
from ticketkit.errors import StretchError
from ticketkit.mask import BoolArray, Mask
from ticketkit.seeds import derive_seed
from ticketkit.selection import drop_count

StoredTensors = Mapping[str, Stored]
Stages = tuple[tuple[int, ...], ...]
Scope = Literal["global", "layer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustments:
    """What to do to a ticket as it is stretched.

    Attributes:
        random_copies: Permute the masks of the copies of replicated units, not of the originals: the paper's ablation
            of what replication carries over.
        rescale: Divide the residual branch of each replicated unit by its number of copies.
        sparsity: Prune further to this sparsity, in (0, 1), the smallest weights first; None leaves it as it comes out.
        scope: Which are the smallest: over all tensors together, or in each tensor alone, every tensor then losing the
            same fraction of its kept weights.
        seed: Seed of everything drawn: permutations, and the layers that are made anew for other classes or channels.
    """

    random_copies: bool = False
    rescale: bool = False
    sparsity: float | None = None
    scope: Scope = "global"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise StretchError(f"the sparsity to match must be above 0 and below 1 (got {self.sparsity})")

    def applied_to(self, arch: ArchSpec, stored: StoredTensors, stages: Stages) -> dict[str, Stored]:
        """Apply them in the order of the attributes.

        Args:
            arch: The target network.
            stored: Its tensors.
            stages: The source unit of each of its units, stage by stage.
        """
        result = dict(stored)
        if self.random_copies:
            result |= _permuted_copies(arch, result, stages, self.seed)
        if self.rescale:
            result |= _rescaled_copies(arch, result, stages)
        if self.sparsity is not None:
            result |= _pruned_to(result, self.sparsity, self.scope)
        return result

    def settings(self) -> dict[str, Any]:
        """Those that were asked for, as provenance records them; empty if none was."""
        chosen: dict[str, Any] = {}
        if self.random_copies:
            chosen |= {"random_copies": True, "seed": self.seed}
        if self.rescale:
            chosen["rescale"] = True
        if self.sparsity is not None:
            chosen |= {"sparsity": self.sparsity, "scope": self.scope}
        return chosen


def fresh_layer(layer: LayerSpec, like: LayerSpec, stored: StoredTensors, seed: int) -> Iterator[tuple[str, Stored]]:
    """Make a layer anew: an output layer for other classes, an input layer for other channels.

    It is dense: where its source had a mask, every weight is kept.

    Args:
        layer: The layer to make.
        like: The layer it stands for.
        stored: The source's tensors, which say what was masked, and in which type.
        seed: Seed of the draw.
    """
    for tensor, origin in zip(layer.tensors, like.tensors, strict=True):
        name, source = layer.tensor_name(tensor), stored[like.tensor_name(origin)]
        drawn = _fresh(layer, tensor, derive_seed(seed, "fresh", name))
        if isinstance(source, Bitmask):
            kept = np.ones(tensor.shape, dtype=np.bool_)
            yield name, Bitmask.encode(drawn.astype(source.values.dtype), kept)
        else:
            yield name, Dense(drawn.astype(source.data.dtype))


def _fresh(layer: LayerSpec, tensor: TensorSpec, seed: int) -> Array:
    """Draw a tensor of a convolution or linear layer as ``ticketkit.models.initialise`` does, without torch."""
    generator = np.random.default_rng(seed)
    weight = next(spec for spec in layer.tensors if spec.name == layer.prunable)
    fan_in = math.prod(weight.shape[1:])
    if tensor.name == layer.prunable:
        return generator.standard_normal(tensor.shape) * math.sqrt(2 / fan_in)
    return generator.uniform(-(fan_in**-0.5), fan_in**-0.5, tensor.shape)


def _units(arch: ArchSpec, stages: Stages) -> Iterator[tuple[list[LayerSpec], int, bool]]:
    """Every target unit: its layers, how many units share its source, whether it is a copy of an earlier one."""
    for stage, sources in enumerate(stages):
        for unit, source in enumerate(sources):
            layers = [layer for layer in arch.layers() if (layer.stage, layer.unit) == (stage, unit)]
            yield layers, sources.count(source), source in sources[:unit]


def _permuted_copies(arch: ArchSpec, stored: StoredTensors, stages: Stages, seed: int) -> Iterator[tuple[str, Stored]]:
    """Permute each mask of each copy. A weight that the source had pruned, and that is kept now, is drawn anew."""
    for layers, _, is_copy in _units(arch, stages):
        for layer in layers if is_copy else ():
            for tensor in layer.tensors:
                name = layer.tensor_name(tensor)
                source = stored[name]
                if isinstance(source, Bitmask):
                    generator = np.random.default_rng(derive_seed(seed, "random copies", name))
                    mask = source.mask()
                    permuted = generator.permutation(mask.reshape(-1)).reshape(mask.shape)
                    drawn = _fresh(layer, tensor, derive_seed(seed, "fresh", name)).astype(source.values.dtype)
                    yield name, Bitmask.encode(np.where(mask, source.decode(), drawn), permuted)


def _rescaled_copies(arch: ArchSpec, stored: StoredTensors, stages: Stages) -> Iterator[tuple[str, Stored]]:
    """Divide what ends the residual branch of a replicated unit by the number of units that share its source."""
    if not FAMILIES[arch.family].residual:
        raise StretchError(
            f"units to be rescaled must end in a normalisation on a residual branch (those of {arch.name} do not)"
        )
    for layers, count, _ in _units(arch, stages):
        if count > 1:
            last = [layer for layer in layers if layer.kind == "batch_norm"][-1]
            for tensor in ("weight", "bias"):
                name = f"{last.name}.{tensor}"
                source = stored[name]
                if isinstance(source, Dense):
                    yield name, Dense(np.divide(source.data, count, dtype=source.data.dtype))


def _pruned_to(stored: StoredTensors, sparsity: float, scope: Scope) -> dict[str, Stored]:
    masked = {name: tensor for name, tensor in stored.items() if isinstance(tensor, Bitmask)}
    total, kept = sum(t.size for t in masked.values()), sum(t.kept for t in masked.values())
    wanted = round((1 - sparsity) * total)
    if wanted > kept:
        raise StretchError(
            f"the sparsity to match must be at least the stretched ticket's {1 - kept / total:.4%} "
            f"(got {sparsity:.4%}); a ticket does not hold the weights that were pruned"
        )
    values = {name: np.abs(tensor.values) for name, tensor in masked.items()}
    everything = {name: np.ones(tensor.kept, dtype=np.bool_) for name, tensor in masked.items() if tensor.kept}
    if scope == "global":
        survivors = dict(drop_count(values, Mask(everything), kept - wanted))
    else:
        shares = _shares({name: tensor.kept for name, tensor in masked.items()}, kept - wanted)
        survivors = {
            name: drop_count({name: values[name]}, Mask({name: kept_all}), shares[name])[name]
            for name, kept_all in everything.items()
        }
    return {name: _thinned(masked[name], alive) for name, alive in survivors.items()}


def _shares(kept: Mapping[str, int], count: int) -> dict[str, int]:
    """Split a number over tensors in proportion to their kept weights, exactly: largest remainders get the rest."""
    total = sum(kept.values())
    exact = {name: count * number / total for name, number in kept.items()}
    shares = {name: math.floor(share) for name, share in exact.items()}
    rest = count - sum(shares.values())
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[:rest]:
        shares[name] += 1
    return shares


def _thinned(tensor: Bitmask, survivors: BoolArray) -> Bitmask:
    mask = tensor.mask()
    mask[mask] = survivors
    bits = np.packbits(mask.reshape(-1), bitorder="little")
    return Bitmask(shape=tensor.shape, bits=bits, values=tensor.values[survivors])
