"""The pictures hold the data that they are drawn from, and say what their axes are."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.account import account
from ticketkit.report.comparison import Report
from ticketkit.report.connection import Connection
from ticketkit.report.figures import draw_pictures
from ticketkit.report.figures.accuracy import accuracy_curves, accuracy_dots, half_width
from ticketkit.report.figures.connectivity import connectivity
from ticketkit.report.figures.cost import accounts, costs
from ticketkit.report.figures.difference import differences
from ticketkit.report.figures.layers import layer_densities
from ticketkit.report.figures.mapping import MOST_UNITS, stage_mapping
from ticketkit.report.figures.style import look_of, to_png, to_svg
from ticketkit.report.grouping import Target, group_reports
from ticketkit.stretch import StageMap, parse_stage_map

Make = Callable[..., Any]
FEW = ["ticket", "dense", "imp", "random", "snip"]


def study(make_report: Make) -> Target:
    reports = [make_report(sparsity=s, source=f"cifar-resnet{d}", arms=FEW) for s in (0.8, 0.9, 0.95) for d in (14, 20)]
    (target,) = group_reports(reports)
    return target


def single(make_report: Make, **options: Any) -> Target:
    (target,) = group_reports([make_report(arms=FEW, **options)])
    return target


def test_accuracy_has_a_curve_an_arm_with_means_and_deviations(make_report: Make) -> None:
    target = study(make_report)
    figure = accuracy_curves(target)
    (axes,) = figure.axes
    curves = {curve.label: curve for curve in target.curves}
    assert len(axes.containers) == len(curves) - 1  # the dense network is a line with a band
    legend = axes.get_legend()
    assert legend is not None
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(curves)
    drawn = {tuple(bars[0].get_ydata()): bars for bars in axes.containers}
    imp = drawn[tuple(100 * row.arm.mean for row in curves["imp"].rows)]
    assert list(imp[0].get_xdata()) == pytest.approx([80, 90, 95], abs=0.01)
    (bars,) = imp[2]
    for segment, row in zip(bars.get_segments(), curves["imp"].rows, strict=True):
        mean, spread = 100 * row.arm.mean, 100 * (row.arm.deviation or 0)
        assert [end for _, end in segment] == pytest.approx([mean - spread, mean + spread])


def test_the_legend_is_sorted_as_the_curves_end(make_report: Make) -> None:
    target = study(make_report)
    legend = accuracy_curves(target).axes[0].get_legend()
    ends = {curve.label: curve.rows[-1].arm.mean for curve in target.curves}
    shown = [ends[text.get_text()] for text in legend.get_texts()]
    assert shown == sorted(shown, reverse=True)


def test_pruning_baselines_are_dashed_and_tickets_stand_out(make_report: Make) -> None:
    figure = accuracy_curves(study(make_report))
    lines = {tuple(bars[0].get_ydata()): bars[0] for bars in figure.axes[0].containers}
    curves = {curve.label: curve for curve in study(make_report).curves}
    by_label = {label: lines.get(tuple(100 * row.arm.mean for row in curve.rows)) for label, curve in curves.items()}
    assert by_label["snip"].get_linestyle() == "--"
    assert by_label["imp"].get_linestyle() == "-"
    assert by_label["ETT ← resnet14"].get_linewidth() > by_label["imp"].get_linewidth()
    assert by_label["ETT ← resnet14"].get_marker() != by_label["ETT ← resnet20"].get_marker()


def test_high_sparsities_are_spread(make_report: Make) -> None:
    axes = accuracy_curves(study(make_report)).axes[0]
    places = axes.transData.transform([(80, 90), (90, 90), (95, 90)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], rel=0.02)  # each halves the density
    assert [label.get_text() for label in axes.get_xticklabels()] == ["80", "90", "95"]


def test_every_seed_is_a_dot_at_one_sparsity_sorted_by_the_mean(make_report: Make) -> None:
    target = single(make_report)
    axes = accuracy_dots(target).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    rows = sorted(target.levels[0].rows, key=lambda row: row.arm.mean)
    assert labels == [row.label for row in rows]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [sorted(line.get_xdata()) for line in dots] == [sorted(100 * v for v in row.arm.accuracies) for row in rows]


def test_half_of_the_mean_s_interval() -> None:
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert half_width([1.0]) == 0.0


def test_one_seed_has_no_interval(make_report: Make) -> None:
    target = single(make_report, seeds=1)
    assert "one seed" in accuracy_dots(target).axes[0].get_title(loc="left")
    figure = differences(target)
    assert figure is not None
    assert all(len(line.get_xdata()) == 1 for line in figure.axes[0].lines if line.get_marker() != "None")


def test_differences_are_drawn_in_points_with_the_margin(make_report: Make) -> None:
    target = single(make_report)
    figure = differences(target)
    assert figure is not None
    (axes,) = figure.axes
    means = {line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1}
    report = target.reports[0]
    expected = {100 * report.difference(name, "imp").mean for name in FEW if name != "imp"}
    assert sorted(means) == pytest.approx(sorted(expected))
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-0.5, 0.0))
    assert "percentage points" in figure.get_supxlabel()


def test_differences_have_a_panel_a_level_and_none_without_a_rival(make_report: Make) -> None:
    figure = differences(study(make_report))
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["80 % sparse", "90 % sparse", "95 % sparse"]
    (alone,) = group_reports([make_report(arms=["ticket"])])
    assert differences(alone) is None


def test_without_the_reference_there_is_no_margin(make_report: Make) -> None:
    (target,) = group_reports([make_report(arms=["ticket", "dense"])])
    figure = differences(target)
    assert figure is not None
    assert not figure.axes[0].patches
    assert "the ticket" in figure.get_supxlabel()


def test_layers_of_ticket_and_source_by_index(make_report: Make) -> None:
    reports = [make_report(sparsity=s, arms=["ticket"]) for s in (0.8, 0.9)]
    figure = layer_densities(reports)
    assert figure is not None
    above, below = figure.axes
    assert [len(line.get_xdata()) for line in above.lines] == [len(report.layers) for report in reports]
    layers = reports[1].origin.layers
    assert list(below.lines[1].get_ydata()) == pytest.approx([100 * one.kept / one.size for one in layers])
    assert [text.get_text() for text in above.texts] == ["stage 0", "stage 1", "stage 2"]


def test_an_empty_layer_is_a_gap_and_unknown_layers_are_no_picture(make_report: Make) -> None:
    report = make_report(arms=["ticket"], source=None)
    layers = (dataclasses.replace(report.layers[0], kept=0), *report.layers[1:])
    figure = layer_densities([dataclasses.replace(report, layers=layers)])
    assert figure is not None
    assert [math.isnan(value) for value in figure.axes[0].lines[0].get_ydata()[:2]] == [True, False]
    assert layer_densities([dataclasses.replace(report, layers=())]) is None


def lines_of(figure: Any) -> list[tuple[float, float, bool]]:
    """From and to of each mapping line, and whether it is dashed."""
    return [
        (line.get_xdata()[0], line.get_xdata()[1], line.get_linestyle() == "--")
        for axes in figure.axes
        for line in axes.lines
        if line.get_ydata()[0] > line.get_ydata()[1]
    ]


def test_every_target_unit_has_a_line_and_copies_are_dashed() -> None:
    figure = stage_mapping(parse_stage_map("0:0;1:1,3;2:2,4"), source="resnet20", target="resnet32")
    assert figure is not None
    assert [dashed for _, _, dashed in lines_of(figure)] == [False, False, False, True, True]
    starts = [start for start, _, _ in lines_of(figure)]
    assert starts[1] == starts[3]
    assert starts[2] == starts[4]


def test_a_dropped_unit_is_struck_through_and_alike_stages_are_drawn_once() -> None:
    mapping = parse_stage_map("0:0;1:1")
    figure = stage_mapping(mapping, source="resnet20", target="resnet14", source_units=(3, 3, 3))
    assert figure is not None
    (axes,) = figure.axes
    assert "stages 0 to 2, each" in [text.get_text() for text in axes.texts]
    assert len(axes.patches) == 3 + 2
    assert len([line for line in axes.lines if line.get_ydata()[0] < line.get_ydata()[1]]) == 1


def test_stages_that_differ_are_drawn_beside_each_other_and_absurd_ones_not_at_all() -> None:
    figure = stage_mapping(parse_stage_map("0:0;1:1,2|0:0;1:1,2,3"), source="resnet18", target="resnet34")
    assert figure is not None
    titles = [text.get_text() for text in figure.axes[0].texts]
    assert {"stage 0", "stage 1"} <= set(titles)
    assert stage_mapping(StageMap(((0,) * (MOST_UNITS + 1),)), source="a", target="b") is None


def test_connectivity_draws_both_curves_ends_and_barrier(make_connection: Callable[..., Connection]) -> None:
    connections = [make_connection("imp"), make_connection("ett", 0.0872)]
    left, right = connectivity(connections, "resnet32").axes
    lines = [line for line in left.lines if len(line.get_xdata()) == 30]
    assert list(lines[1].get_ydata()) == [100 * point.accuracy for point in connections[1].curves[0].points]
    assert [len(line.get_xdata()) for line in right.lines] == [30, 30]
    ends = [list(line.get_ydata()) for line in left.lines if list(line.get_xdata()) == [0, 1]]
    assert ends == [pytest.approx([92.5, 92.1])] * 2
    barrier = 100 * connections[1].barrier
    assert [text.get_text() for text in left.texts] == [f"{barrier:.1f} points"]  # the stable one's is not named
    legend = right.get_legend()
    assert legend is not None
    assert f"ett\nbarrier {barrier:.2f} points" in [text.get_text() for text in legend.get_texts()]


def test_several_pairs_are_thin_lines_with_their_mean(make_connection: Callable[..., Connection]) -> None:
    connection = make_connection("ett", 0.05, pairs=3)
    _, right = connectivity([connection], "resnet32").axes
    widths = [line.get_linewidth() for line in right.lines]
    assert len(widths) == 4
    assert max(widths) == widths[3]


def test_costs_are_split_and_in_dense_trainings(make_report: Make) -> None:
    target = single(make_report)
    figure = costs(target)
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    place = [label.get_text() for label in axes.get_yticklabels()].index("imp")
    drawn = {line.get_marker(): line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [place]}
    before, training = next(row.work for row in target.levels[0].rows if row.label == "imp")
    assert drawn == pytest.approx({"D": before, "o": training, "|": before + training})


def test_the_account_is_drawn_up_for_stretching_and_its_rivals(make_report: Make) -> None:
    (target,) = group_reports([make_report(sparsity=0.9)])
    figure = accounts(target)
    assert figure is not None
    (axes,) = figure.axes
    found = account(target.reports[0])
    assert found is not None
    drawn = [list(line.get_ydata()) for line in axes.lines]
    numbers = range(1, len(drawn[0]) + 1)
    assert drawn[0] == pytest.approx([found.by_stretching(n) / found.unit for n in numbers])
    assert drawn[1:] == [
        pytest.approx([found.by_rival(name, n) / found.unit for n in numbers]) for name in found.rivals
    ]
    assert len(numbers) > max(found.break_even(name) or 0 for name in found.rivals)


def test_costs_that_nobody_knows_are_no_picture(make_report: Make) -> None:
    report = make_report(arms=FEW)
    arms = tuple(
        dataclasses.replace(arm, runs=tuple(dataclasses.replace(run, cost=None) for run in arm.runs))
        for arm in report.arms
    )
    (target,) = group_reports([dataclasses.replace(report, arms=arms)])
    assert costs(target) is None
    assert accounts(target) is None


def test_arms_are_told_apart_without_colour(make_report: Make) -> None:
    names = [arm.name for arm in make_report().rivals]
    looks = [look_of("ticket"), look_of("ticket", 1), *(look_of(name) for name in names)]
    assert len({(look.marker, look.face == "white", look.dash) for look in looks}) == len(looks)
    strangers = ["a.st", "b.st"]
    assert look_of("a.st", others=strangers) != look_of("b.st", others=strangers)
    assert look_of("random", 1).face != look_of("random").face


def test_a_study_s_pictures_have_names_of_their_own(
    make_report: Make, make_connection: Callable[..., Connection]
) -> None:
    pictures = draw_pictures([study(make_report)], [make_connection()])
    assert [picture.name for picture in pictures] == [
        "accuracy-resnet32",
        "difference-resnet32",
        "layers-resnet32-from-resnet14",
        "layers-resnet32-from-resnet20",
        "mapping-resnet32-from-resnet14",
        "mapping-resnet32-from-resnet20",
        "connectivity-resnet32",
        "cost-resnet32",
        "account-resnet32",
    ]
    assert all(picture.description.endswith(".") for picture in pictures)


def test_the_same_picture_gives_the_same_bytes(make_report: Make) -> None:
    first, second = (accuracy_curves(study(make_report)) for _ in range(2))
    assert to_svg(first) == to_svg(second)
    assert to_png(first) == to_png(second)


def test_names_are_not_read_as_mathematics_and_any_of_them_can_be_drawn(make_report: Make) -> None:
    report: Report = make_report(arms=["ticket", "dense"])
    name = "$x_{1}$ <b>&\x07 日本"
    arms = (report.arms[0], dataclasses.replace(report.arms[1], name=name))
    (target,) = group_reports([dataclasses.replace(report, arms=arms)])
    svg = to_svg(accuracy_dots(target))
    texts = [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]
    assert "$x_{1}$ <b>&\N{REPLACEMENT CHARACTER} 日本" in texts
    assert not re.search(r"<(metadata|dc:date)", svg)


def test_without_matplotlib_one_line_says_how_to_get_it(make_report: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TicketkitError, match=r"^plots need matplotlib: pip install 'ticketkit\[plots\]'$"):
        draw_pictures([single(make_report)], [])
