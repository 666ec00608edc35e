import json
import math

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.connection import (
    Connection,
    Curve,
    Point,
    connections_from_json,
    connections_to_json,
)


def make_curve(accuracies: list[float], seed: int = 0) -> Curve:
    """A line whose losses mirror its accuracies."""
    points = tuple(
        Point(alpha=number / (len(accuracies) - 1), accuracy=value, loss=2 - value, train_loss=(1 - value) / 2)
        for number, value in enumerate(accuracies)
    )
    return Curve(seed=seed, ends=(0.91, 0.93), points=points, distance=1.5, seconds=2.0)


def make_connection(*curves: Curve, name: str = "cut") -> Connection:
    return Connection(
        name=name,
        ticket_id="sha256:0",
        architecture="cifar-resnet8",
        sparsity=0.9,
        start_step=3,
        setting={"dataset": {"name": "digits"}, "recipe": {"epochs": 2}, "environment": {"device": "cpu"}},
        curves=curves,
        command="ticketkit connect cut.st",
    )


def test_the_barrier_is_between_the_mean_of_the_ends_and_the_lowest_point():
    curve = make_curve([0.90, 0.85, 0.60, 0.88, 0.94])
    assert curve.lowest == curve.points[2]
    assert curve.barrier == pytest.approx(0.92 - 0.60)
    assert curve.loss_barrier == pytest.approx(1.40 - (1.10 + 1.06) / 2)
    assert curve.train_loss_barrier == pytest.approx(0.20 - (0.05 + 0.03) / 2)


def test_a_level_line_has_no_barrier_and_a_line_that_rises_in_between_has_half_the_ends_gap():
    assert make_curve([0.7] * 5).barrier == make_curve([0.7] * 5).loss_barrier == 0
    hill = make_curve([0.90, 0.99, 0.94])
    assert hill.lowest.alpha == 0
    assert hill.barrier == pytest.approx(0.02)


def test_several_pairs_have_a_mean_and_a_deviation():
    connection = make_connection(make_curve([0.9, 0.8, 0.9]), make_curve([0.9, 0.6, 0.9], seed=1))
    assert connection.barriers == pytest.approx([0.1, 0.3])
    assert connection.barrier == pytest.approx(0.2)
    assert connection.deviation == pytest.approx(math.sqrt(0.02))
    assert make_connection(make_curve([0.9, 0.8, 0.9])).deviation is None


@pytest.mark.parametrize(("lowest", "stable"), [(0.885, True), (0.875, False)])
def test_below_two_points_is_stable(lowest: float, stable: bool):
    assert make_connection(make_curve([0.9, lowest, 0.9])).is_stable is stable


def test_a_document_gives_back_what_it_was_made_of():
    first = make_connection(make_curve([0.9, 0.8, 0.9]), make_curve([0.9, 0.6, 0.9], seed=1))
    second = make_connection(make_curve([0.5, 0.5]), name="other")
    document = json.loads(json.dumps(connections_to_json([first, second]), allow_nan=False))
    assert document["format"] == {"name": "ticketkit-connect", "version": "1.0"}
    assert document["connections"][0]["barrier"] == first.barrier
    assert document["connections"][0]["curves"][1]["lowest"] == {"alpha": 0.5, "accuracy": 0.6}
    assert connections_from_json(document) == (first, second)
    assert Connection.from_json(document["connections"][1]) == second


def test_later_minor_versions_and_unknown_members_are_read():
    document = connections_to_json([make_connection(make_curve([0.9, 0.9]))])
    document["format"]["version"] = "1.7"
    document["later"] = document["connections"][0]["later"] = 1
    assert len(connections_from_json(document)) == 1


def _broken(*path: str | int, value: object) -> object:
    document = json.loads(json.dumps(connections_to_json([make_connection(make_curve([0.9, 0.8, 0.9]))])))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "Expected `object`, got `array`"),
        (_broken("format", "name", value="other"), r"must be ticketkit-connect 1\.x \(got other 1\.0\): c\.json"),
        (_broken("format", "version", value="2.0"), r"\(got ticketkit-connect 2\.0\): c\.json"),
        (_broken("connections", 0, "curves", value=[]), r"length >= 1.*c\.json: connections\[0\]"),
        (_broken("connections", 0, "ticket", value=None), "Expected `object`, got `null`"),
        (_broken("connections", 0, "curves", 0, "ends", value=[0.9]), "length 2"),
        (_broken("connections", 0, "curves", 0, "points", 1, "accuracy", value=1.5), "<= 1.0"),
        (
            _broken("connections", 0, "curves", 0, "points", 2, "alpha", value=0.9),
            r"from alpha 0 to 1 \(got 0.0, 0.5, 0",
        ),
        (_broken("connections", 0, "curves", 0, "points", value=[]), "from alpha 0 to 1"),
    ],
)
def test_what_is_no_such_document_is_refused_in_one_line(document: object, message: str):
    with pytest.raises(TicketkitError, match=message) as caught:
        connections_from_json(document, "c.json")
    assert "\n" not in str(caught.value)
    assert "c.json" in str(caught.value)


def test_a_connection_without_curves_is_refused():
    with pytest.raises(ValueError, match="at least one curve"):
        make_connection()
