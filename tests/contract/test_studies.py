"""The studies of the repository: each loads, plans, and is what its comment and the README beside it say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ticketkit.data import ImageData
from ticketkit.find import levels_for
from ticketkit.sweep import Study, load_study
from ticketkit.sweep.plan import Plan, plan_study
from ticketkit.sweep.study import DataChoice

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "studies"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.toml"))
OWN = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.toml"))
SHAPES = {
    "digits": (1, 8, 8, 10),
    "digits-rotated": (1, 8, 8, 10),
    "mnist": (1, 28, 28, 10),
    "cifar10": (3, 32, 32, 10),
    "svhn": (3, 32, 32, 10),
}
EXPECTED = [
    *(f"figure-{number}" for number in (1, 3, 4, 5, 6, 7, 8)),
    *(f"table-{number}" for number in (1, 2, 3, 5, 6, 7)),
]
SHARED = {
    "table-3-resnet20",
    "table-3-resnet32",
    "table-3-resnet56",
    "table-6-svhn-to-cifar10",
    "table-6-cifar10-to-svhn",
}
"""Full studies that share the quick one of their table."""

CRUMB = 5e-4
"""No sparsity lies so little above one of IMP's levels, or a level would be trained for the last few weights."""

IMAGES = 1_280


def stand_in(choice: DataChoice) -> ImageData:
    """A data set of the right shape and classes, as many images as let training reach the rewind step."""
    classes = 1000 if choice.data_dir == "imagenet" else 10
    channels, height, width, classes = SHAPES.get(choice.dataset, (3, 64, 64, classes))
    labels = np.arange(IMAGES, dtype=np.int64) % classes
    content = sum(map(ord, f"{choice.dataset}{choice.data_dir}")) % 256
    images = np.full((len(labels), channels, height, width), content, dtype=np.uint8)
    return ImageData(
        name=choice.dataset,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        classes=tuple(map(str, range(classes))),
    )


def study_of(name: str) -> Study:
    return load_study((FOLDER if name in STUDIES else ROOT / "benchmarks") / f"{name}.toml")


def plan_of(study: Study) -> Plan:
    known: dict[DataChoice, ImageData] = {}

    def load(choice: DataChoice) -> ImageData:
        return known.setdefault(choice, stand_in(choice))

    return plan_study(study, load)


def listed() -> dict[str, list[str]]:
    """The rows of the README's tables of studies, by the study's name, without it."""
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "each study once"
    return {name: [cell.strip() for cell in row.split("|")] for name, row in rows}


@pytest.mark.parametrize("name", [*STUDIES, *OWN])
def test_a_study_can_be_planned(name: str):
    study = study_of(name)
    plan = plan_of(study)
    if name in STUDIES:
        runs_and_cells = [str(len(plan.finds)), f"{len(plan.cells):,}"]
        columns = slice(1, 3) if name.endswith("-quick") else slice(2, 4)
        assert listed()[name][columns] == runs_and_cells, "the README says how much there is to do"
    assert len(plan.cells) >= len(study.seeds) * len(study.targets)
    arms = {task.place.arm for task in plan.cells}
    assert study.arms == ("all",) or arms == {*study.arms, *study.connect}
    assert study.reference in arms
    assert {task.place.target for task in plan.cells if task.place.arm == "ticket"} == {
        task.target.arch.name for task in plan.cells
    }, "every target gets a ticket"


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_says_which_figure_or_table_it_is(name: str):
    first = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines()[0]
    kind, number = re.match(r"(figure|table)-([0-9])", name).groups()
    assert first.startswith(f"# {kind.capitalize()} {number}")
    assert study_of(name).title.startswith(f"{kind.capitalize()} {number}")


@pytest.mark.parametrize("prefix", EXPECTED)
def test_every_figure_and_table_has_a_study(prefix: str):
    assert any(re.match(rf"{prefix}(-|$)", name) for name in STUDIES if not name.endswith("-quick"))


@pytest.mark.parametrize("name", [name for name in STUDIES if not name.endswith("-quick")])
def test_every_study_has_a_quick_one_on_the_embedded_data(name: str):
    quick = study_of(f"{name[:7] if name in SHARED else name}-quick")
    choices = [quick.data, *(source.data for source in quick.sources if source.data)]
    assert {choice.dataset for choice in choices} <= {"digits", "digits-rotated"}


def test_no_quick_study_is_left_alone():
    full = {name[:7] if name in SHARED else name for name in STUDIES if not name.endswith("-quick")}
    assert {name.removesuffix("-quick") for name in STUDIES if name.endswith("-quick")} == full


@pytest.mark.parametrize("name", [*STUDIES, *OWN])
def test_no_level_of_imp_is_trained_for_the_last_few_weights(name: str):
    study = study_of(name)
    for sparsity in study.sparsities:
        assert levels_for(sparsity, study.rate) == levels_for(sparsity - CRUMB, study.rate), sparsity


def test_the_readme_lists_every_study():
    assert sorted(listed()) == STUDIES
