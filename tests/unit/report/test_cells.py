"""A study's results: what a cell's file holds, and the comparisons and lines that all of them make up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from ticketkit.errors import StudyError
from ticketkit.report.cells import (
    CellEntry,
    CellResult,
    Level,
    Place,
    StudyIndex,
    TicketInfo,
    read_cell,
    read_study,
)
from ticketkit.report.comparison import LayerDensity, Origin, Run
from ticketkit.report.connection import Connection

TARGET = "cifar-resnet20-w2"
SETTING = {"dataset": {"name": "digits"}, "recipe": {"name": "tiny"}, "environment": {"device": "cpu"}}
TICKET_ARMS = {"ticket", "random"}


def ticket_of(place: Place) -> TicketInfo:
    """A ticket's description, another for each source, policy, sparsity and seed."""
    name = f"{place.source} {place.policy} {place.sparsity} {place.seed}"
    origin = Origin(architecture="cifar-resnet14-w2", order="append", mapping="0:0;1:1,2", parent=f"parent of {name}")
    layers = (LayerDensity(name="conv.weight", stage=None, unit=None, kept=2, size=18),)
    return TicketInfo(id=name, sparsity=place.sparsity or 0.0, origin=origin, layers=layers, find_flops=1e6)


def place_of(arm: str, seed: int = 0, sparsity: float = 0.8, source: str = "resnet14-w2", **more: Any) -> Place:
    depends = arm in TICKET_ARMS
    return Place(
        kind=more.pop("kind", "train"),
        arm=arm,
        target=more.pop("target", TARGET),
        seed=seed,
        sparsity=None if arm == "dense" else sparsity,
        source=source if depends else None,
        policy=more.pop("policy", "append") if depends else None,
    )


def result_of(place: Place, accuracy: float = 0.9) -> CellResult:
    return CellResult(
        place=place,
        setting=SETTING,
        summary=f"what {place.arm} is",
        total=1000,
        start_step=3,
        kept=1000 if place.arm == "dense" else 200,
        ticket=ticket_of(place) if place.source is not None else None,
        run=Run(seed=place.seed, accuracy=accuracy, untrained=0.1, loss=0.5, seconds=1.0),
        seconds=2.0,
    )


def write_study(folder: Path, results: Iterable[CellResult], missing: Iterable[Place] = (), **changes: Any) -> Path:
    """A folder with cells, and with a list of them and of others that are not done."""
    entries = []
    for number, result in enumerate(results):
        entries.append(CellEntry(file=f"train/{number}.json", place=result.place))
        path = folder / entries[-1].file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result.to_json()), encoding="utf-8")
    entries += [CellEntry(file=f"train/missing-{n}.json", place=place) for n, place in enumerate(missing)]
    arguments: dict[str, Any] = {
        "title": "A study",
        "arms": ("ticket", "random", "imp", "dense"),
        "reference": "imp",
        "margin": 0.01,
        "cells": tuple(entries),
        "command": "ticketkit sweep a.toml",
    }
    index = StudyIndex(**(arguments | changes))
    (folder / "study.json").write_text(json.dumps(index.to_json()), encoding="utf-8")
    return folder


# --- the files


def test_a_cell_comes_back_from_its_file(tmp_path: Path, make_connection: Callable[..., Connection]) -> None:
    line = make_connection(points=4).curves[0]
    place = place_of("ticket")
    found = Place(kind="find", arm="imp", target=TARGET, seed=1)
    for result in (
        result_of(place),
        result_of(place_of("dense")),
        replace(result_of(replace(place, kind="connect")), run=None, curve=line),
        replace(result_of(found), run=None, levels=(Level(level=0, kept=1000, accuracy=0.9),)),
        replace(result_of(place_of("small-dense")), architecture="cifar-resnet20-w1"),
    ):
        path = tmp_path / "cell.json"
        path.write_text(json.dumps(result.to_json(), allow_nan=False), encoding="utf-8")
        assert read_cell(path) == result
    assert json.loads(path.read_text())["format"] == {"name": "ticketkit-cell", "version": "1.0"}


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    result = result_of(place_of("ticket"))
    document = result.to_json()
    document["format"]["version"] = "1.7"
    document["new"] = document["run"]["new"] = {"a": 1}
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_cell(path) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:50], "a study's file must be JSON"),
        (lambda _: "[" * 100_000, "a study's file must be JSON"),
        (lambda _: "[1]", r"must have the format ticketkit-cell \(got None\)"),
        (lambda text: text.replace("ticketkit-cell", "ticketkit-verify"), "must have the format ticketkit-cell"),
        (lambda text: text.replace('"1.0"', '"2.0"'), r"must be of version 1\.x \(got 2\.0\)"),
        (lambda text: text.replace('"train"', '"bake"'), r"must follow ticketkit-cell 1\.x: .*`\$\.place\.kind`"),
        (lambda text: text.replace('"accuracy": 0.9', '"accuracy": 1.9'), r"`\$\.run\.accuracy`"),
        (lambda text: text.replace('"total": 1000', '"total": 0'), r"`\$\.total`"),
        (lambda text: text.replace('"kept": 200', '"kept": -1'), r"`\$\.kept`"),
        (lambda text: text.replace('"seed"', '"sed"'), "required field `seed`"),
    ],
)
def test_a_file_that_is_no_cell_is_named(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    path = tmp_path / "cell.json"
    path.write_text(change(json.dumps(result_of(place_of("ticket")).to_json())), encoding="utf-8")
    with pytest.raises(StudyError, match=message) as caught:
        read_cell(path)
    assert str(caught.value).endswith(f": {path}")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"readable \(No such file or directory\): .*study\.json"):
        read_study(tmp_path)


def test_the_format_s_page_has_every_member() -> None:
    text = (Path(__file__).parents[3] / "formats" / "sweep-v1.md").read_text(encoding="utf-8")
    for kind, prefix in ((CellResult, ""), (Place, ""), (TicketInfo, ""), (StudyIndex, ""), (CellEntry, "cells[].")):
        for field in fields(kind):
            assert f"\n| `{prefix}{field.name}` | " in text, field.name


# --- comparisons


def test_a_ticket_stands_beside_the_arms_of_its_own_and_those_of_all(tmp_path: Path) -> None:
    results = [
        result_of(place_of(arm, seed, sparsity, source))
        for sparsity in (0.8, 0.9)
        for seed in (0, 1)
        for source in ("resnet14-w2", "resnet32-w2")
        for arm in ("dense", "imp", "ticket", "random")
    ]
    unique = {result.place: result for result in results}
    study = read_study(write_study(tmp_path, unique.values()))
    assert study.missing == 0
    assert study.done == tuple(unique.values())
    assert [(report.sparsity, report.origin and report.origin.architecture) for report in study.reports] == [
        (0.8, "resnet14-w2"),
        (0.8, "resnet32-w2"),
        (0.9, "resnet14-w2"),
        (0.9, "resnet32-w2"),
    ]
    for report in study.reports:
        assert [arm.name for arm in report.arms] == ["ticket", "random", "imp", "dense"]
        assert [[run.seed for run in arm.runs] for arm in report.arms] == [[0, 1]] * 4
        assert [(arm.kept, arm.total) for arm in report.arms] == [(200, 1000)] * 3 + [(1000, 1000)]
        assert (report.architecture, report.start_step, report.setting) == (TARGET, 3, SETTING)
        assert (report.reference, report.margin, report.find_flops) == ("imp", 0.01, 1e6)
        assert report.command == "ticketkit sweep a.toml"
        assert report.layers == ticket_of(place_of("ticket")).layers
    assert len({report.ticket_id for report in study.reports}) == 4


def test_targets_and_policies_have_comparisons_of_their_own(tmp_path: Path) -> None:
    places = [
        place_of(arm, target=target, policy=policy)
        for target in (TARGET, "cifar-resnet32-w2")
        for policy in ("append", "mine")
        for arm in ("imp", "ticket")
    ]
    results = {place: result_of(place, 0.8 if "32" in place.target else 0.9) for place in places}
    study = read_study(write_study(tmp_path, results.values()))
    told = [(one.architecture, one.origin and one.origin.order, one.arms[1].mean) for one in study.reports]
    assert [(architecture, mean) for architecture, _, mean in told] == [(TARGET, 0.9)] * 2 + [
        ("cifar-resnet32-w2", 0.8)
    ] * 2
    assert len({one.ticket_id for one in study.reports}) == 2, "as this test names tickets: by policy"


def test_seeds_come_in_order_whatever_the_study_s(tmp_path: Path) -> None:
    results = [result_of(place_of(arm, seed), 0.9 + seed / 100) for seed in (5, 2, 0) for arm in ("imp", "ticket")]
    (report,) = read_study(write_study(tmp_path, results)).reports
    assert [[run.seed for run in arm.runs] for arm in report.arms] == [[0, 2, 5]] * 2
    assert report.arms[0].accuracies == [0.9 + seed / 100 for seed in (0, 2, 5)]
    assert report.ticket_id.endswith(" 0"), "the ticket of the first seed stands for them"


def test_a_study_that_is_not_done_gives_what_is_there(tmp_path: Path) -> None:
    done = [result_of(place_of("ticket", seed)) for seed in (0, 1)] + [result_of(place_of("random", 1))]
    missing = [place_of("imp"), place_of("ticket", 2), place_of("ticket", source="resnet32-w2")]
    study = read_study(write_study(tmp_path, done, missing))
    assert (study.missing, len(study.done)) == (3, 3)
    (report,) = study.reports
    assert [(arm.name, [run.seed for run in arm.runs]) for arm in report.arms] == [("ticket", [0, 1]), ("random", [1])]
    assert report.reference is None, "it was not trained"
    assert report.hypothesis() is None


def test_without_a_ticket_there_is_nothing_to_compare(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [result_of(place_of("imp")), result_of(place_of("dense"))]))
    assert study.reports == ()
    assert len(study.done) == 2
    nothing = read_study(write_study(tmp_path, [], [place_of("ticket")]))
    assert (nothing.reports, nothing.done, nothing.missing) == ((), (), 1)


def test_another_network_is_named(tmp_path: Path) -> None:
    small = replace(result_of(place_of("small-dense")), architecture="cifar-resnet20-w1", kept=190)
    folder = write_study(tmp_path, [result_of(place_of("ticket")), small], arms=("ticket", "small-dense"))
    (report,) = read_study(folder).reports
    assert (report.arms[1].architecture, report.arms[1].kept) == ("cifar-resnet20-w1", 190)


# --- lines


def line_of(place: Place, connection: Connection) -> CellResult:
    curve = replace(connection.curves[0], seed=place.seed)
    return replace(result_of(replace(place, kind="connect")), run=None, curve=curve)


def test_lines_are_put_together_over_seeds_and_named_as_the_paper_does(
    tmp_path: Path, make_connection: Callable[..., Connection]
) -> None:
    line = make_connection(points=4, barrier=0.02)
    results = [
        line_of(place_of(arm, seed, 0.9, source), line)
        for seed in (0, 1)
        for source in ("resnet14-w2", "resnet32-w2")
        for arm in ("imp", "ticket", "random")
        if arm != "imp" or source == "resnet14-w2"
    ]
    study = read_study(write_study(tmp_path, results))
    assert [one.name for one in study.connections] == [
        "imp",
        "ETT ← resnet14-w2",
        "random ← resnet14-w2",
        "ETT ← resnet32-w2",
        "random ← resnet32-w2",
    ]
    for one in study.connections:
        assert [curve.seed for curve in one.curves] == [0, 1]
        assert (one.architecture, one.sparsity, one.start_step) == (TARGET, 0.9, 3)
        assert one.setting == SETTING
        assert one.command == "ticketkit sweep a.toml"
    assert study.connections[0].ticket_id == ""
    assert study.connections[1].ticket_id == "resnet14-w2 append 0.9 0"
    assert study.reports == ()


def test_lines_name_their_policy_where_there_are_several(
    tmp_path: Path, make_connection: Callable[..., Connection]
) -> None:
    line = make_connection(points=4)
    results = [line_of(place_of("ticket", policy=policy), line) for policy in ("append", "mine")]
    results.append(line_of(place_of("dense"), line))
    names = [one.name for one in read_study(write_study(tmp_path, results)).connections]
    assert names == ["ETT ← resnet14-w2, append", "ETT ← resnet14-w2, mine", "dense"]
