"""The torch modules beside what is published of them: parameter counts, and torchvision's modules and weights."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import ticketkit.models.imagenet_resnet
from ticketkit.arch import parse_arch
from ticketkit.models import build_model, initialise
from ticketkit.torchvision_compat import import_torchvision

PUBLISHED = {
    # torchvision's model pages.
    ("resnet18", 1000): 11_689_512,
    ("resnet34", 1000): 21_797_672,
    ("resnet50", 1000): 25_557_032,
    ("resnet101", 1000): 44_549_160,
    ("resnet152", 1000): 60_192_808,
    # timm's resnet200, 64.67 million.
    ("resnet200", 1000): 64_673_832,
    # ElasticLTH's [2, 3, 4, 3]: ResNet-34 less one block of stage 0, one of stage 1 and two of stage 2.
    ("resnet26", 1000): 21_797_672
    - sum(blocks * (2 * 9 * width**2 + 4 * width) for blocks, width in ((1, 64), (1, 128), (2, 256))),
    # kuangliu/pytorch-cifar, whose VGG and MobileNet have the same layers.
    ("vgg11", 10): 9_231_114,
    ("vgg13", 10): 9_416_010,
    ("vgg16", 10): 14_728_266,
    ("vgg19", 10): 20_040_522,
    ("mobilenetv1", 10): 3_217_226,
    # Two hidden linear layers of 512, by hand.
    ("vgg13-fc3", 10): 9_416_010 + 2 * (512 * 512 + 512),
    # Le Cun's LeNet-300-100, and the paper's MLP-2.
    ("mlp-784-300-100-10", 10): 266_610,
    ("mlp-784-300-300-100-10", 10): 266_610 + 300 * 300 + 300,
    # Touvron et al. 2021: 5.7 and 22 million; the exact counts are timm's.
    ("vit-tiny12-p16-i224", 1000): 5_717_416,
    ("vit-small12-p16-i224", 1000): 22_050_664,
    # He et al. 2016, table 6.
    ("resnet20-pad", 10): 269_722,
    ("resnet56-pad", 10): 853_018,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models() -> ModuleType:
    found: ModuleType = import_torchvision().models
    return found


@pytest.mark.parametrize(("name", "classes"), PUBLISHED)
def test_parameters_are_the_published_ones(name: str, classes: int) -> None:
    arch = parse_arch(name, num_classes=classes)
    assert arch.parameters == PUBLISHED[name, classes]
    with torch.device("meta"):
        model = build_model(arch)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name, classes]


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_torchvisions_checkpoints_have_our_names(depth: int, models: ModuleType) -> None:
    with torch.device("meta"):
        theirs = getattr(models, f"resnet{depth}")(weights=None).state_dict()
    arch = parse_arch(f"resnet{depth}", num_classes=1000)
    assert [(name, tuple(value.shape)) for name, value in theirs.items()] == [
        (entry.name, entry.tensor.shape) for entry in arch.state()
    ]


@pytest.mark.parametrize("by_outline", [False, True])
def test_torchvisions_weights_load_and_compute_the_same(
    by_outline: bool, models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_outline:  # build it the way that other widths are built
        monkeypatch.setattr(ticketkit.models.imagenet_resnet, "TORCHVISION_WIDTH", 0)
    theirs = models.resnet18(weights=None)
    ours = build_model(parse_arch("resnet18", num_classes=1000))
    assert type(ours) is models.ResNet
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_bottlenecks_of_another_width_are_torchvisions(models: ModuleType) -> None:
    model = build_model(parse_arch("resnet50-w4", in_channels=1))
    block = model.layer2[0]
    assert type(block) is models.resnet.Bottleneck
    assert (block.conv1.in_channels, block.conv2.out_channels, block.conv3.out_channels) == (16, 8, 32)
    assert (block.conv2.stride, block.downsample[0].stride) == ((2, 2), (2, 2))
    assert model(torch.zeros(2, 1, 40, 24)).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet18-w2", "vgg11-w2-fc2", "mobilenetv1-1-w1", "mlp-3072-4-4-10", "vit1-w8"])
def test_a_module_can_be_copied_and_pickled(name: str) -> None:
    model = build_model(parse_arch(name)).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other(images), expected)


@pytest.mark.parametrize("name", ["resnet18-w2", "vgg11-w2", "mobilenetv1-1-w1", "resnet8-w2"])
@pytest.mark.parametrize("size", [(8, 8), (13, 21), (32, 32)])
def test_convolutional_networks_take_images_of_any_size(name: str, size: tuple[int, int]) -> None:
    assert build_model(parse_arch(name))(torch.randn(2, 3, *size)).shape == (2, 10)


def test_vgg_averages_two_by_two_of_a_cifar_image() -> None:
    model = build_model(parse_arch("vgg16-w2")).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = model.layers(images)
        assert features.shape == (2, 16, 2, 2)
        expected = model.fc(nn.functional.avg_pool2d(features, 2).flatten(1))
        torch.testing.assert_close(model(images), expected)
    assert [type(module) for module in model.layers].count(nn.MaxPool2d) == 4


def test_vggs_hidden_layers_have_relus_behind_them() -> None:
    model = build_model(parse_arch("vgg11-w2-fc3"))
    assert [type(module) for module in model.classifier] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU]


def test_mobilenets_blocks_are_depthwise_separable() -> None:
    model = build_model(parse_arch("mobilenetv1-3"))
    blocks = [*model.layers_part1, *model.layers_part2, *model.layers_part3]
    assert all(block.conv1.groups == block.conv1.in_channels for block in blocks)
    assert [block.conv2.out_channels for block in blocks] == [64, 128, 128, 256, 256, 512, 512, 512, 512, 1024, 1024]
    assert [block.conv1.stride[0] for block in blocks] == [1, 2, 1, 2, 1, 2, 1, 1, 1, 2, 1]


def test_an_mlp_flattens_its_images() -> None:
    model = build_model(parse_arch("mlp-12-5-4")).eval()
    images = torch.randn(3, 3, 2, 2)
    with torch.no_grad():
        first = images.reshape(3, 12) @ model.fc_layers[0].weight.T + model.fc_layers[0].bias
        torch.testing.assert_close(model(images), model.fc(first.relu()))


def test_the_transformer_is_torchvisions(models: ModuleType) -> None:
    theirs = models.VisionTransformer(
        image_size=8, patch_size=2, num_layers=2, num_heads=2, hidden_dim=128, mlp_dim=512, num_classes=10
    )
    nn.init.normal_(theirs.heads.head.weight)
    nn.init.normal_(theirs.class_token)
    renamed = {"class_token": "class_token.weight", "heads.head.weight": "head.weight", "heads.head.bias": "head.bias"}
    ours = build_model(parse_arch("vit2-w128-p2-i8"))
    ours.load_state_dict({renamed.get(name, name): value for name, value in theirs.state_dict().items()})
    images = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_the_transformers_initial_weights_are_torchvisions(models: ModuleType) -> None:
    torch.manual_seed(0)
    theirs = models.VisionTransformer(
        image_size=32, patch_size=4, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=10
    )
    renamed = {"class_token.weight": "class_token", "head.weight": "heads.head.weight", "head.bias": "heads.head.bias"}
    expected = {name: value.numpy() for name, value in theirs.state_dict().items()}
    for name, found in initialise(parse_arch("vit-tiny2"), 0).items():
        wanted = expected[renamed.get(name, name)]
        assert found.std() == pytest.approx(wanted.std(), rel=0.15), name
        assert found.mean() == pytest.approx(wanted.mean(), abs=0.01), name
        assert np.abs(found).max() == pytest.approx(np.abs(wanted).max(), rel=0.4), name


def test_convolutions_with_bias_start_as_torch_does() -> None:
    tensors = initialise(parse_arch("vgg11"), 0)
    bias = tensors["layers.2.conv.bias"]  # 64 channels in, 3×3
    assert 0.9 * (64 * 9) ** -0.5 < np.abs(bias).max() <= (64 * 9) ** -0.5
    assert tensors["layers.2.conv.weight"].std() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


def test_depthwise_convolutions_start_by_their_own_fan_in() -> None:
    tensors = initialise(parse_arch("mobilenetv1"), 0)
    assert tensors["layers_part2.0.conv1.weight"].std() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
