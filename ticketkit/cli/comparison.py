"""How a comparison prints: its accuracies, what they cost, and when stretching pays off, within 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from ticketkit.cli.output import MAX_WIDTH, counted, printable, text_table
from ticketkit.report.account import SHOWN_TARGETS, Account, account
from ticketkit.report.comparison import TICKET, ArmResult, Cost, Report
from ticketkit.report.judgement import points, verdict_sentences
from ticketkit.report.statistics import Interval

NAME_WIDTH = 16
NARROW_NAME_WIDTH = 14
SHOWN_SEEDS = 3
"""More seeds than this do not fit beside the other columns; they stand in the JSON."""

NOTHING = "–"
_GAP = 2
_NO_BREAK = "\N{NO-BREAK SPACE}"
_DECIMAL = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_THREE_DIGITS = 1000
_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of one cell an arm; it is shown if any cell says something and it fits."""

    head: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.head, *self.cells)))


def accuracy_table(report: Report) -> list[str]:
    """Lines that say how every arm did.

    Differences are to the reference where there is one; otherwise the ticket's lead over each arm. Where not all fits,
    each seed's accuracy goes first, then the spread of the top-5 accuracy, then the accuracy before training.

    Args:
        report: The comparison.

    Returns:
        The table and its legend, at most 80 columns wide, styled for ``echo``.
    """
    arms = report.arms
    counts = {len(arm.runs) for arm in arms}
    name = _column("arm", arms, _name)
    kept = _column("kept %", arms, lambda arm: f"{100 * arm.kept / arm.total:.2f}")
    untrained = _column("untrained", arms, lambda arm: f"{100 * arm.untrained:.1f}")
    accuracy = _column("accuracy", arms, lambda arm: _percent(arm.mean, arm.deviation))
    difference = _differences(report)
    top5 = _column("top-5", arms, lambda arm: _percent(arm.top5, arm.top5_deviation))
    short_top5 = _column("top-5", arms, lambda arm: _percent(arm.top5, None))
    seeds = _column("seeds", arms if len(counts) > 1 else (), lambda arm: str(len(arm.runs)))
    each = _column("each seed", arms if 1 < max(counts) <= SHOWN_SEEDS else (), _each_seed)
    lines = _widest_that_fits(
        [name, kept, untrained, accuracy, difference, top5, seeds, each],
        [name, kept, untrained, accuracy, difference, top5, seeds],
        [name, kept, untrained, accuracy, difference, short_top5, seeds],
        [name, kept, accuracy, difference, short_top5, seeds],
        left={"arm", "each seed"},
    )
    if max(counts) > 1:
        paired = "; paired difference ± half its 95 % interval" if report.rivals else ""
        lines.append(f"accuracy ± standard deviation{paired}")
    return lines + [
        _fitted(f"{_name(arm)} is {printable(arm.architecture)}") for arm in arms if arm.architecture is not None
    ]


def cost_table(report: Report) -> list[str]:
    """Lines that say what a training of every arm cost, means over the seeds; the most memory.

    Args:
        report: The comparison; what it does not know of an arm is shown as a dash, a column nobody knows is left out.

    Returns:
        The table and its legend, at most 80 columns wide, styled for ``echo``.
    """
    arms = report.arms
    name = _column("arm", arms, _name)
    narrow_name = _column("arm", arms, lambda arm: _fitted(_name(arm), NARROW_NAME_WIDTH))
    columns = [
        _column("sparse", arms, lambda arm: _of_cost(arm, lambda cost: flops(cost.flops))),
        _column("dense", arms, lambda arm: _of_cost(arm, lambda cost: flops(cost.dense_flops))),
        _column("setup", arms, lambda arm: _of_cost(arm, lambda cost: flops(cost.setup_flops))),
        _column("time", arms, lambda arm: duration(arm.seconds)),
        _column("images/s", arms, lambda arm: _of_cost(arm, lambda cost: _rate(cost.images_per_second))),
        _column("memory", arms, lambda arm: _of_cost(arm, lambda cost: _memory(cost.peak_memory))),
    ]
    lines = _widest_that_fits([name, *columns], [narrow_name, *columns], left={"arm"})
    if any(arm.cost is not None for arm in arms):
        lines.append("sparse skips pruned weights, dense does not; setup comes before training, sparse")
    return lines


def account_table(report: Report) -> list[str]:
    """Lines of the amortised account; none where :func:`~ticketkit.report.account.account` cannot draw it up."""
    drawn = account(report)
    if drawn is None:
        return []
    targets = range(1, SHOWN_TARGETS + 1)

    def shown(value: float) -> str:
        return f"{value / drawn.unit:.2f}" if drawn.unit else NOTHING

    rows = [
        [str(n), shown(drawn.by_stretching(n)), *(shown(drawn.by_rival(name, n)) for name in drawn.rivals)]
        for n in targets
    ]
    return [
        *text_table(["targets", "find once, stretch", *drawn.rivals], rows),
        f"in dense trainings of the target, {flops(drawn.unit)} each; pruned weights skipped",
        *(_break_even(drawn, name) for name in drawn.rivals),
    ]


def verdict_lines(report: Report) -> list[str]:
    """The verdict, every sentence on lines of its own, broken at spaces to at most 80 columns."""
    lines = []
    for sentence in verdict_sentences(report):
        text = printable(sentence).replace(" %", _NO_BREAK + "%")
        lines += textwrap.wrap(text, MAX_WIDTH, break_on_hyphens=False)
    return [line.replace(_NO_BREAK, " ") for line in lines]


def flops(count: float) -> str:
    """A number of FLOPs with three digits: ``12.3 TFLOP``."""
    return _scaled(count, "FLOP", 1000, _DECIMAL)


def duration(seconds: float) -> str:
    """A time with three digits: ``42.1 s``, ``12.3 min``, ``4.56 h``."""
    if seconds < 2 * _MINUTE:
        return f"{_three_digits(seconds)} s"
    if seconds < 2 * _HOUR:
        return f"{_three_digits(seconds / _MINUTE)} min"
    return f"{_three_digits(seconds / _HOUR)} h"


def _break_even(drawn: Account, name: str) -> str:
    number = drawn.break_even(name)
    if number is None:
        return f"Stretching is never cheaper than {name}."
    return f"Stretching is cheaper than {name} from {counted(number, 'target')} on."


def _differences(report: Report) -> _Column:
    if report.reference is None:
        return _column(
            "ticket's lead",
            report.arms,
            lambda arm: "" if arm.name == TICKET else _plus_minus(report.lead_over(arm.name)),
        )
    return _column(
        _fitted(f"above {printable(report.reference)}", NAME_WIDTH),
        report.arms,
        lambda arm: "" if arm.name == report.reference else _plus_minus(report.over_reference(arm.name)),
    )


def _column(head: str, arms: Iterable[ArmResult], cell: Callable[[ArmResult], str]) -> _Column:
    return _Column(head, [cell(arm) for arm in arms])


def _widest_that_fits(*choices: Sequence[_Column], left: Container[str]) -> list[str]:
    """The first table that fits, or the last."""
    for columns in choices:
        shown = [column for column in columns if set(column.cells) - {NOTHING, ""}]
        if sum(column.width + _GAP for column in shown) - _GAP <= MAX_WIDTH:
            break
    rows = list(zip(*(column.cells for column in shown), strict=True))
    return text_table([column.head for column in shown], rows, left=left)


def _name(arm: ArmResult) -> str:
    return _fitted(printable(arm.name), NAME_WIDTH)


def _fitted(text: str, width: int = MAX_WIDTH) -> str:
    """A text, what is too much taken from its middle: files' names differ at their ends."""
    head = (width - 1) // 2
    return text if len(text) <= width else f"{text[:head]}…{text[head + 1 - width :]}"


def _each_seed(arm: ArmResult) -> str:
    return " ".join(f"{100 * value:.1f}" for value in arm.accuracies)


def _percent(value: float | None, spread: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{100 * value:.2f}" if spread is None else f"{100 * value:.2f} ± {100 * spread:.2f}"


def _plus_minus(difference: Interval | None) -> str:
    if difference is None:
        return NOTHING
    if difference.high is None:
        return points(difference.mean)
    return f"{points(difference.mean)} ± {100 * (difference.high - difference.mean):.2f}"


def _of_cost(arm: ArmResult, shown: Callable[[Cost], str]) -> str:
    return NOTHING if arm.cost is None else shown(arm.cost)


def _rate(images_per_second: float) -> str:
    return _scaled(images_per_second, "", 1000, _DECIMAL)


def _memory(count: int | None) -> str:
    return NOTHING if count is None else _scaled(count, "B", 1024, _BINARY)


def _scaled(value: float, unit: str, step: int, prefixes: Sequence[str]) -> str:
    """A number with the first prefix that leaves it at three digits, if there is one."""
    power = 0
    while power < len(prefixes) - 1 and round(value) >= _THREE_DIGITS:
        value /= step
        power += 1
    return f"{_three_digits(value)} {prefixes[power]}{unit}".rstrip()


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    for decimals, limit in ((2, 10), (1, 100)):
        if round(value, decimals) < limit:
            return f"{value:.{decimals}f}"
    return f"{value:,.0f}"
