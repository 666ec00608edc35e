"""FLOPs of a forward pass, by the shapes of layers and images: what a training costs, whatever it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from ticketkit.arch import FAMILIES, ArchSpec
from ticketkit.errors import ArchError, MaskError
from ticketkit.mask import Mask
from ticketkit.models import build_model
from ticketkit.provenance import Flops

FLOPS_PER_WEIGHT = 2
"""A multiplication and an addition, each time that a weight is used."""

TRAINING_PASSES = 3
"""What a training step costs in forward passes: one forward, and a backward of two (gradients of activations and of
weights), as RigL counts the training of a fixed mask (Evci et al., 2020, appendix)."""


def forward_flops(
    arch: ArchSpec, image_shape: tuple[int, int, int], mask: Mask | Mapping[str, int] | None = None
) -> float:
    """FLOPs of the forward pass of one image; a multiplication and an addition count as two.

    Counted are convolutions, linear layers and attention: two for each kept weight at each output position, borders
    included. The two products between an attention's activations, queries with keys and what comes of that with
    values, have no weights, so no mask makes them cheaper. Normalisation, activation functions, pooling and biases are
    left out, as RigL (Evci et al., 2020, appendix) and Chen et al. (2021) leave them out.

    Args:
        arch: The network.
        image_shape: Channels, height and width of an image.
        mask: The kept weights, or how many there are in each tensor by its ``state_dict`` name; tensors that it does
            not name count in full, and all do if it is None.

    Raises:
        ArchError: If the network does not take such images.
        MaskError: If the mask names a tensor that is none of the network's weights, or keeps more than it has.
    """
    kept = {entry.name: entry.tensor.size for entry in arch.state() if entry.prunable} | _counts(arch, mask)
    uses = _uses(arch, image_shape)
    weights = sum(count * uses.positions[name] for name, count in kept.items())
    return float(FLOPS_PER_WEIGHT * (weights + uses.products))


def training_flops(
    arch: ArchSpec,
    image_shape: tuple[int, int, int],
    mask: Mask | Mapping[str, int] | None,
    images: float,
    *,
    passes: float = TRAINING_PASSES,
) -> Flops:
    """FLOPs of passing images through a network, with pruned weights skipped and with all weights.

    Args:
        arch: The network.
        image_shape: Channels, height and width of an image.
        mask: The kept weights; see :func:`forward_flops`.
        images: How many images, each counted as often as it is used: steps times batch.
        passes: What one image costs, in forward passes; a training step's unless given.

    Raises:
        ArchError, MaskError: As :func:`forward_flops`.
    """
    sparse, dense = (forward_flops(arch, image_shape, kept) for kept in (mask, None))
    return Flops(sparse=passes * images * sparse, dense=passes * images * dense)


def layer_outputs(arch: ArchSpec, image_shape: tuple[int, int, int]) -> int:
    """Numbers that the convolutions and linear layers of a network give for one image, in all.

    Args:
        arch: The network.
        image_shape: Channels, height and width of an image.

    Raises:
        ArchError: If the network does not take such images.
    """
    return _uses(arch, image_shape).outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Uses:
    """What one image costs.

    Attributes:
        positions: How often each weight of a tensor is used, by the tensor's name: once at each output position of a
            convolution, once for each token of a transformer.
        products: Multiplications between activations.
        outputs: Numbers that all layers give.
    """

    positions: Mapping[str, int]
    products: int
    outputs: int


@lru_cache(maxsize=256)
def _uses(arch: ArchSpec, image_shape: tuple[int, int, int]) -> _Uses:
    """Run the network on the meta device, which computes shapes alone, and note what each layer gives."""
    _check_takes(arch, image_shape)
    with torch.device("meta"):
        model = build_model(arch).eval()
        image = torch.empty(1, *image_shape)
    positions: dict[str, int] = {}
    products = outputs = 0

    def note(name: str, features: int, module: nn.Module, _: object, output: Tensor | tuple[Tensor, ...]) -> None:
        nonlocal products, outputs
        first = output[0] if isinstance(output, tuple) else output
        outputs += first.numel()
        count = first.numel() // features
        positions[name] = count
        if isinstance(module, nn.MultiheadAttention):
            # Its output projection is a module that is never called: torch hands its weight to one joint function.
            positions[f"{name.rpartition('.')[0]}.out_proj.weight"] = count
            products += 2 * count * count * features

    for entry in arch.state():
        if entry.prunable:
            # The output features: an attention gives a third of its weight's rows, which are queries, keys and values.
            features = entry.tensor.shape[1 if entry.layer.kind == "attention" else 0]
            model.get_submodule(entry.layer.name).register_forward_hook(partial(note, entry.name, features))
    with torch.no_grad():
        model(image)
    return _Uses(positions=positions, products=products, outputs=outputs)


def _check_takes(arch: ArchSpec, image_shape: tuple[int, int, int]) -> None:
    family = FAMILIES[arch.family]
    _, height, width = image_shape
    size = family.image_size(arch)
    shown = "×".join(map(str, image_shape))
    if family.image_channels(image_shape) != arch.in_channels:
        raise ArchError(f"images of {arch.name} must have {arch.in_channels} input channels (got {shown})")
    if size not in (None, height) or size not in (None, width):
        raise ArchError(f"images of {arch.name} must be {size}×{size} (got {shown})")


def _counts(arch: ArchSpec, mask: Mask | Mapping[str, int] | None) -> dict[str, int]:
    """Kept weights of each tensor that the mask names."""
    sizes = {entry.name: entry.tensor.size for entry in arch.state() if entry.prunable}
    if isinstance(mask, Mask):
        for name, array in mask.items():
            if array.size != sizes.get(name, array.size):
                raise MaskError(f"the mask of {name} must cover its {sizes[name]:,} weights (got {array.size:,})")
        counts = {name: int(array.sum()) for name, array in mask.items()}
    else:
        counts = dict(mask or {})
    for name, count in counts.items():
        if name not in sizes:
            raise MaskError(f"a mask must cover weights of {arch.name} only (got {name})")
        if not 0 <= count <= sizes[name]:
            raise MaskError(f"kept weights of {name} must be from 0 to its {sizes[name]:,} (got {count:,})")
    return counts
