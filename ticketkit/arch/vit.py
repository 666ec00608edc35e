"""Vision transformers: Dosovitskiy et al., "An Image is Worth 16×16 Words", 2021. Experimental.

No paper stretches them; this family is here to try. The encoder and its names are torchvision's; ``depth`` is the
number of encoder blocks, and the block is the unit. All of them are alike, so none is an entry and each may move.

The sizes are those of Touvron et al., "Training data-efficient image transformers", 2021, table 1: ``vit-tiny12`` is
192 wide, ``vit-small12`` 384, heads of 64 features, a hidden layer of four widths in each block. Any other width has a
name of its own (``vit6-w64``). Images are 32×32 in patches of 4×4, unless the variant says otherwise: ``p16-i224`` has
patches of 16 and images of 224. The output layer is not pruned by default; it starts at zero.
"""

from __future__ import annotations

import re

from ticketkit.arch.family import FAMILIES, Family, Named
from ticketkit.arch.spec import ArchSpec, LayerList, LayerSpec

SIZES = {"tiny": 192, "small": 384}
USUAL_DEPTH = 12
USUAL_PATCH = 4
USUAL_IMAGE = 32
HEAD_WIDTH = 64
MLP_RATIO = 4

_VARIANT = re.compile("p([1-9][0-9]{0,3})(?:-i([1-9][0-9]{0,3}))?|i([1-9][0-9]{0,3})|")
_NAME = re.compile(
    r"(?:-(?P<size>tiny|small))?(?P<depth>[0-9]{1,6})?(?:-w(?P<width>[0-9]{1,7}))?(?:-(?P<variant>[ip0-9-]+))?"
)


def patch_and_image(variant: str) -> tuple[int, int]:
    """Height and width of a patch and of an image, in pixels."""
    match = _VARIANT.fullmatch(variant)
    patch, beside_patch, image = match.groups() if match else (None, None, None)
    return int(patch or USUAL_PATCH), int(beside_patch or image or USUAL_IMAGE)


def canonical(variant: str) -> str:
    """The one way to write a variant: what is usual is left out."""
    patch, image = patch_and_image(variant)
    parts = [f"p{patch}"] * (patch != USUAL_PATCH) + [f"i{image}"] * (image != USUAL_IMAGE)
    return "-".join(parts)


def heads(width: int) -> int:
    """Number of attention heads."""
    return max(width // HEAD_WIDTH, 1)


def layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    """Layers in the order of the module's ``state_dict``; names inside the encoder are torchvision's."""
    patch, image = patch_and_image(spec.variant)
    net = LayerList()
    net.at("stem")
    net.conv2d("conv_proj", spec.width, spec.in_channels, patch, bias=True)
    net.at("fixed")
    net.embedding("class_token", "weight", (1, 1, spec.width))
    net.embedding("encoder", "pos_embedding", (1, (image // patch) ** 2 + 1, spec.width))
    for unit in range(spec.depth):
        block = f"encoder.layers.encoder_layer_{unit}"
        net.at("unit", 0, unit)
        net.layer_norm(f"{block}.ln_1", spec.width)
        net.attention(f"{block}.self_attention", spec.width)
        net.layer_norm(f"{block}.ln_2", spec.width)
        net.linear(f"{block}.mlp.0", MLP_RATIO * spec.width, spec.width)
        net.linear(f"{block}.mlp.3", spec.width, MLP_RATIO * spec.width)
    net.at("fixed")
    net.layer_norm("encoder.ln", spec.width)
    net.at("head")
    net.linear("head", spec.num_classes, spec.width)
    return tuple(net.layers)


def read(text: str) -> Named | None:
    """Read a size or a width, a depth and a variant, all of them optional: ``-tiny12-p2``, ``6-w64``."""
    match = _NAME.fullmatch(text)
    if match is None or (match["size"] and match["width"]):
        return None
    width = SIZES.get(match["size"] or "") if match["width"] is None else int(match["width"])
    variant = match["variant"]
    known = variant is not None and _VARIANT.fullmatch(variant)
    return Named(
        depth=int(match["depth"] or USUAL_DEPTH), width=width, variant=canonical(variant) if known else variant
    )


def write(spec: ArchSpec) -> str:
    """Write what :func:`read` reads."""
    size = next((f"-{name}" for name, width in SIZES.items() if width == spec.width), "")
    width = "" if size else f"-w{spec.width}"
    return f"{size}{spec.depth}{width}" + (f"-{spec.variant}" if spec.variant else "")


def problem(spec: ArchSpec) -> str | None:
    """Say so if the patches do not fill the image, or the heads do not share the width."""
    patch, image = patch_and_image(spec.variant)
    if image % patch:
        return f"must have images that its patches of {patch} divide (got {image})"
    if spec.width % heads(spec.width):
        return f"must have a width below {2 * HEAD_WIDTH} or one that its heads share (got {spec.width:,})"
    return None


FAMILIES.register(
    "vit",
    Family(
        name="vit",
        short="vit",
        default_width=SIZES["tiny"],
        prunes_head=False,
        variants=("", "pN", "iN", "pN-iN"),
        examples=("vit-tiny12", "vit2-w16-p2-i8"),
        has_depth=lambda depth: depth >= 1,
        has_variant=lambda variant: canonical(variant) == variant,
        depths="the number of its encoder blocks, from 1",
        layers=layers,
        read=read,
        write=write,
        problem=problem,
        image_size=lambda spec: patch_and_image(spec.variant)[1],
    ),
)
