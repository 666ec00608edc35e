"""What open_lth and ElasticLTH call networks and their modules, one entry a family.

Sources: the ``models`` folders of facebookresearch/open_lth and of VITA-Group/ElasticLTH, which adds MobileNetV1 and
the VGGs with more linear layers. Both name a network by its family and numbers joined by underscores, and leave the
number of classes to the data set. Our modules are named after theirs, save that they keep torchvision's network in a
module called ``model``. Layers are in our execution order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ticketkit.arch import ArchSpec
from ticketkit.errors import BundleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How those tools name one of our families.

    Attributes:
        module: Their name of a module, from ours.
        model: Their name of a network; None if they have no such network.
        pattern: What those names look like.
        arch: Our name of a network, from what the pattern's groups found.
        example: A name of this kind, for messages.
    """

    module: Callable[[str], str]
    model: Callable[[ArchSpec], str | None]
    pattern: str
    arch: Callable[..., str]
    example: str


def module_names(arch: ArchSpec) -> dict[str, str]:
    """Their module name of each of a network's layers, by ours.

    Raises:
        BundleError: If they have no such network.
    """
    model_name(arch)
    return {layer.name: NAMINGS[arch.family].module(layer.name) for layer in arch.layers()}


def model_name(arch: ArchSpec) -> str:
    """Their name of a network, as it stands in ``hparams.log``: ``cifar_resnet_20_16``.

    Raises:
        BundleError: If they have no such network.
    """
    name = NAMINGS[arch.family].model(arch) if arch.family in NAMINGS else None
    if name is None:
        raise BundleError(f"a network must be one that open_lth or ElasticLTH can build (got {arch.name})")
    return name


def arch_name(model: str) -> str:
    """Our name of a network that they name.

    Raises:
        BundleError: If the name is of none of the families.
    """
    for naming in NAMINGS.values():
        if match := re.fullmatch(naming.pattern, model):
            return naming.arch(*match.groups())
    known = ", ".join(naming.example for naming in NAMINGS.values())
    raise BundleError(f"a model's name must be one such as {known} (got {model[:80]!r})")


def _unchanged(module: str) -> str:
    return module


_FIXED_WIDTH = 64
"""ElasticLTH reads the width of a VGG only where its name has no number of linear layers behind it."""


def _vgg_model(arch: ArchSpec) -> str | None:
    if not arch.variant:
        return f"cifar_vgg_{arch.depth}_{arch.width}"
    return f"cifar_vggnfc_{arch.depth}_{arch.width}_{arch.variant[2:]}" if arch.width == _FIXED_WIDTH else None


def _vgg_arch(depth: str, width: str | None, linear: str | None) -> str:
    return f"vgg{depth}-fc{linear}" if linear else f"vgg{depth}-w{width or _FIXED_WIDTH}"


def _mlp_model(arch: ArchSpec) -> str | None:
    hidden = (str(layer.tensors[0].shape[0]) for layer in arch.layers()[:-1])
    return "_".join(["mnist_lenet", *hidden]) if arch.in_channels == _MNIST_PIXELS else None


_MNIST_PIXELS = 784
_MNIST_CLASSES = 10
_MOBILENET_WIDTH = 32

NAMINGS: Mapping[str, Naming] = {
    "cifar-resnet": Naming(
        module=_unchanged,
        model=lambda arch: None if arch.variant else f"cifar_resnet_{arch.depth}_{arch.width}",
        pattern=r"cifar_resnet_([0-9]{1,6})(?:_([0-9]{1,7}))?",
        arch=lambda depth, width: f"cifar-resnet{depth}-w{width or 16}",
        example="cifar_resnet_20_16",
    ),
    "imagenet-resnet": Naming(
        module=lambda module: f"model.{module}",
        model=lambda arch: f"imagenet_resnet_{arch.depth}_{arch.width}",
        pattern=r"imagenet_resnet_([0-9]{1,6})(?:_([0-9]{1,7}))?",
        arch=lambda depth, width: f"imagenet-resnet{depth}-w{width or 64}",
        example="imagenet_resnet_18_64",
    ),
    "vgg": Naming(
        module=_unchanged,
        model=_vgg_model,
        pattern=r"cifar_vgg(?:nfc)?_([0-9]{1,6})(?:_([0-9]{1,7})(?:_([0-9]{1,3}))?)?",
        arch=_vgg_arch,
        example="cifar_vgg_16_64",
    ),
    "mobilenetv1": Naming(
        module=_unchanged,
        model=lambda arch: f"cifar_mobilenetv1_{arch.depth}" if arch.width == _MOBILENET_WIDTH else None,
        pattern=r"cifar_mobilenetv1(?:_([0-9]{1,6}))?",
        arch=lambda depth: f"mobilenetv1-{depth or 5}",
        example="cifar_mobilenetv1_5",
    ),
    "mlp": Naming(
        module=_unchanged,
        model=_mlp_model,
        pattern=r"mnist_lenet((?:_[0-9]{1,6})+)",
        arch=lambda hidden: f"mlp-{_MNIST_PIXELS}{hidden.replace('_', '-')}-{_MNIST_CLASSES}",
        example="mnist_lenet_300_100",
    ),
}
