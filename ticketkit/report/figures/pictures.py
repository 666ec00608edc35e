"""All the pictures of some results, each with a name and a description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from matplotlib.figure import Figure

from ticketkit.report.comparison import Origin, Report
from ticketkit.report.connection import Connection
from ticketkit.report.figures.accuracy import accuracy_curves, accuracy_dots
from ticketkit.report.figures.connectivity import connectivity
from ticketkit.report.figures.cost import accounts, costs
from ticketkit.report.figures.difference import differences
from ticketkit.report.figures.layers import layer_densities
from ticketkit.report.figures.mapping import stage_mapping
from ticketkit.report.grouping import Target, compared_text, has_orders, origin_label, short_name, slug
from ticketkit.stretch import parse_stage_map

Kind = Literal["accuracy", "difference", "layers", "mapping", "connectivity", "cost", "account"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture.

    Attributes:
        kind: What it shows.
        name: The stem of its file's name; no two pictures share it.
        title: What it is, in a few words.
        description: What can be seen, for those who cannot see it and as its caption.
        figure: The picture itself.
    """

    kind: Kind
    name: str
    title: str
    description: str
    figure: Figure


def draw(targets: Sequence[Target], connections: Sequence[Connection]) -> tuple[Picture, ...]:
    """Draw every picture that the results have the values for, in the order of :data:`KINDS`."""
    pictures = [picture for target in targets for picture in _of_target(target)]
    pictures += _connectivity(connections)
    return tuple(_distinct(sorted(pictures, key=lambda picture: KINDS.index(picture.kind))))


def _of_target(target: Target) -> Iterator[Picture]:
    yield _accuracy(target)
    reference = compared_text(target.reports)
    if (figure := differences(target)) is not None:
        yield Picture(
            kind="difference",
            name=f"difference-{target.slug}",
            title=f"Difference to {reference}, {target.title}",
            description=f"Each arm's accuracy less that of {reference}, paired by seed, in percentage points with its "
            "95 % interval (Student's t). Right of the line is better. The grey band is the margin below the "
            "reference that the elastic hypothesis allows the ticket.",
            figure=figure,
        )
    yield from _by_origin(target)
    if (figure := costs(target)) is not None:
        yield Picture(
            kind="cost",
            name=f"cost-{target.slug}",
            title=f"Cost of one network, {target.title}",
            description="Training FLOPs with pruned weights skipped, in units of one dense training of the target: "
            "filled dots are the training, hollow diamonds what comes before it (IMP's levels, scoring), bars both "
            "together. What finding the stretched ticket's source cost is not in here but in the account.",
            figure=figure,
        )
    if (figure := accounts(target)) is not None:
        yield Picture(
            kind="account",
            name=f"account-{target.slug}",
            title=f"Cost of many targets, {target.title}",
            description="Sparse FLOPs for a number of targets, all as large as this one: finding a ticket once and "
            "training each stretched one, against starting anew on each.",
            figure=figure,
        )


def _accuracy(target: Target) -> Picture:
    if len(target.levels) > 1:
        figure = accuracy_curves(target)
        title = f"Accuracy against sparsity, {target.title}"
        description = (
            f"Test accuracy over sparsity, {len(target.curves)} curves: the mean over the seeds with one standard "
            "deviation up and down. Dashed curves prune at the start of training, dash-dotted ones are made from the "
            "ticket to show what its mask and weights are worth, dotted ones are other sparse or small trainings; a "
            "horizontal line is a network that is not pruned. The legend is sorted as the curves end at the right."
        )
    else:
        figure = accuracy_dots(target)
        title = f"Accuracy at {target.levels[0].title} sparsity, {target.title}"
        description = (
            "Test accuracy of each arm, the best on top: the mean with its 95 % interval (Student's t), and below it "
            "every seed. Seeds are shared between arms, so what tells two arms apart is their paired difference."
        )
    return Picture(kind="accuracy", name=f"accuracy-{target.slug}", title=title, description=description, figure=figure)


def _by_origin(target: Target) -> Iterator[Picture]:
    """Layers and mapping of each source and order."""
    groups: dict[str, list[Report]] = {}
    for report in target.reports:
        label = origin_label(report, with_order=has_orders(target.reports))
        groups.setdefault(label, []).append(report)
    for label, reports in groups.items():
        subject = f"{target.title} {label}".strip()
        if (figure := layer_densities(reports)) is not None:
            yield Picture(
                kind="layers",
                name=f"layers-{slug(subject)}",
                title=f"Density by layer, {subject}",
                description="Kept weights of each prunable layer in per cent, in execution order, one curve a "
                "sparsity; below, where it is known, the same of the ticket that it was stretched from. Stages are "
                "shaded. A gap is a layer without any kept weight.",
                figure=figure,
            )
        origins = {report.origin.mapping: report.origin for report in reports if report.origin is not None}
        for number, origin in enumerate(origins.values(), start=1):
            more = f" ({number})" if number > 1 else ""
            if (figure := _mapped(target, origin)) is not None:
                yield Picture(
                    kind="mapping",
                    name=f"mapping-{slug(subject + more)}",
                    title=f"Mapping, {subject}{more}",
                    description=f"Which unit of {short_name(origin.architecture)} each unit came from, stage by stage: "
                    f"{origin.mapping}. Shaded units with dashed lines are further copies of a unit that is there "
                    "already; units that are struck through were dropped.",
                    figure=figure,
                )


def _mapped(target: Target, origin: Origin) -> Figure | None:
    units: dict[int, int] = {}
    for layer in origin.layers:
        if layer.stage is not None and layer.unit is not None:
            units[layer.stage] = max(units.get(layer.stage, 0), layer.unit + 1)
    return stage_mapping(
        parse_stage_map(origin.mapping),
        source=short_name(origin.architecture),
        target=short_name(target.reports[0].architecture),
        source_units=[units[stage] for stage in sorted(units)],
    )


def _connectivity(connections: Sequence[Connection]) -> Iterator[Picture]:
    groups: dict[str, list[Connection]] = {}
    for connection in connections:
        groups.setdefault(short_name(connection.architecture), []).append(connection)
    for title, members in groups.items():
        yield Picture(
            kind="connectivity",
            name=f"connectivity-{slug(title)}",
            title=f"Linear mode connectivity, {title}",
            description="Test accuracy and test loss along the straight line between two trainings of one ticket that "
            "differ in data order and augmentation alone, running statistics recomputed at every point. Markers at the "
            "ends are the trainings themselves. The barrier is the mean of the line's ends less its lowest accuracy.",
            figure=connectivity(members, title),
        )


def _distinct(pictures: Sequence[Picture]) -> Iterator[Picture]:
    """The pictures, those with a name that is taken numbered."""
    taken: dict[str, int] = {}
    for picture in pictures:
        taken[picture.name] = number = taken.get(picture.name, 0) + 1
        yield picture if number == 1 else replace(picture, name=f"{picture.name}-{number}")
