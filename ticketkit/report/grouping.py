"""Many reports in order: what was trained alike stands together, and what several reports share stands there once.

A sweep gives a report for each target, sparsity, source and order. Tables and figures want them the other way round:
one picture a target, one curve an arm, one row an arm and level.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from ticketkit.arch import parse_arch
from ticketkit.errors import ArchError
from ticketkit.report.comparison import TICKET, ArmResult, Report
from ticketkit.report.statistics import Interval

SAME_LEVEL = 0.9
"""Densities with at least this ratio are one level: stretching shifts a density a little, a level of IMP by 0.8."""

MOST_FIELDS = 2
"""Recipes that differ in more fields are numbered in titles, not described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm of one report.

    Attributes:
        label: What it is called beside the others: the arm's name, for a stretched ticket "ETT ← resnet20".
        variant: Which of its arm's curves it is on, from 0: more than 0 where an arm has a curve for each source.
        sparsity: Where it is on its curve, in [0, 1]: its own sparsity; for a network that is not pruned, the
            ticket's, or None where its trainings are the same in all reports and so hold at every sparsity.
        report: A report that it is in; others may hold the same trainings.
        arm: The arm.
    """

    label: str
    variant: int
    sparsity: float | None
    report: Report
    arm: ArmResult

    @property
    def is_ticket(self) -> bool:
        """Whether it is the ticket itself, not a baseline."""
        return self.arm.name == TICKET

    @property
    def difference(self) -> Interval | None:
        """How far it is above what it is compared with, by the seeds of both; None for that arm itself, or without."""
        if self.arm.name == compared_with(self.report):
            return None
        return self.report.difference(self.arm.name, compared_with(self.report))

    @property
    def work(self) -> tuple[float, float] | None:
        """Sparse FLOPs before its training, and of it, in dense trainings of the target; None where not known."""
        costs = {arm.name: arm.cost for arm in self.report.arms}
        cost, unit = self.arm.cost, costs.get("dense") or costs[TICKET]
        if cost is None or unit is None or not unit.dense_flops:
            return None
        return cost.setup_flops / unit.dense_flops, cost.flops / unit.dense_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One arm over the levels, or for one source's tickets over the levels.

    Attributes:
        label: Its name in a legend.
        arm: The arm's name.
        variant: Which of the arm's curves it is, from 0.
        rows: Its points by rising sparsity, each sparsity once; one alone where it holds at every sparsity.
    """

    label: str
    arm: str
    variant: int
    rows: tuple[Row, ...]

    @property
    def is_flat(self) -> bool:
        """Whether it holds at every sparsity: a network that is not pruned, trained once for all reports."""
        return self.rows[0].sparsity is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What was trained at about one sparsity.

    Attributes:
        reports: The reports, by source and order.
        rows: Their arms, each training once: tickets first, then as the reports have them,
            the rows of one arm together.
    """

    reports: tuple[Report, ...]
    rows: tuple[Row, ...]

    @property
    def sparsity(self) -> float:
        """Mean sparsity of the tickets, in [0, 1]."""
        return fmean(report.sparsity for report in self.reports)

    @property
    def title(self) -> str:
        """The sparsity in per cent, with a tilde where the tickets' differ."""
        shown = {shown_percent(report.sparsity) for report in self.reports}
        return f"{shown.pop()} %" if len(shown) == 1 else f"~{100 * self.sparsity:.1f} %"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Reports whose arms were trained alike: one network, one data set, one recipe, one start of the schedule.

    Attributes:
        title: The network's short name, and what else tells it from the other targets.
        reports: The reports, by sparsity, source and order.
    """

    title: str
    reports: tuple[Report, ...]

    @property
    def slug(self) -> str:
        """The title as a part of a file's name."""
        return slug(self.title)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Every arm of every report, named so that two rows with one label and one sparsity are the same trainings."""
        return tuple(_named(self.reports))

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Tickets first, then the arms as the reports have them, the curves of one arm together."""
        found: dict[str, dict[float, Row]] = {}
        for row in self.rows:
            found.setdefault(row.label, {}).setdefault(row.sparsity or 0.0, row)
        curves = [
            Curve(
                label=label,
                arm=(first := next(iter(points.values()))).arm.name,
                variant=first.variant,
                rows=tuple(points[sparsity] for sparsity in sorted(points)),
            )
            for label, points in found.items()
        ]
        arms = list(dict.fromkeys([TICKET, *(curve.arm for curve in curves)]))
        return tuple(sorted(curves, key=lambda curve: (arms.index(curve.arm), curve.variant)))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels by rising sparsity."""
        groups: list[list[Report]] = []
        for report in sorted(self.reports, key=lambda report: report.sparsity):
            density = 1 - report.sparsity
            if groups and density >= SAME_LEVEL * (1 - groups[-1][0].sparsity):
                groups[-1].append(report)
            else:
                groups.append([report])
        return tuple(
            Level(reports=tuple(r for r in self.reports if any(r is one for one in group)), rows=self._rows_of(group))
            for group in groups
        )

    def _rows_of(self, reports: Sequence[Report]) -> tuple[Row, ...]:
        found: dict[tuple[str, float | None], Row] = {}
        for row in self.rows:
            if any(row.report is report for report in reports):
                found.setdefault((row.label, row.sparsity), row)
        arms = list(dict.fromkeys([TICKET, *(row.arm.name for row in found.values())]))
        return tuple(sorted(found.values(), key=lambda row: (arms.index(row.arm.name), row.variant)))


def group_reports(reports: Iterable[Report]) -> tuple[Target, ...]:
    """Put reports together whose arms were trained alike, in the order of their first reports' networks."""
    groups: dict[tuple[str, ...], list[Report]] = {}
    for report in reports:
        groups.setdefault(_key(report), []).append(report)
    titles = _titles([group[0] for group in groups.values()])
    return tuple(
        Target(title=title, reports=tuple(sorted(group, key=_order)))
        for title, group in zip(titles, groups.values(), strict=True)
    )


def compared_with(report: Report) -> str:
    """The arm that a report's differences are taken to: its reference, or the ticket where that was not trained."""
    return report.reference or TICKET


def compared_text(reports: Iterable[Report]) -> str:
    """What differences of some reports are taken to, in words."""
    names = dict.fromkeys(compared_with(report) for report in reports)
    return " or ".join("the ticket" if name == TICKET else name for name in names)


def short_name(architecture: str) -> str:
    """A network's short name; as it stands where it is not one of ours."""
    try:
        return parse_arch(architecture).short_name
    except ArchError:
        return architecture


def origin_label(report: Report, *, with_order: bool) -> str:
    """Where a report's ticket came from, as the paper writes it ("← resnet20"); empty if it was not stretched."""
    if report.origin is None:
        return ""
    order = f", {report.origin.order}" if with_order else ""
    return f"← {short_name(report.origin.architecture)}{order}"


def has_orders(reports: Iterable[Report]) -> bool:
    """Whether a report's source alone does not say which it is: its tickets were stretched in several orders."""
    return len({report.origin.order for report in reports if report.origin is not None}) > 1


def shown_percent(fraction: float) -> str:
    """A fraction in per cent, with two decimals at most and no trailing zeros."""
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".")


def slug(text: str) -> str:
    """A text as a part of a file's name: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.replace("←", "from").lower()).strip("-")


def setting_text(report: Report, section: str, field: str = "name") -> str:
    """One field of a report's setting, as a text; empty where there is none."""
    values = report.setting.get(section)
    value = values.get(field) if isinstance(values, Mapping) else None
    return "" if value is None else str(value)


def _named(reports: Sequence[Report]) -> Iterator[Row]:
    """Name every arm of every report.

    An arm has one curve where its trainings agree. Where they do not, for it was made from the ticket, it has one for
    each source, and a numbered one more for what still does not agree.
    """
    with_order = has_orders(reports)
    names = dict.fromkeys(arm.name for report in reports for arm in report.arms)
    everywhere = {name: _agree([(None, arm) for r in reports for arm in r.arms if arm.name == name]) for name in names}
    members: dict[str, list[_Placed]] = {}
    labels: dict[str, list[str]] = {name: [] for name in names}
    for report in reports:
        origin = origin_label(report, with_order=with_order)
        for arm in report.arms:
            placed = _placed(report, arm, everywhere=everywhere[arm.name])
            candidates = _candidates(arm.name, origin, shared=everywhere[arm.name])
            label = next(label for label in candidates if _agree([*members.get(label, []), placed]))
            members.setdefault(label, []).append(placed)
            if label not in labels[arm.name]:
                labels[arm.name].append(label)
            variant = labels[arm.name].index(label)
            yield Row(label=label, variant=variant, sparsity=placed[0], report=report, arm=arm)


_Placed = tuple[float | None, ArmResult]


def _placed(report: Report, arm: ArmResult, *, everywhere: bool) -> _Placed:
    if arm.kept < arm.total:
        return 1 - arm.kept / arm.total, arm
    return None if everywhere else report.sparsity, arm


def _candidates(name: str, origin: str, *, shared: bool) -> Iterator[str]:
    if origin and name == TICKET:
        label = f"ETT {origin}"
    elif origin and not shared:
        label = f"{name} {origin}"
    else:
        label = name
    yield label
    for number in itertools.count(2):
        yield f"{label} ({number})"


def _agree(placed: Iterable[_Placed]) -> bool:
    """Whether there is one set of trainings for each place and count of kept weights."""
    found: dict[tuple[float | None, int, int], list[tuple[int, float]]] = {}
    for sparsity, arm in placed:
        runs = [(run.seed, run.accuracy) for run in arm.runs]
        if found.setdefault((sparsity, arm.kept, arm.total), runs) != runs:
            return False
    return True


def _key(report: Report) -> tuple[str, ...]:
    data = setting_text(report, "dataset", "fingerprint") or setting_text(report, "dataset")
    recipe = json.dumps(report.setting.get("recipe"), sort_keys=True, default=str)
    return report.architecture, data, recipe, str(report.start_step)


def _order(report: Report) -> tuple[Any, ...]:
    origin = report.origin
    return report.sparsity, *((natural(origin.architecture), origin.order) if origin else (natural(""), ""))


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts resnet8 before resnet20."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]


def _recipe_fields(reports: Sequence[Report]) -> list[str]:
    """What the reports' recipes differ in, if it is little."""
    recipes = [recipe if isinstance(recipe := report.setting.get("recipe"), Mapping) else {} for report in reports]
    names = sorted({name for recipe in recipes for name in recipe})
    differing = [name for name in names if len({str(recipe.get(name)) for recipe in recipes}) > 1]
    if len(differing) > MOST_FIELDS:
        return [""] * len(reports)
    return [", " + ", ".join(f"{name} {recipe.get(name)}" for name in differing) for recipe in recipes]


_TELLING: tuple[Callable[[Sequence[Report]], list[str]], ...] = (
    lambda reports: [f" on {setting_text(report, 'dataset')}" for report in reports],
    lambda reports: [f", recipe {setting_text(report, 'recipe')}" for report in reports],
    lambda reports: [f", from step {report.start_step}" for report in reports],
    _recipe_fields,
    lambda reports: [f", setting {number}" for number in range(1, len(reports) + 1)],
)
"""What is added to the titles of one network's targets where it tells some of them apart, in this order."""


def _titles(firsts: Sequence[Report]) -> list[str]:
    """A title for each group, from its first report: the network, and only as much more as tells them apart."""
    titles = [short_name(report.architecture) for report in firsts]
    for part in _TELLING:
        for title in sorted({title for title in titles if titles.count(title) > 1}):
            places = [place for place, other in enumerate(titles) if other == title]
            texts = part([firsts[place] for place in places])
            if len(set(texts)) > 1:
                for place, text in zip(places, texts, strict=True):
                    titles[place] += text
    return titles
