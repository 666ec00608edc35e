"""How ``ticketkit verify`` prints: within 80 columns, whatever the arms are called."""

from click import unstyle

from ticketkit.cli.commands.verify import _table
from ticketkit.report.comparison import ArmResult, Report, Run


def _report(seeds: int) -> Report:
    def arm(name: str, step: float) -> ArmResult:
        runs = [Run(seed=s, accuracy=1 - step * s, untrained=1.0, loss=1.0, seconds=1.0) for s in range(seeds)]
        return ArmResult(name=name, summary="", kept=100, total=100, runs=tuple(runs))

    arms = (arm("ticket", 0.0), arm("resnet20-to-resnet56-rescaled", 0.4 / seeds))
    return Report(ticket_id="", architecture="", sparsity=0.0, start_step=0, setting={}, arms=arms)


def test_the_widest_table_fits() -> None:
    lines = [unstyle(line) for line in _table(_report(3))]
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("ticket  ")
    assert lines[2].startswith("resnet20-t…  100.00")
    assert lines[2].endswith("100.0 86.7 73.3")


def test_many_seeds_stand_in_the_json_alone() -> None:
    assert "each seed" in _table(_report(3))[0]
    assert "each seed" not in _table(_report(4))[0]


def test_one_seed_has_no_spread() -> None:
    assert not any("±" in line for line in _table(_report(1)))
