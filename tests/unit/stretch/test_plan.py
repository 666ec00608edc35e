"""Plans: targets, policies, and which mapping two depths get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ticketkit.arch import FAMILIES, ArchSpec, Family, LayerList, parse_arch
from ticketkit.errors import ArchError, StretchError
from ticketkit.stretch import orders_used, parse_stage_map, plan_stretch, resolve_target

SOURCE = parse_arch("resnet20-w8-pad", num_classes=7, in_channels=1)


def _plan(source: int, target: int, **arguments: object) -> tuple[int, ...]:
    stages = plan_stretch(parse_arch(f"cifar-resnet{source}"), parse_arch(f"cifar-resnet{target}"), **arguments).stages
    assert len(stages) == 3
    assert len(set(stages)) == 1
    return stages[0]


@pytest.fixture
def uneven_family() -> Iterator[str]:
    """A family whose stages do not grow together: depth 10a + b has stages of a and b units; from 100 on, a third."""

    def layers(spec: ArchSpec) -> tuple:
        net = LayerList()
        net.at("stem")
        net.conv2d("stem", spec.width, spec.in_channels, 1)
        for stage, count in enumerate([int(digit) for digit in str(spec.depth)]):
            for unit in range(count):
                net.at("unit" if unit else "entry", stage, unit)
                net.conv2d(f"s{stage}u{unit}", spec.width, spec.width, 1)
        net.at("head")
        net.linear("head", spec.num_classes, spec.width)
        return tuple(net.layers)

    name = "uneven"
    family = Family(
        name=name, short=name, default_width=2, prunes_head=True, has_depth=bool, depths="any", layers=layers
    )
    FAMILIES.register(name, family)
    yield name
    del FAMILIES._values[name]


@pytest.mark.parametrize("to", ["56", " 56 ", "resnet56", "cifar-resnet56", "resnet56-w8", "RESNET56-W8-PAD"])
def test_a_target_keeps_all_but_the_depth(to: str) -> None:
    assert resolve_target(SOURCE, to) == replace(SOURCE, depth=56)


def test_a_spec_is_its_own_target() -> None:
    assert resolve_target(SOURCE, replace(SOURCE, depth=8)) == replace(SOURCE, depth=8)


@pytest.mark.parametrize("change", [{"width": 16}, {"num_classes": 10}, {"in_channels": 3}, {"variant": ""}])
def test_a_target_that_differs_in_more_is_refused(change: dict[str, int]) -> None:
    target = replace(SOURCE, depth=32, **change)
    with pytest.raises(
        StretchError, match=r"^a target must differ from its source cifar-resnet20-w8-pad in depth alone"
    ):
        resolve_target(SOURCE, target)


def test_a_named_width_is_believed_and_refused() -> None:
    with pytest.raises(StretchError, match=r"in depth alone \(got cifar-resnet32-pad, 7 classes, 1 input channel\)$"):
        resolve_target(SOURCE, "resnet32-w16")


@pytest.mark.parametrize("to", ["57", "resnet57", "0", "²", "", "9" * 5000])
def test_a_target_that_does_not_exist_is_an_error_of_ours(to: str) -> None:
    with pytest.raises(ArchError):
        resolve_target(SOURCE, to)


@pytest.mark.parametrize(("order", "text"), [("append", "0:0;1:1,3;2:2,4"), ("interpolate", "0:0;1:1,2;2:3,4")])
def test_resnet20_to_32_gives_the_authors_strings(order: str, text: str) -> None:
    stages = plan_stretch(parse_arch("resnet20"), parse_arch("resnet32"), order=order).stages
    assert stages == parse_stage_map(text).for_stages(3)


@pytest.mark.parametrize(
    ("source", "target", "order", "expected"),
    [
        (32, 56, "append", (0, 1, 2, 3, 4, 1, 2, 3, 4)),
        (32, 56, "interpolate", (0, 1, 1, 2, 2, 3, 3, 4, 4)),
        # Uneven: the earlier units get the extra copy.
        (20, 26, "append", (0, 1, 2, 1)),
        (20, 26, "interpolate", (0, 1, 1, 2)),
        (32, 44, "append", (0, 1, 2, 3, 4, 1, 2)),
        (32, 44, "interpolate", (0, 1, 1, 2, 2, 3, 4)),
        (20, 50, "append", (0, 1, 2, 1, 2, 1, 2, 1)),
        (20, 50, "interpolate", (0, 1, 1, 1, 1, 2, 2, 2)),
        (14, 32, "append", (0, 1, 1, 1, 1)),
        # Going shallower, early units stay unless the order says otherwise.
        (32, 20, "append", (0, 1, 2)),
        (32, 20, "keep-early", (0, 1, 2)),
        (32, 20, "keep-late", (0, 3, 4)),
        (32, 20, "alternate", (0, 1, 3)),
        (56, 26, "alternate", (0, 1, 3, 6)),
        (56, 8, "keep-late", (0,)),
        # A squeezing order where the stage grows, and no change at all.
        (20, 32, "keep-late", (0, 1, 2, 1, 2)),
        (20, 20, "interpolate", (0, 1, 2)),
        (8, 8, "append", (0,)),
    ],
)
def test_uneven_depths(source: int, target: int, order: str, expected: tuple[int, ...]) -> None:
    assert _plan(source, target, order=order) == expected


def test_units_and_drop_choose_by_hand() -> None:
    assert _plan(32, 44, units=[3, 1]) == (0, 1, 2, 3, 4, 1, 3)
    assert _plan(32, 44, units=(4,), order="interpolate") == (0, 1, 2, 3, 4, 4, 4)
    assert _plan(32, 20, drop=[1, 3]) == (0, 2, 4)
    assert _plan(32, 26, drop=[2], order="keep-late") == (0, 1, 3, 4)


@pytest.mark.parametrize(
    ("source", "target", "arguments", "message"),
    [
        (8, 20, {}, "stage 0: there must be a unit to replicate (the source has its first unit alone, which never"),
        (20, 32, {"units": [0]}, "stage 0: units to be replicated must be among 1 to 2 (got 0)"),
        (20, 32, {"units": [3]}, "stage 0: units to be replicated must be among 1 to 2 (got 3)"),
        (20, 32, {"units": [1, 1]}, "stage 0: units to be replicated must be named once each (got 1, 1)"),
        (20, 32, {"units": []}, "stage 0: units to be replicated must be named once each (got none)"),
        (8, 20, {"units": [1]}, "stage 0: units to be replicated must be among none; its first unit never moves (got"),
        (32, 20, {"units": [1]}, "units to replicate must go with a stage that grows (got cifar-resnet32 to cifar-"),
        (20, 20, {"units": [1]}, "units to replicate must go with a stage that grows (got cifar-resnet20 to cifar-"),
        (20, 32, {"drop": [1]}, "units to drop must go with a stage that shrinks (got cifar-resnet20 to cifar-"),
        (32, 20, {"drop": [0, 1]}, "stage 0: units to be dropped must be among 1 to 4 (got 0)"),
        (32, 20, {"drop": [1]}, "stage 0: 2 units must be dropped (got 1: 1)"),
        (32, 20, {"drop": [1, 2, 3]}, "stage 0: 2 units must be dropped (got 3: 1, 2, 3)"),
        (20, 32, {"order": "apend"}, "order must be one of alternate, append, first-1, "),
    ],
)
def test_what_cannot_be_planned_is_refused(source: int, target: int, arguments: dict, message: str) -> None:
    with pytest.raises(StretchError, match=f"^{re.escape(message)}"):
        _plan(source, target, **arguments)


def test_stages_that_do_not_change_together(uneven_family: str) -> None:
    source = ArchSpec(family=uneven_family, depth=35, width=2)
    mixed = replace(source, depth=53)
    assert plan_stretch(source, mixed).stages == ((0, 1, 2, 1, 2), (0, 1, 2))
    assert plan_stretch(source, mixed, order="alternate").stages == ((0, 1, 2, 1, 2), (0, 1, 3))
    assert plan_stretch(source, mixed, units=[2], drop=[1, 2]).stages == ((0, 1, 2, 2, 2), (0, 3, 4))
    assert orders_used(source, mixed) == ("append", "keep-early")
    assert orders_used(source, mixed, order="alternate") == ("append", "alternate")
    assert orders_used(source, mixed, order="interpolate", drop=[1, 2]) == ("interpolate", "explicit")


def test_another_number_of_stages_is_refused(uneven_family: str) -> None:
    source = ArchSpec(family=uneven_family, depth=35, width=2)
    with pytest.raises(StretchError, match=r"^source and target must have equally many stages \(got 2 and 3\)$"):
        plan_stretch(source, replace(source, depth=355))


def test_orders_used_are_those_that_acted() -> None:
    shallow, deep = parse_arch("resnet20"), parse_arch("resnet32")
    assert orders_used(shallow, deep) == ("append",)
    assert orders_used(shallow, deep, order="interpolate") == ("interpolate",)
    assert orders_used(shallow, deep, order="alternate") == ("append",)
    assert orders_used(deep, shallow, order="interpolate") == ("keep-early",)
    assert orders_used(deep, shallow, drop=[1, 2]) == ("explicit",)
    assert orders_used(deep, deep) == ()
