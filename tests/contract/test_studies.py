"""The studies of the repository: each loads, plans, and is what its comment and the README beside it say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ticketkit.data import ImageData
from ticketkit.sweep import Study, load_study
from ticketkit.sweep.plan import plan_study
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


@pytest.mark.parametrize("name", [*STUDIES, *OWN])
def test_a_study_can_be_planned(name: str):
    known: dict[DataChoice, ImageData] = {}

    def load(choice: DataChoice) -> ImageData:
        return known.setdefault(choice, stand_in(choice))

    study = study_of(name)
    plan = plan_study(study, load)
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
def test_every_figure_and_table_has_a_full_and_a_quick_study(prefix: str):
    own = [name for name in STUDIES if name.startswith(prefix)]
    quick = [name for name in own if name.endswith("-quick")]
    assert quick
    assert len(own) > len(quick)
    assert all(study_of(name).data.dataset == "digits" for name in quick)


def test_the_readme_lists_every_study():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"`((?:figure|table)-[0-9][a-z0-9-]*)`", text)
    assert set(listed) == {name for name in STUDIES if not name.endswith("-quick")}
