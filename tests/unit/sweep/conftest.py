"""What the tests of studies share: a study of seconds, and its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ticketkit.data import DATASETS, DataSet, Facts, ImageData
from ticketkit.recipe import Recipe
from ticketkit.sweep import Study
from ticketkit.sweep.laboratory import data_of, loaded
from ticketkit.sweep.plan import Plan, plan_study
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source

TINY = Study(
    title="Tiny",
    sources=(Source(arch="resnet14-w2"), Source(arch="resnet32-w2")),
    targets=("resnet20-w2",),
    sparsities=(0.5, 0.8),
    recipe=Recipe(name="tiny", epochs=2, batch=32, lr=0.02, rewind="1it", crop=1),
    policies=(PolicyChoice(name="append"),),
    arms=("ticket", "dense", "imp", "random"),
    seeds=(0, 1),
    data=DataChoice(dataset="digits", limit=64),
    rate=0.5,
    dst_multiplier=2,
    points=3,
)


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """Make a study: two sources, one target, two sparsities, four arms, two seeds, trainings of four steps."""

    def make(**changes: Any) -> Study:
        return replace(TINY, **changes)

    return make


@pytest.fixture(scope="module")
def on_stripes(stripes: ImageData) -> Iterator[DataChoice]:
    """Data that a network is tested on in no time, known as ``stripes`` for as long as a module's tests run."""
    assert "stripes" not in DATASETS
    facts = Facts(name="stripes", title="stripes", source="embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS._values, "stripes", DataSet(facts=facts, load=lambda _request: stripes))
        yield DataChoice(dataset="stripes")
    loaded.cache_clear()


@pytest.fixture(scope="session")
def make_plan(make_study: Callable[..., Study]) -> Callable[..., Plan]:
    """Plan such a study."""

    def make(**changes: Any) -> Plan:
        return plan_study(make_study(**changes), data_of)

    return make
