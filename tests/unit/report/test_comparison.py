import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.comparison import ArmResult, Cost, LayerDensity, Origin, Report, Run
from ticketkit.report.statistics import paired_difference

LAYERS = (
    LayerDensity(name="stem.weight", stage=None, unit=None, kept=3, size=9),
    LayerDensity(name="blocks.0.conv1.weight", stage=0, unit=0, kept=0, size=18),
)


def make_arm(name: str, accuracies: dict[int, float], **others: Any) -> ArmResult:
    runs = (Run(seed=s, accuracy=a, untrained=0.1, loss=0.5, seconds=1.0) for s, a in accuracies.items())
    return ArmResult(**{"name": name, "summary": "", "kept": 10, "total": 100, "runs": tuple(runs)} | others)


def make_report(**accuracies: list[float]) -> Report:
    return Report(
        ticket_id="sha256:0",
        architecture="cifar-resnet8",
        sparsity=0.9,
        start_step=3,
        setting={"recipe": {}},
        arms=tuple(make_arm(name, dict(enumerate(values))) for name, values in accuracies.items()),
    )


def full_report() -> Report:
    cost = Cost(
        flops=1e12,
        dense_flops=1e13,
        setup_flops=0,
        setup_dense_flops=0,
        images_per_second=1234.5,
        peak_memory=2**30,
    )
    run = Run(seed=0, accuracy=0.9, untrained=0.1, loss=0.25, seconds=2.5, top5=0.99, cost=cost)
    arms = (
        make_arm("ticket", {}, runs=(run, replace(run, seed=1, accuracy=0.8, top5=0.97))),
        make_arm("imp", {}, runs=(replace(run, seed=1, cost=replace(cost, peak_memory=None, setup_flops=5e12)),)),
        make_arm("small-dense", {5: 0.7}, architecture="cifar-resnet8-w4"),
    )
    return Report(
        ticket_id="sha256:0",
        architecture="cifar-resnet14",
        sparsity=0.9,
        start_step=3,
        setting={"dataset": {"name": "digits"}, "recipe": {"milestones": [1, 2]}, "environment": {"threads": 1}},
        arms=arms,
        reference="imp",
        margin=0.01,
        origin=Origin(
            architecture="cifar-resnet8", order="append", mapping="0:0,1", parent="sha256:1", layers=LAYERS[:1]
        ),
        layers=LAYERS,
        find_flops=2e13,
        command="ticketkit verify a.st",
    )


def test_the_json_holds_every_run():
    report = make_report(ticket=[0.9, 0.8], dense=[0.7, 0.9])
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["format"] == {"name": "ticketkit-verify", "version": "1.1"}
    assert [arm["name"] for arm in document["arms"]] == ["ticket", "dense"]
    assert [run["accuracy"] for run in document["arms"][1]["runs"]] == [0.7, 0.9]
    assert document["arms"][0]["ticket_lead"] is None
    assert document["arms"][1]["ticket_lead"]["mean"] == pytest.approx(0.05)
    assert document["arms"][1]["difference_to_reference"] is None
    assert document["hypothesis"] is None


def test_the_json_holds_what_follows_from_the_runs():
    report = full_report()
    document = report.to_json()
    ticket, imp, small = document["arms"]
    assert ticket["mean"] == pytest.approx(0.85)
    assert ticket["top5"] == pytest.approx(0.98)
    assert ticket["top5_deviation"] == pytest.approx(0.02 / 2**0.5)
    assert ticket["difference_to_reference"] == {"mean": pytest.approx(-0.1), "low": None, "high": None, "count": 1}
    assert imp["difference_to_reference"] is None
    assert imp["ticket_lead"] == ticket["difference_to_reference"]
    assert small["ticket_lead"] is small["difference_to_reference"] is small["top5"] is None
    assert document["hypothesis"]["state"] == "not enough seeds"
    assert document["account"]["find"] == 2e13


def members(value: Any) -> set[str]:
    """Names of all members of a JSON value, at any depth."""
    if isinstance(value, list):
        return set().union(*map(members, value))
    return set(value).union(*map(members, value.values())) if isinstance(value, dict) else set()


def test_every_member_is_documented():
    text = (Path(__file__).parents[3] / "formats" / "verify-v1.md").read_text(encoding="utf-8")
    document = replace(full_report(), setting={"dataset": {}, "recipe": {}, "environment": {}}).to_json()
    assert {name for name in members(document) if f"`{name}`" not in text and f".{name}`" not in text} == set()


@pytest.mark.parametrize("report", [full_report(), make_report(ticket=[0.9]), make_report(ticket=[0.9], imp=[0.8])])
def test_a_report_comes_back_from_its_json(report: Report):
    assert Report.from_json(report.to_json()) == report
    assert Report.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_members_that_are_not_known_or_follow_from_others_are_not_read():
    report = full_report()
    document = report.to_json()
    document |= {"later": [1], "verdict": 3, "hypothesis": "", "format": {"name": "ticketkit-verify", "version": "1.7"}}
    document["arms"][0] |= {"later": 1, "mean": "x"}
    document["arms"][0]["runs"][0] |= {"later": 1}
    assert Report.from_json(document) == report


@pytest.mark.parametrize("member", ["results", "result", "report"])
def test_a_report_may_stand_in_an_object_that_says_more(member: str):
    report = full_report()
    assert Report.from_json({"command": "x", member: report.to_json()}) == report


def test_version_1_0_is_read():
    document = {
        "format": {"name": "ticketkit-verify", "version": "1.0"},
        "ticket": {"id": "sha256:0", "architecture": "cifar-resnet8", "sparsity": 0.9},
        "start_step": 3,
        "recipe": {},
        "arms": [
            {
                "name": name,
                "summary": "",
                "kept": 10,
                "total": 100,
                "mean": 0.9,
                "deviation": None,
                "ticket_lead": None,
                "runs": [{"seed": 0, "accuracy": accuracy, "untrained": 0.1, "loss": 0.5, "seconds": 1}],
            }
            for name, accuracy in (("ticket", 0.9), ("dense", 0.5))
        ],
        "verdict": "",
    }
    assert Report.from_json(document) == make_report(ticket=[0.9], dense=[0.5])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["format", "name"], "ticketkit-find", "format must be named 'ticketkit-verify' (got 'ticketkit-find')"),
        (["format"], None, "format must be named 'ticketkit-verify' (got None)"),
        (["format", "version"], "2.0", "format.version must be 1.x (got '2.0')"),
        (["format", "version"], 1.1, "format.version must be 1.x (got 1.1)"),
        (["start_step"], -1, "`$.start_step`"),
        (["recipe"], 3, "`$.recipe`"),
        (["margin"], 2, "`$.margin`"),
        (["arms"], [], "must be 'ticket' and others"),
        (["arms", 0, "name"], "imp", "must be 'ticket' and others"),
        (["arms", 1, "name"], "small-dense", "each name once"),
        (["arms", 1, "runs"], [], "the runs of arm 'imp' must be one or more"),
        (["arms", 0, "runs", 1, "seed"], 0, "of different seeds (got [0, 0])"),
        (["arms", 0, "runs", 1, "accuracy"], "x", "`$.arms[0].runs[1].accuracy`"),
        (["arms", 0, "runs", 1, "accuracy"], 1.5, "`$.arms[0].runs[1].accuracy`"),
        (["arms", 0, "runs", 1, "loss"], float("nan"), "`$.arms[0].runs[1].loss`"),
        (["arms", 0, "runs", 1, "cost", "flops"], float("inf"), "`$.arms[0].runs[1].cost.flops`"),
        (["arms", 0, "runs", 1, "cost"], {}, "missing required field `flops` - at `$.arms[0].runs[1].cost`"),
        (["reference"], "dense", "the reference must be one of imp, small-dense (got 'dense')"),
        (["reference"], "ticket", "the reference must be one of imp, small-dense (got 'ticket')"),
        (["origin", "parent"], 1, "`$.origin.parent`"),
        (["layers", 0, "kept"], 0.5, "`$.layers[0].kept`"),
        (["find_flops"], -1, "`$.find_flops`"),
    ],
)
def test_a_malformed_report_is_refused_in_one_line(place: list[Any], value: Any, message: str):
    document = full_report().to_json()
    parent = document
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    with pytest.raises(TicketkitError) as caught:
        Report.from_json(document, "study/a.json")
    assert message in str(caught.value)
    assert str(caught.value).endswith(": study/a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"results": []}, {"results": {}}])
def test_what_is_no_report_is_refused(document: Any):
    with pytest.raises(TicketkitError, match=r"must be named 'ticketkit-verify' \(got None\)$"):
        Report.from_json(document)


def test_the_place_of_a_mistake_is_that_in_the_whole_document():
    document = full_report().to_json()
    del document["ticket"]["id"]
    with pytest.raises(TicketkitError, match=r"`id` - at `\$\.results\.ticket`$"):
        Report.from_json({"results": document})


def test_differences_are_paired_by_seed():
    report = replace(
        make_report(ticket=[0.0]),
        arms=(
            make_arm("ticket", {4: 0.9, 2: 0.7, 3: 0.8}),
            make_arm("some", {3: 0.5, 9: 0.1, 4: 0.4}),
            make_arm("none", {7: 0.5}),
        ),
    )
    assert report.difference("ticket", "some") == paired_difference([0.9, 0.8], [0.4, 0.5])
    assert report.lead_over("some") == report.difference("ticket", "some")
    back = report.difference("some", "ticket")
    assert back is not None
    assert back.mean == pytest.approx(-0.4)
    assert report.difference("ticket", "none") is report.non_inferiority("none") is None


def test_the_hypothesis_is_that_the_ticket_is_not_below_the_reference_by_more_than_the_margin():
    report = make_report(ticket=[0.90, 0.91, 0.92], imp=[0.91, 0.92, 0.93])
    assert report.hypothesis() is None
    states = []
    for margin in (0.005, 0.015):
        found = replace(report, reference="imp", margin=margin).hypothesis()
        assert found is not None
        assert found.margin == margin
        states.append(found.state)
    assert states == ["not held", "held"]


def test_an_unknown_arm_lists_the_known_ones():
    with pytest.raises(TicketkitError, match=r"one of ticket, dense \(got 'imp'\)"):
        make_report(ticket=[0.9], dense=[0.1]).lead_over("imp")
