"""Names: which network a short one means, the one canonical form, and what is said where there is none."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.errors import ArchError
from ticketkit.stretch import resolve_target


@pytest.mark.parametrize("depth", [18, 26, 34, 50, 101, 152, 200])
def test_a_shared_short_name_means_imagenets(depth: int) -> None:
    assert parse_arch(f"resnet{depth}").family == "imagenet-resnet"
    assert parse_arch(f"resnet{depth}").short_name == f"resnet{depth}"


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 44, 56, 110])
def test_a_short_name_that_one_family_has_means_that(depth: int) -> None:
    assert parse_arch(f"resnet{depth}").name == f"cifar-resnet{depth}"
    assert parse_arch(f"cifar-resnet{depth}").short_name == f"resnet{depth}"


@pytest.mark.parametrize("depth", [26, 50, 152, 200])
def test_the_full_name_is_always_accepted(depth: int) -> None:
    cifar = parse_arch(f"cifar-resnet{depth}-w8-pad")
    assert cifar.family == "cifar-resnet"
    assert cifar.short_name == cifar.name == f"cifar-resnet{depth}-w8-pad"
    assert parse_arch(f"resnet{depth}", within="cifar-resnet") == parse_arch(f"cifar-resnet{depth}")
    assert parse_arch(f"imagenet-resnet{depth}", within="cifar-resnet").family == "imagenet-resnet"


def test_a_stretch_stays_in_the_tickets_family() -> None:
    for text in ("26", "resnet26", "cifar-resnet26"):
        assert resolve_target(parse_arch("resnet20"), text).name == "cifar-resnet26"
    for text in ("26", "resnet26", "imagenet-resnet26"):
        assert resolve_target(parse_arch("resnet18"), text).name == "imagenet-resnet26"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vgg13-fc1", "vgg13"),
        ("vgg13-w64-fc2", "vgg13-fc2"),
        ("mobilenetv1-5", "mobilenetv1"),
        ("MobileNetV1-w32", "mobilenetv1"),
        ("mobilenetv1-7-w16", "mobilenetv1-7-w16"),
        ("mlp-784-300x2-100-10", "mlp-784-300-300-100-10"),
        ("mlp-784-300-300-300-300-300-100-10", "mlp-784-300x5-100-10"),
        ("mlp-784-300x3-300x4-10", "mlp-784-300x7-10"),
        ("vit", "vit-tiny12"),
        ("vit-small", "vit-small12"),
        ("vit6-w384", "vit-small6"),
        ("vit6-w64-p4-i32", "vit6-w64"),
        ("vit-tiny3-p4-i64", "vit-tiny3-i64"),
    ],
)
def test_every_spelling_has_one_canonical_form(text: str, name: str) -> None:
    assert parse_arch(text).name == name
    assert parse_arch(name).name == name


@pytest.mark.parametrize("name", [name for family in FAMILIES.values() for name in family.examples])
def test_examples_are_what_people_would_type(name: str) -> None:
    arch = parse_arch(name)
    assert name in {arch.short_name, arch.name}
    for spelling in (arch.name, arch.short_name, f" {name.upper()} "):
        assert parse_arch(spelling) == arch


def test_every_family_has_examples_of_its_own() -> None:
    for name, family in FAMILIES.items():
        assert family.name == name
        assert family.examples
        assert {parse_arch(example).family for example in family.examples} == {name}


def test_the_names_numbers_win_over_the_callers() -> None:
    arch = parse_arch("mlp-784-300-10", num_classes=7, in_channels=64, default_width=20)
    assert (arch.in_channels, arch.width, arch.num_classes) == (784, 300, 10)
    assert replace(arch, num_classes=7, in_channels=64).name == "mlp-64-300-7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet21", r"6n \+ 2, from 8 for cifar-resnet or 18, .* for imagenet-resnet \(.*: resnet20 or resnet26\)"),
        ("resnet19", r"\(got resnet19; nearest: resnet18 or resnet20\)"),
        ("resnet27", r"\(got resnet27; nearest: resnet26 or resnet32\)"),
        ("resnet0", r"nearest: resnet8\)"),
        ("resnet33", r"nearest: resnet32 or resnet34\)"),
        ("cifar-resnet19", r"\(got resnet19; nearest: resnet14 or resnet20\)"),
        ("imagenet-resnet20", r"must be 18, .*, 200 \(got resnet20; nearest: resnet18 or resnet26\)"),
        ("vgg14", r"the depth of a vgg must be 11, 13, 16, 19 \(got vgg14; nearest: vgg13 or vgg16\)"),
        ("vgg20", r"nearest: vgg19\)"),
        ("vgg13-wide", r"the variant of a vgg must be one of 'fcN' \(got 'wide'\)"),
        ("vgg13-fc0", "the variant of a vgg"),
        ("resnet50-pad", r"the variant of an imagenet-resnet must be empty \(got 'pad'\)"),
        ("resnet999999", "from 1 to 10,000"),
        ("mobilenetv1-0", r"depth of a mobilenetv1 must be from 1 to 10,000 \(got 0\)"),
        ("mobilenetv2", r"family must be one of .*\(got 'mobilenetv' in 'mobilenetv2'; did you mean 'mobilenetv1'\?\)"),
        ("restnet20", r"\(got 'restnet' in 'restnet20'; did you mean 'resnet20'\?\)"),
        ("resnet-20", r"\(got 'resnet-20'; did you mean 'resnet20'\?\)"),
        ("resnet-20000", r"\(got 'resnet-20000'\)"),
        ("mlp-784", "such as mlp-784-300-300-100-10"),
        ("mlp-784-10", "such as mlp-784-300-300-100-10"),
        ("mlp-784-0-10", r"width of an mlp must be from 1 to 100,000 \(got 0\)"),
        ("mlp-784-300-0-10", "the variant of an mlp"),
        ("mlp-784-300-999999-10", "the variant of an mlp"),
        ("vit-huge12", r"such as vit-tiny12"),
        ("vit-tiny12-w64", r"such as vit-tiny12"),
        ("vit-tiny12-i64-p8", "the variant of a vit must be one of 'pN', 'iN', 'pN-iN'"),
        ("vit-tiny12--", "the variant of a vit"),
        ("vit-tiny12-p16-", "the variant of a vit"),
        ("vit-tiny12-p3", r"a vit must have images that its patches of 3 divide \(got 32\)"),
        ("vit12-w1000", r"a width below 128 or one that its heads share \(got 1,000\)"),
        ("alexnet", "a family and a depth"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ArchError) as caught:
        parse_arch(text)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("mlp", {"depth": 3, "width": 300, "variant": "300"}),
        ("mlp", {"depth": 2, "width": 300, "variant": "100"}),
        ("mlp", {"depth": 9, "width": 300, "variant": "100-100-100-100-100"}),
        ("mlp", {"depth": 9, "width": 300, "variant": "100x1"}),
        ("mlp", {"depth": 9, "width": 300, "variant": "0100"}),
        ("mlp", {"depth": 9, "width": 300, "variant": "100 "}),
        ("mlp", {"depth": 9, "width": 300, "variant": "100x9999999999999"}),
        ("vgg", {"depth": 13, "width": 64, "variant": "fc1"}),
        ("vgg", {"depth": 13, "width": 64, "variant": "fc03"}),
        ("vgg", {"depth": 13, "width": 64, "variant": "fc3\n"}),
        ("vit", {"depth": 12, "width": 192, "variant": "p4"}),
        ("vit", {"depth": 12, "width": 192, "variant": "i64-p8"}),
        ("mobilenetv1", {"depth": 5, "width": 32, "variant": "5"}),
    ],
)
def test_a_spec_that_no_name_means_is_refused(family: str, fields: dict[str, int]) -> None:
    with pytest.raises(ArchError):
        ArchSpec(family=family, **fields)


def test_a_name_fits_into_a_tickets_provenance() -> None:
    with pytest.raises(ArchError, match="the name of an mlp must have at most 200 characters"):
        parse_arch("mlp-784-" + "-".join(str(300 + number) for number in range(60)) + "-10")
