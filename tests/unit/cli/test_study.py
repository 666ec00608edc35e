"""How a study prints: tables within 80 columns, whatever its sources are called and however many sparsities it has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click import unstyle

from ticketkit.cli.study import study_lines
from ticketkit.report.cells import StudyIndex, StudyResults
from ticketkit.report.comparison import ArmResult, Origin, Report, Run
from ticketkit.report.connection import Connection, Curve, Point
from ticketkit.verify import ARMS

EVERY_ARM = ("ticket", *(name for name in ARMS if name != "ticket"))
FROM_TICKET = {name for name in ARMS if ARMS[name].depends_on == "ticket"}


def make_report(
    sparsity: float = 0.9,
    source: str = "resnet20",
    order: str = "append",
    arms: tuple[str, ...] = EVERY_ARM,
    seeds: int = 3,
) -> Report:
    """A report whose spread is as wide as any: accuracies of 0 and nearly 100 %."""

    def arm_of(name: str) -> ArmResult:
        own = len(f"{source} {order}") if name in FROM_TICKET else 0
        lost = 0.0 if name == "dense" else sparsity * (EVERY_ARM.index(name) + own) / 1000
        accuracies = [(seed % 2) * (1 - lost) for seed in range(seeds)]
        runs = [Run(seed=s, accuracy=a, untrained=0.1, loss=1.0, seconds=1.0) for s, a in enumerate(accuracies)]
        kept = 1000 if name == "dense" else round(1000 * (1 - sparsity))
        return ArmResult(name=name, summary=name, kept=kept, total=1000, runs=tuple(runs))

    return Report(
        ticket_id=f"{source} {order} {sparsity}",
        architecture="cifar-resnet32",
        sparsity=sparsity,
        start_step=14,
        setting={"dataset": {"name": "digits"}, "recipe": {"name": "quick"}, "environment": {}},
        arms=tuple(arm_of(name) for name in arms),
        reference="imp" if "imp" in arms else None,
        origin=Origin(architecture=source, order=order, mapping="0:0", parent=""),
    )


def make_connection(name: str, architecture: str, barrier: float, pairs: int = 1) -> Connection:
    def line(seed: int) -> Curve:
        values = (0.9, 0.9 - barrier, 0.9)
        points = [Point(alpha=n / 2, accuracy=a, loss=0.1, train_loss=0.1) for n, a in enumerate(values)]
        return Curve(seed=seed, ends=(0.9, 0.9), points=tuple(points), distance=1.0, seconds=1.0)

    return Connection(
        name=name,
        ticket_id="",
        architecture=architecture,
        sparsity=0.9,
        start_step=14,
        setting={},
        curves=tuple(line(seed) for seed in range(pairs)),
    )


def lines_of(reports: list[Report], connections: tuple[Connection, ...] = ()) -> list[str]:
    index = StudyIndex(title="", arms=(), reference="imp", margin=0.005, cells=())
    results = StudyResults(index=index, done=(), reports=tuple(reports), connections=connections)
    return [unstyle(line) for line in study_lines(results)]


@pytest.mark.parametrize("number", [1, 2, 5, 11])
@pytest.mark.parametrize(
    "sources", [("resnet20",), ("resnet20-w16-pad on cifar10[:5000] with paper-cifar", "cifar-resnet56")]
)
def test_the_widest_study_fits(number: int, sources: tuple[str, ...]) -> None:
    sparsities = [place / (number + 1) for place in range(1, number + 1)]
    reports = [
        make_report(sparsity, source, order)
        for sparsity in sparsities
        for source in sources
        for order in ("append", "interpolate")
    ]
    lines = lines_of(reports)
    assert max(map(len, lines)) <= 80
    heads = [line.split()[1::2] for line in lines if line.startswith("arm ")]
    assert sum(map(len, heads)) == number, "every sparsity once"
    assert max(map(len, heads)) - len(heads[-1]) < len(heads), "and about as many in each table"
    for arm in ("dense", "imp", "set", "small-dense"):
        assert sum(line.startswith(f"{arm} ") for line in lines) == len(heads)
    judged = lines.index("elastic hypothesis: no more than 0.5 points below imp, 95 %") + 2
    assert len(lines[judged:]) == len(reports)


def test_a_table_has_each_arm_s_mean_and_spread() -> None:
    report = make_report(arms=("ticket", "dense", "imp"))
    lines = lines_of([report])
    assert lines[0] == "resnet32: accuracy in %, mean ± standard deviation"
    for arm, label in zip(report.arms, ("ETT ← resnet20", "dense", "imp"), strict=True):
        assert arm.deviation is not None
        shown = f"{100 * arm.mean:.2f} ± {100 * arm.deviation:.2f}"
        assert any(line.startswith(label) and line.endswith(shown) for line in lines)


def test_one_seed_has_no_spread_and_no_verdict() -> None:
    lines = lines_of([make_report(arms=("ticket", "imp"), seeds=1)])
    assert not any("±" in line for line in lines[1:])
    assert lines[-1].endswith("needs more seeds")


@pytest.mark.parametrize(
    ("points", "spread", "verdict"),
    [
        (0.1, 0.01, "+0.08 to +0.12  held"),
        (-3.0, 0.01, "−3.02 to −2.98  not held"),
        (-0.3, 0.5, "needs about 35 seeds"),
        (-0.5, 0.5, "needs over 1,000 seeds"),
    ],
)
def test_the_verdicts(points: float, spread: float, verdict: str) -> None:
    """A ticket so many points above IMP, more or less."""
    report = make_report(arms=("ticket", "imp"), seeds=4)
    ticket, imp = report.arms
    level = [replace(run, accuracy=0.5) for run in imp.runs]
    runs = [replace(run, accuracy=0.5 + (points + spread * (-1) ** run.seed) / 100) for run in level]
    moved = replace(report, arms=(replace(ticket, runs=tuple(runs)), replace(imp, runs=tuple(level))), margin=0.005)
    assert verdict in lines_of([moved])[-1]


def test_without_the_reference_there_is_no_hypothesis() -> None:
    lines = lines_of([make_report(arms=("ticket", "dense"))])
    assert not any("hypothesis" in line for line in lines)
    assert lines[-1].startswith("dense")


def test_lines_between_trainings_fit() -> None:
    connections = (
        make_connection("imp", "cifar-resnet32", barrier=0.0, pairs=3),
        make_connection(
            "ETT ← resnet20-w16-pad on cifar10[:5000], interpolate", "cifar-resnet110-w16-pad", barrier=0.5
        ),
    )
    lines = lines_of([], connections)
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["imp", "resnet32", "90", "%", "3", "0.00", "stable"]
    assert lines[2].endswith("50.00")


def test_what_a_study_s_names_hold_cannot_steer_a_terminal() -> None:
    report = make_report(source="resnet20\x1b[2J", arms=("ticket", "imp"))
    lines = lines_of([report], (make_connection("a\x1b[2Jb", "cifar-resnet32", barrier=0.0),))
    assert not any("\x1b" in line for line in lines)


def test_nothing_yet_is_no_error() -> None:
    assert lines_of([]) == []
