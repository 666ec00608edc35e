"""Names, shapes, order and prunable tensors, against ElasticLTH's own models.

The digests are of what ElasticLTH's ``models`` folder (VITA-Group/ElasticLTH, run once with torch 2.13) builds under
these names: the first 16 digits of the SHA-256 of its ``state_dict``, one ``name AxBxC`` a line, then ``--``, then its
``prunable_layer_names``.
"""

from __future__ import annotations

import hashlib

import pytest

from ticketkit.arch import parse_arch
from ticketkit.errors import ArchError, BundleError
from ticketkit.interop.lth_names import arch_name, model_name, module_names

THEIRS = {
    "cifar_resnet_20_4": ("5463fce7eeb27fe7", 128, 22),
    "imagenet_resnet_18_8": ("0a2f30f63d9d2567", 122, 21),
    "imagenet_resnet_26_8": ("972aafec3a78c0e7", 170, 29),
    "imagenet_resnet_50_8": ("5b56231dbfee6ff1", 320, 54),
    "cifar_vgg_11_4": ("ed7bcbfa9e9aae7e", 58, 9),
    "cifar_vgg_16_4": ("4ab3845e1136781a", 93, 14),
    "cifar_vgg_19_4": ("83306ea1b9324ae5", 114, 17),
    "cifar_vggnfc_13_64_3": ("0f48a2052dd062e9", 76, 13),
    "cifar_mobilenetv1_3": ("912f83d6a35fb72c", 140, 24),
    "cifar_mobilenetv1_5": ("931b2fc67f283bed", 164, 28),
    "mnist_lenet_300_100": ("3b3c548dd1a45199", 6, 3),
    "mnist_lenet_300_300_100": ("6e690417dd7d6a89", 8, 4),
}


@pytest.mark.parametrize("model", list(THEIRS))
def test_tensors_are_theirs(model: str) -> None:
    arch = parse_arch(arch_name(model), num_classes=1000 if model.startswith("imagenet") else 10)
    names = module_names(arch)
    state = [(f"{names[entry.layer.name]}.{entry.tensor.name}", entry) for entry in arch.state()]
    lines = [f"{name} {'x'.join(map(str, entry.tensor.shape))}" for name, entry in state]
    prunable = [name for name, entry in state if entry.prunable]
    digest = hashlib.sha256("\n".join([*lines, "--", *prunable]).encode()).hexdigest()[:16]
    assert (digest, len(state), len(prunable)) == THEIRS[model]


@pytest.mark.parametrize("model", list(THEIRS))
def test_names_of_networks_round_trip(model: str) -> None:
    assert model_name(parse_arch(arch_name(model))) == model


@pytest.mark.parametrize(
    ("model", "full"),
    [
        ("cifar_resnet_20", "cifar_resnet_20_16"),
        ("imagenet_resnet_50", "imagenet_resnet_50_64"),
        ("cifar_vgg_16", "cifar_vgg_16_64"),
        ("cifar_vggnfc_16", "cifar_vgg_16_64"),
        ("cifar_vggnfc_16_8", "cifar_vgg_16_8"),
        # ElasticLTH reads no width where a number of linear layers follows.
        ("cifar_vggnfc_16_8_2", "cifar_vggnfc_16_64_2"),
        ("cifar_mobilenetv1", "cifar_mobilenetv1_5"),
    ],
)
def test_what_a_name_leaves_out_is_theirs(model: str, full: str) -> None:
    assert model_name(parse_arch(arch_name(model))) == full


@pytest.mark.parametrize("name", ["resnet20-pad", "vgg13-w8-fc3", "mobilenetv1-w16", "mlp-64-32-10"])
def test_networks_that_they_cannot_build_are_refused(name: str) -> None:
    arch = parse_arch(name)
    with pytest.raises(BundleError, match="must be one that open_lth or ElasticLTH can build"):
        module_names(arch)


@pytest.mark.parametrize("model", ["mnist_lenet5", "cifar_resnet", "cifar_resnet_he_20", "x" * 500, ""])
def test_unknown_models_are_refused_in_a_short_line(model: str) -> None:
    with pytest.raises(BundleError, match="must be one such as cifar_resnet_20_16") as caught:
        arch_name(model)
    assert len(str(caught.value)) < 300


def test_impossible_networks_are_refused() -> None:
    with pytest.raises(ArchError, match="nearest"):
        parse_arch(arch_name("cifar_resnet_21"))
