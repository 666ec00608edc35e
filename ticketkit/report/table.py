"""A report's tables as text cells, for whatever sets them: HTML, Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ticketkit.report.account import SHOWN_TARGETS, account
from ticketkit.report.comparison import Report
from ticketkit.report.connection import STABLE_BELOW, Connection
from ticketkit.report.grouping import (
    Level,
    Row,
    Target,
    compared_text,
    has_orders,
    origin_label,
    short_name,
    shown_percent,
)
from ticketkit.report.judgement import points
from ticketkit.report.statistics import Interval, deviation

_MEGABYTE = 1e6

_TWO_DECIMALS = 0.1
"""Smaller numbers are shown with one significant digit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: What it shows.
        heads: The columns' heads, with units.
        rows: The cells; the first of each row names it.
        left: The columns, counted from 0, that hold words and are aligned to the left; the first one always is.
        bold: The rows, counted from 0, that stand out.
        note: What must be said of it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})
    bold: frozenset[int] = frozenset()
    note: str = ""


def accuracy_table(target: Target, level: Level) -> Table:
    """Each arm of a level: what it keeps, its accuracy, its difference to the reference, and every seed."""
    has_top5 = any(row.arm.top5 is not None for row in level.rows)
    heads = ["arm", "kept (%)", "accuracy ± sd (%)", *(["top-5 ± sd (%)"] if has_top5 else [])]
    heads += [f"difference to {compared_text(level.reports)}, 95 % (points)", "seed: accuracy (%)"]
    rows = []
    for row in level.rows:
        arm = row.arm
        cells = [row.label, f"{100 * arm.kept / arm.total:.2f}", _spread(arm.mean, arm.deviation)]
        if has_top5:
            cells.append("" if arm.top5 is None else _spread(arm.top5, arm.top5_deviation))
        seeds = ", ".join(f"{run.seed}: {100 * run.accuracy:.2f}" for run in arm.runs)
        rows.append((*cells, _interval(row.difference), seeds))
    return Table(
        title=f"{target.title}, {level.title} sparse",
        heads=tuple(heads),
        rows=tuple(rows),
        left=frozenset({0, len(heads) - 1}),
        bold=_tickets(level.rows),
    )


def cost_table(target: Target, level: Level) -> Table | None:
    """What each arm of a level costs; None if none of them tells."""
    known = [(row, cost) for row in level.rows if (cost := row.arm.cost) is not None]
    if not known:
        return None
    rows = []
    for row, cost in known:
        work = row.work
        before, training, together = ("", "", "") if work is None else (_times(part) for part in (*work, sum(work)))
        memory = "" if cost.peak_memory is None else f"{cost.peak_memory / _MEGABYTE:,.0f}"
        flops = (f"{cost.flops:.2e}", f"{cost.dense_flops:.2e}")
        speed = (f"{row.arm.seconds:.1f}", f"{cost.images_per_second:,.0f}")
        rows.append((row.label, before, training, together, *flops, *speed, memory))
    return Table(
        title=f"{target.title}, {level.title} sparse",
        heads=(
            "arm",
            "before it (dense trainings)",
            "training (dense trainings)",
            "together (dense trainings)",
            "training (sparse FLOPs)",
            "training (dense FLOPs)",
            "wall time (s)",
            "speed (images/s)",
            "peak memory (MB)",
        ),
        rows=tuple(rows),
        bold=_tickets([row for row, _ in known]),
        note="Means over the seeds; memory is the most of them.",
    )


def account_table(target: Target) -> Table | None:
    """What several targets cost by stretching and by other methods; None if no report knows."""
    with_order = has_orders(target.reports)
    numbers = range(1, SHOWN_TARGETS + 1)
    found = [(report, one) for report in target.reports if (one := account(report)) is not None and one.unit > 0]
    if not found:
        return None
    names = list(dict.fromkeys(name for _, one in found for name in one.rivals))
    levels: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {}
    for report, one in found:
        level = f"{shown_percent(report.sparsity)} %"
        stretched, others = levels.setdefault(level, ([], []))
        subject = f"{level}, ETT {origin_label(report, with_order=with_order)}".strip()
        wins = (_wins(one.break_even(name)) if name in one.rivals else "" for name in names)
        stretched.append((subject, *(_times(one.by_stretching(n) / one.unit) for n in numbers), *wins))
        for name in one.rivals:
            costs = (_times(one.by_rival(name, n) / one.unit) for n in numbers)
            others.append((f"{level}, {name}", *costs, *("" for _ in names)))
    rows = [(row, group is level[0]) for level in levels.values() for group in level for row in dict.fromkeys(group)]
    return Table(
        title=target.title,
        heads=(
            "sparsity, method",
            *(f"{n} target{'s' if n > 1 else ''}" for n in numbers),
            *(f"cheaper than {name} from" for name in names),
        ),
        rows=tuple(row for row, _ in rows),
        bold=frozenset(place for place, (_, is_stretched) in enumerate(rows) if is_stretched),
        note="Sparse FLOPs in dense trainings of the target, finding the stretched ticket included; all targets are "
        "taken to cost what this one costs. The last columns give the number of targets from which stretching is "
        "cheaper.",
    )


def connection_table(connections: Sequence[Connection]) -> Table:
    """The barrier of each connection."""
    rows = tuple(
        (
            connection.name,
            short_name(connection.architecture),
            shown_percent(connection.sparsity),
            str(len(connection.curves)),
            _spread(connection.barrier, connection.deviation),
            _mean_spread([curve.loss_barrier for curve in connection.curves]),
            _mean_spread([curve.train_loss_barrier for curve in connection.curves]),
            "stable" if connection.is_stable else "not stable",
        )
        for connection in connections
    )
    return Table(
        title="Barriers",
        heads=(
            "ticket",
            "network",
            "sparsity (%)",
            "pairs",
            "barrier ± sd (points)",
            "test loss barrier (nats)",
            "training loss barrier (nats)",
            "verdict",
        ),
        rows=rows,
        left=frozenset({0, 1, 7}),
        note=f"Stable: a mean barrier below {100 * STABLE_BELOW:g} points (Frankle et al., 2020).",
    )


def hypothesis_summary(reports: Sequence[Report]) -> str:
    """For how many of several tickets the elastic hypothesis held; empty for less than two with a reference."""
    tests = [test for report in reports if (test := report.hypothesis()) is not None]
    if len(tests) < 2:  # noqa: PLR2004 - of one, its own verdict says it
        return ""
    held, lost = (sum(test.state == state for test in tests) for state in ("held", "not held"))
    return (
        f"The elastic hypothesis held for {held} of {len(tests)} tickets, did not hold for {lost}, and cannot be told "
        f"with these seeds for {len(tests) - held - lost}."
    )


def subject_of(target: Target, report: Report) -> str:
    """What a report is about, among those of its target."""
    label = origin_label(report, with_order=has_orders(target.reports))
    return f"{target.title} {label}".strip() + f", {shown_percent(report.sparsity)} % sparse"


def provenance(report: Report) -> list[tuple[str, str]]:
    """What a report was made from, as labelled texts; what is not known is left out."""
    data = report.setting.get("dataset")
    sizes = [f"{_field(data, part)} {part}" for part in ("train", "test") if _field(data, part)]
    origin = report.origin
    seeds = dict.fromkeys(run.seed for arm in report.arms for run in arm.runs)
    pairs = [
        ("ticket", report.ticket_id),
        ("network", report.architecture),
        ("stretched from", f"{origin.architecture}, {origin.order}: {origin.mapping}" if origin else ""),
        ("parent", origin.parent if origin else ""),
        ("data", ", ".join([_field(data, "name"), *sizes])),
        ("fingerprint", _field(data, "fingerprint")),
        ("recipe", _listed(report.setting.get("recipe"))),
        ("start", f"step {report.start_step:,}"),
        ("seeds", ", ".join(map(str, sorted(seeds)))),
        ("reference", f"{report.reference}, margin {100 * report.margin:g} points" if report.reference else ""),
        ("environment", _listed(report.setting.get("environment"))),
        ("command", report.command),
    ]
    return [(label, text) for label, text in pairs if text]


def connection_provenance(connection: Connection) -> list[tuple[str, str]]:
    """What a connection was made from, as labelled texts; what is not known is left out."""
    setting = connection.setting
    pairs = [
        ("ticket", connection.ticket_id),
        ("network", connection.architecture),
        ("data", _field(setting.get("dataset"), "name")),
        ("fingerprint", _field(setting.get("dataset"), "fingerprint")),
        ("recipe", _listed(setting.get("recipe"))),
        ("start", f"step {connection.start_step:,}"),
        ("seeds", ", ".join(str(curve.seed) for curve in connection.curves)),
        ("environment", _listed(setting.get("environment"))),
        ("command", connection.command),
    ]
    return [(label, text) for label, text in pairs if text]


def _tickets(rows: Sequence[Row]) -> frozenset[int]:
    return frozenset(place for place, row in enumerate(rows) if row.is_ticket)


def _spread(mean: float, spread: float | None) -> str:
    return f"{100 * mean:.2f}" + ("" if spread is None else f" ± {100 * spread:.2f}")


def _mean_spread(values: Sequence[float]) -> str:
    spread = deviation(values)
    return f"{fmean(values):.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def _interval(found: Interval | None) -> str:
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return points(found.mean)
    return f"{points(found.mean)} ({points(found.low)} to {points(found.high)})"


def _times(value: float) -> str:
    return "0" if not value else f"{value:.2f}" if value >= _TWO_DECIMALS else f"{value:.1g}"


def _wins(targets: int | None) -> str:
    return "never" if targets is None else f"{targets:,}"


def _field(values: object, name: str) -> str:
    value = values.get(name) if isinstance(values, Mapping) else None
    return "" if value is None else str(value)


def _listed(values: object) -> str:
    if not isinstance(values, Mapping):
        return ""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, "", [], {}))
