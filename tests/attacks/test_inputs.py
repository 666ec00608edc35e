"""Hostile mappings, names, recipes, studies and results are refused in the one line that ``inputs.json`` has for each.

A line there that ends with ``…`` goes on in the words of Python or of a library, which differ by version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inputs
import pytest
from refusal import MEBIBYTE, refused

from ticketkit.arch import parse_arch
from ticketkit.errors import ArchError, RecipeError, StretchError, StudyError, TicketkitError
from ticketkit.recipe import load_recipe
from ticketkit.report.cells import STUDY_FILE, read_cell, read_study
from ticketkit.report.collect import read_results
from ticketkit.stretch import parse_stage_map, plan_stretch, resolve_target
from ticketkit.sweep import load_study

LINES: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("inputs.json").read_text("utf-8"))


def check(line: str, kind: str, name: str, path: Path | None = None) -> None:
    if path is not None:
        assert str(path) in line
        line = line.replace(str(path), "FILE")
    expected = LINES[kind][name]
    if expected.endswith("…"):
        assert line.startswith(expected.removesuffix("…"))
    else:
        assert line == expected


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("mappings", inputs.MAPPINGS),
        ("architectures", inputs.ARCHITECTURES),
        ("targets", inputs.TARGETS),
        ("recipes", inputs.RECIPES),
        ("overrides", inputs.OVERRIDES),
        ("studies", inputs.STUDIES),
        ("cells", inputs.CELLS),
        ("cell files", inputs.CELL_FILES),
        ("results", inputs.RESULTS),
    ],
)
def test_every_input_has_a_line_and_every_line_an_input(kind: str, table: dict[str, Any]) -> None:
    assert [*LINES[kind]] == [*table]


@pytest.mark.parametrize("name", inputs.MAPPINGS)
def test_mappings(name: str) -> None:
    check(refused(lambda: parse_stage_map(inputs.MAPPINGS[name]), StretchError), "mappings", name)


@pytest.mark.parametrize("name", inputs.ARCHITECTURES)
def test_architectures(name: str) -> None:
    check(refused(lambda: parse_arch(inputs.ARCHITECTURES[name]), ArchError), "architectures", name)


@pytest.mark.parametrize("name", inputs.TARGETS)
def test_targets(name: str) -> None:
    error = StretchError if name == "another family" else ArchError
    source = parse_arch("resnet20")
    check(refused(lambda: resolve_target(source, inputs.TARGETS[name]), error), "targets", name)


@pytest.mark.parametrize(
    ("units", "found"),
    [
        ([1, 99_999], "among 1 to 2 (got 99999)"),
        ([-1], "among 1 to 2 (got -1)"),
        ([0], "among 1 to 2 (got 0)"),
        ([2**70], f"among 1 to 2 (got {2**70})"),
        ([], "named once each (got none)"),
        ([1] * 60_000, "named once each (got 1, 1, 1,"),
    ],
)
def test_units_to_replicate(units: list[int], found: str) -> None:
    source, target = parse_arch("resnet20"), parse_arch("resnet56")
    line = refused(lambda: plan_stretch(source, target, units=units), StretchError)
    assert line.startswith(f"stage 0: units to be replicated must be {found}")


def test_units_to_drop_of_the_deepest_network() -> None:
    source, target = parse_arch("resnet9998"), parse_arch("resnet20")
    line = refused(lambda: plan_stretch(source, target, drop=[*range(4, 1_666)]), StretchError)
    assert line.startswith("stage 0: 1663 units must be dropped (got 1662: 4, 5, 6,")


@pytest.mark.parametrize("name", inputs.RECIPES)
def test_recipes(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / "r.toml", inputs.RECIPES[name])
    check(refused(lambda: load_recipe(path), RecipeError, memory=64 * MEBIBYTE), "recipes", name, path)


@pytest.mark.parametrize("name", inputs.OVERRIDES)
def test_overrides(name: str) -> None:
    check(refused(lambda: load_recipe("quick", [inputs.OVERRIDES[name]]), RecipeError), "overrides", name)


@pytest.mark.parametrize("name", inputs.STUDIES)
def test_studies(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / "s.toml", inputs.STUDIES[name])
    error = RecipeError if name in {"recipe out of range", "recipe on a number"} else StudyError
    check(refused(lambda: load_study(path), error), "studies", name, path)


@pytest.mark.parametrize("name", inputs.CELLS)
def test_cells(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / "c.json", inputs.CELLS[name])
    check(refused(lambda: read_cell(path), StudyError, memory=128 * MEBIBYTE), "cells", name, path)


@pytest.mark.parametrize("name", inputs.CELL_FILES)
def test_cells_that_lie_elsewhere(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / STUDY_FILE, inputs.index_of(inputs.CELL_FILES[name]))
    check(refused(lambda: read_study(tmp_path), StudyError), "cell files", name, path)


@pytest.mark.parametrize("name", inputs.RESULTS)
def test_results(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / "r.json", inputs.RESULTS[name])
    check(refused(lambda: read_results([path]), TicketkitError), "results", name, path)


READERS: dict[str, tuple[Callable[[Path], object], type[TicketkitError], str]] = {
    ".toml recipe": (load_recipe, RecipeError, "a recipe must be a readable file"),
    ".toml study": (load_study, StudyError, "a study must be a readable file"),
    ".json cell": (read_cell, StudyError, "a study's file must be readable"),
    ".json result": (lambda path: read_results([path]), TicketkitError, "a result must be a file that can be read"),
}
PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it must be a file and is a pipe"),
    "link to itself": (lambda path: path.symlink_to(path.name), os.strerror(40)),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), os.strerror(2)),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it must be a file and is a device"),
    "sparse file of a terabyte": (
        lambda path: (path.touch(), os.truncate(path, 10**12)),
        "it must have at most {most} bytes and has 1,000,000,000,000",
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_small_file(reader: str, place: str, tmp_path: Path) -> None:
    read, error, must = READERS[reader]
    make, found = PLACES[place]
    path = tmp_path / f"it{reader.partition(' ')[0]}"
    make(path)
    most = f"{inputs.MOST_BYTES if 'toml' in reader else inputs.MAX_BYTES:,}"
    assert refused(lambda: read(path), error) == f"{must} ({found.format(most=most)}): {path}"


@pytest.mark.parametrize("reader", READERS)
def test_names_that_could_steer_a_terminal_are_made_harmless(reader: str) -> None:
    read, error, must = READERS[reader]
    end = reader.partition(" ")[0]
    line = refused(lambda: read(Path(f"a\x1b[31m\nb\u202e{end}")), error)
    assert line == f"{must} (No such file or directory): a\N{REPLACEMENT CHARACTER}[31m b\N{REPLACEMENT CHARACTER}{end}"
    assert refused(lambda: read(Path(f"a\0b{end}")), error).startswith(f"{must} (No such file or directory): a")


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
