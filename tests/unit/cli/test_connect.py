"""``ticketkit connect``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click import unstyle
from click.testing import CliRunner, Result

from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.cli.commands.connect import _curves, _drawn, _legend, _table, _verdict
from ticketkit.errors import RecipeError, TicketkitError
from ticketkit.provenance import Weights
from ticketkit.report.connection import Connection, Curve, Point, connections_from_json
from ticketkit.ticket import Ticket

TINY = ["--dataset", "digits", "--limit", "64", "--recipe", "quick"]
TINY += [part for field in ("epochs=2", "batch=32", "warmup=0") for part in ("--set", field)]


@pytest.fixture
def folder(make_ticket: Callable[..., Ticket], tmp_path: Path) -> Path:
    for name, arch in (("a", "resnet8-w2"), ("b", "resnet14-w2")):
        ticket = make_ticket(arch, in_channels=1, weights=Weights(role="rewind", step=1))
        save_ticket(ticket, tmp_path / f"{name}.st")
    return tmp_path


def _connect(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["connect", *map(str, arguments)], catch_exceptions=False)


def _connection(name: str, *lines: list[float]) -> Connection:
    curves = tuple(
        Curve(
            seed=seed,
            ends=(1, 1),
            points=tuple(
                Point(alpha=number / (len(line) - 1), accuracy=value, loss=1 - value, train_loss=0)
                for number, value in enumerate(line)
            ),
            distance=0,
            seconds=0,
        )
        for seed, line in enumerate(lines)
    )
    return Connection(
        name=name, ticket_id="", architecture="", sparsity=0.5, start_step=0, setting={}, curves=curves, command=""
    )


def test_a_run_prints_a_table_and_a_curve_and_writes_its_document(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["ticketkit", "connect", "a b.st"])
    out = folder / "connect.json"
    done = _connect(folder / "a.st", folder / "b.st", *TINY, "--pairs", 2, "--points", 4, "-o", out)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(done.stderr.splitlines()) == 4, "off a terminal: one line a pair, no bar"
    first, second = connections_from_json(json.loads(out.read_text(encoding="utf-8")))
    assert (first.name, second.name) == ("a", "b")
    assert (first.architecture, second.architecture) == ("cifar-resnet8-w2", "cifar-resnet14-w2")
    assert [curve.seed for curve in second.curves] == [0, 1]
    assert [len(curve.points) for curve in second.curves] == [4, 4]
    assert first.start_step == 1
    assert first.setting["dataset"]["train"] == 64
    assert first.command == "ticketkit connect 'a b.st'"
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("b  "))
    assert row[3] == f"{50 * sum(curve.lowest.accuracy for curve in second.curves):.2f}"
    assert any(set(line.split()[1]) <= set("▁▂▃▄▅▆▇█") for line in done.stdout.splitlines() if line.startswith("b  "))


def test_json_alone_goes_to_standard_output(folder: Path) -> None:
    done = _connect(folder / "a.st", *TINY, "--points", 2, "--start", "0", "--seed", 9, "--json")
    (connection,) = connections_from_json(json.loads(done.stdout))
    assert connection.start_step == 0
    assert connection.curves[0].seed == 9


def test_what_cannot_be_done_is_refused_before_anything_is_trained(folder: Path) -> None:
    (folder / "there.json").touch()
    with pytest.raises(TicketkitError, match=r"without --force .*there\.json"):
        _connect(folder / "a.st", *TINY, "-o", folder / "there.json")
    assert "each TICKET must be given once" in _connect(folder / "a.st", folder / "a.st", *TINY).stderr
    assert "Missing argument 'TICKET...'" in _connect().stderr


def test_every_ticket_is_checked_before_the_first_is_trained(
    folder: Path, make_ticket: Callable[..., Ticket], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_ticket(make_ticket("resnet8-w2", in_channels=1, weights=Weights(role="final")), folder / "final.st")
    monkeypatch.setattr("ticketkit.connect.train", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(RecipeError, match="start 0"):
        _connect(folder / "a.st", folder / "final.st", *TINY)


def test_files_of_one_stem_are_told_apart_by_their_paths(folder: Path, make_ticket: Callable[..., Ticket]) -> None:
    (folder / "c").mkdir()
    save_ticket(make_ticket("resnet8-w2", in_channels=1, seed=1), folder / "c" / "a.st")
    done = _connect(folder / "a.st", folder / "c" / "a.st", *TINY, "--points", 2, "--start", "0", "--json")
    names = [connection.name for connection in connections_from_json(json.loads(done.stdout))]
    assert names == [str(folder / "a.st"), str(folder / "c" / "a.st")]


def test_the_widest_table_fits() -> None:
    wide = _connection("resnet20-to-resnet56-rescaled", [1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0] * 4)
    long = _connection("x", [1.0, 0.0, *[1.0] * 200], [1.0, 0.0, *[1.0] * 200])
    lines = [line for item in (wide, long) for line in (*_table([item]), _legend([item]), *_curves([item]))]
    assert max(len(unstyle(line)) for line in lines) <= 80
    assert unstyle(_table([wide])[1]).split()[-5:] == ["0.00-0.67", "66.67", "±", "57.74", "0.667"]


def test_one_pair_has_no_spread() -> None:
    single = [_connection("a", [0.9, 0.8, 0.9])]
    assert not any("±" in line for line in (*_table(single), _legend(single)))


def test_the_verdict_says_which_are_stable() -> None:
    lines = _verdict([_connection("a", [0.9, 0.89]), _connection("b", [0.9, 0.5, 0.9]), _connection("c", [1.0, 1.0])])
    assert [unstyle(line).split(maxsplit=1) for line in lines] == [["stable", "a, c"], ["unstable", "b"]]


def test_a_curve_shows_a_valley_and_not_noise() -> None:
    assert _drawn([0.9, 0.55, 0.1, 0.55, 0.9]) == "█▅▁▅█"
    assert set(_drawn([0.900, 0.895, 0.902])) == {"█"}
    assert "▁" not in _drawn([0.90, 0.85, 0.90]), "five points are half of the least height"
    long = _drawn([1.0] * 199 + [0.0])
    assert len(long) == 40
    assert long.count("▁") == 1, "the lowest of a few points is what shows"
