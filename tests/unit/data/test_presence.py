from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ticketkit.data import DATASETS, load_data
from ticketkit.data.presence import presence_of
from ticketkit.recipe import load_recipe

DOWNLOADED = [name for name, known in DATASETS.items() if known.facts.source == "download"]
EMBEDDED = [name for name, known in DATASETS.items() if known.facts.source == "embedded"]


@pytest.mark.parametrize("name", list(DATASETS))
def test_what_is_known_of_a_data_set_holds_together(name: str) -> None:
    facts = DATASETS[name].facts
    assert facts.name == name
    assert facts.title
    assert len(facts.title) <= 60
    assert load_recipe(facts.recipe, facts.overrides).flip <= facts.mirrors
    known = [facts.classes, facts.shape, facts.train, facts.test]
    assert known == [None] * 4 if facts.source == "own" else None not in known
    assert bool(facts.megabytes) == (facts.source == "download")
    assert bool(facts.how_to) == (facts.source != "embedded")


@pytest.mark.parametrize("name", EMBEDDED)
def test_what_is_known_of_an_embedded_data_set_is_so(name: str) -> None:
    found, data = presence_of(DATASETS[name].facts), load_data(name)
    assert found.state == "embedded"
    assert found.bytes > 10_000
    assert (found.train, found.test) == (len(data.train_labels), len(data.test_labels))
    assert (found.facts.shape, found.classes) == (data.shape, data.classes)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_data_set_is_there_once_all_its_files_are(name: str, tmp_path: Path) -> None:
    facts = DATASETS[name].facts
    states = [presence_of(facts, tmp_path).state]
    for path in facts.megabytes:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"12345")
        states.append(presence_of(facts, tmp_path).state)
    assert states == ["no", *["partly"] * (len(facts.megabytes) - 1), "yes"]
    assert presence_of(facts, tmp_path).bytes == 5 * len(facts.megabytes)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "train_32x32.mat").touch()
    assert presence_of(DATASETS["svhn"].facts, tmp_path).reason == "partly: test_32x32.mat is missing"


def test_a_folder_is_listed_and_no_image_opened(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                (tmp_path / part / name / f"{index}.jpg").write_bytes(b"no image")
    found = presence_of(DATASETS["folder"].facts, tmp_path)
    assert (found.state, found.train, found.test, found.classes) == ("yes", 6, 4, ("cat", "dog"))
    assert found.bytes == 10 * len(b"no image")


def test_a_folder_that_is_none_says_why(tmp_path: Path) -> None:
    facts = DATASETS["folder"].facts
    assert presence_of(facts).reason == "no: no folder was named by --data-dir"
    found = presence_of(facts, tmp_path)
    assert found.state == "no"
    assert found.reason == f"no: a folder data set must hold train/CLASS/ and test/CLASS/, or val/CLASS/: {tmp_path}"


@pytest.mark.parametrize("name", list(DATASETS))
def test_one_that_cannot_be_looked_at_says_so_and_ends_no_list(name: str, tmp_path: Path) -> None:
    """A name too long for the system stands for what it does not let us see: the tests may run as root."""
    facts = DATASETS[name].facts
    found = presence_of(facts, tmp_path / ("x" * 300))
    if facts.source == "embedded":
        assert (found.state, found.reason) == ("embedded", "")
        return
    assert found.state == "no"
    assert found.reason.startswith("no: ")
    assert "File name too long" in found.reason


def test_mirrored_digits_mean_something_else() -> None:
    unmirrored = {name for name, known in DATASETS.items() if not known.facts.mirrors}
    assert unmirrored == {"digits", "digits-rotated", "mnist", "svhn"}


def test_bytes_are_those_of_a_whole_tree(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py" / "deep").mkdir(parents=True)
    (tmp_path / "cifar-10-batches-py" / "deep" / "file").write_bytes(b"123")
    Image.new("L", (2, 2)).save(tmp_path / "beside.png")
    assert presence_of(DATASETS["cifar10"].facts, tmp_path).bytes == 3
