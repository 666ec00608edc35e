"""Reading results, wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.cells import CellEntry, CellResult, Place, StudyIndex, TicketInfo
from ticketkit.report.collect import read_results
from ticketkit.report.comparison import Report
from ticketkit.report.connection import Connection, connections_to_json
from ticketkit.report.grouping import group_reports

RECORDED = Path(__file__).parents[3] / "benchmarks" / "results"


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def report(make_report: Callable[..., Report]) -> Report:
    return make_report(arms=["ticket", "dense", "imp"])


def test_reports_and_connections_come_back_equal(
    tmp_path: Path, report: Report, make_connection: Callable[..., Connection]
) -> None:
    connections = (make_connection("a"), make_connection("b", 0.1))
    files = [
        write(tmp_path / "verify.json", report.to_json()),
        write(tmp_path / "connect.json", connections_to_json(connections)),
    ]
    results = read_results(files)
    assert results.reports == (report,)
    assert results.connections == connections


def test_a_folder_gives_its_results_by_name_and_passes_over_others(tmp_path: Path, report: Report) -> None:
    document = report.to_json()
    for name, seed in (("b", "sha256:b"), ("a/z", "sha256:a"), ("c", "sha256:c")):
        write(tmp_path / f"{name}.json", document | {"ticket": document["ticket"] | {"id": seed}})
    write(tmp_path / "find.json", {"format": {"name": "ticketkit-find", "version": "1.0"}})
    write(tmp_path / "list.json", [1, 2])
    found = read_results([tmp_path, tmp_path / "b.json"])
    assert [one.ticket_id for one in found.reports] == ["sha256:a", "sha256:b", "sha256:c"]


def test_what_a_benchmark_wrapped_brings_its_command(tmp_path: Path, report: Report) -> None:
    document = report.to_json() | {"command": ""}
    path = write(tmp_path / "wrapped.json", {"command": "python run.py", "results": document})
    assert read_results([path]).reports[0].command == "python run.py"


def write_study(folder: Path, reports: list[Report]) -> None:
    """A sweep's folder with the cells that make up these reports."""
    entries = []
    for report in reports:
        assert report.origin is not None
        info = TicketInfo(id=report.ticket_id, sparsity=report.sparsity, origin=report.origin, layers=report.layers)
        for arm in report.arms:
            for run in arm.runs:
                is_dense = arm.name == "dense"
                place = Place(
                    kind="train",
                    arm=arm.name,
                    target=report.architecture,
                    seed=run.seed,
                    sparsity=None if is_dense else round(report.sparsity, 2),
                    source=report.origin.architecture if arm.name == "ticket" else None,
                    policy=report.origin.order if arm.name == "ticket" else None,
                )
                cell = CellResult(
                    place=place,
                    setting=report.setting,
                    summary=arm.summary,
                    start_step=report.start_step,
                    kept=arm.kept,
                    total=arm.total,
                    ticket=info if arm.name == "ticket" else None,
                    run=run,
                )
                entry = CellEntry(file=f"{len(entries)}.json", place=place)
                if place not in [other.place for other in entries]:
                    entries.append(entry)
                    write(folder / entry.file, cell.to_json())
    index = StudyIndex(
        title="a study", arms=("ticket", "dense", "imp"), reference="imp", margin=0.005, cells=tuple(entries)
    )
    write(folder / "study.json", index.to_json())


def test_a_sweep_s_folder_is_a_report_a_ticket_with_shared_baselines(
    tmp_path: Path, make_report: Callable[..., Report]
) -> None:
    arms = ["ticket", "dense", "imp"]
    reports = [make_report(sparsity=s, source=f"cifar-resnet{d}", arms=arms) for s in (0.8, 0.9) for d in (14, 20)]
    write_study(tmp_path / "study", reports)
    found = read_results([tmp_path])
    assert {one.ticket_id for one in found.reports} == {one.ticket_id for one in reports}
    (target,) = group_reports(found.reports)
    assert [curve.label for curve in target.curves] == ["ETT ← resnet14", "ETT ← resnet20", "dense", "imp"]


def test_a_sweep_without_a_trained_ticket_says_how_far_it_is(tmp_path: Path, report: Report) -> None:
    write_study(tmp_path, [report])
    for path in tmp_path.glob("[0-9]*.json"):
        path.unlink()
    with pytest.raises(TicketkitError, match=r"one ticket trained \(0 of 9 cells are done\)"):
        read_results([tmp_path])


def test_recorded_results_are_read() -> None:
    found = read_results([RECORDED / "digits-verify-20-to-56.json"])
    assert found.reports[0].architecture == "cifar-resnet56"
    assert found.reports[0].command.startswith("python benchmarks/run.py")
    assert len(read_results([RECORDED]).reports) >= 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a result must be JSON"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ("[" * 200_000, "a result must be JSON"),
        ("[1]", "must be one of .*ticketkit-connect, ticketkit-study, ticketkit-verify.* none of them"),
        ('{"format": {"name": ["x"]}}', "none of them"),
        ('{"format": {"name": "ticketkit-verify", "version": "2.0"}}', "1.x"),
    ],
)
def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TicketkitError, match=message) as caught:
        read_results([path])
    assert str(path) in str(caught.value)


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TicketkitError, match="a folder of results must hold"):
        read_results([tmp_path])
    with pytest.raises(TicketkitError, match="a file that can be read"):
        read_results([tmp_path / "gone.json"])


def test_control_characters_and_half_letters_are_replaced(tmp_path: Path, report: Report) -> None:
    document = report.to_json()
    document["arms"][1]["summary"] = "\x1b[2J\ud800 a\tb"
    assert read_results([write(tmp_path / "x.json", document)]).reports[0].arms[1].summary == "�[2J� a b"
