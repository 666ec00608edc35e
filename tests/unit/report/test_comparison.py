import json

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.comparison import ArmResult, Report, Run, verdict


def make_report(**accuracies: list[float]) -> Report:
    arms = tuple(
        ArmResult(
            name=name,
            summary="",
            kept=10,
            total=100,
            runs=tuple(
                Run(seed=seed, accuracy=value, untrained=0.1, loss=0.5, seconds=1.0)
                for seed, value in enumerate(values)
            ),
        )
        for name, values in accuracies.items()
    )
    return Report(
        ticket_id="sha256:0",
        architecture="cifar-resnet8",
        sparsity=0.9,
        start_step=3,
        setting={"recipe": {}},
        arms=arms,
    )


def test_the_verdict_names_what_the_ticket_beats_loses_to_and_cannot_be_told_from():
    report = make_report(
        ticket=[0.90, 0.91, 0.92], low=[0.70, 0.71, 0.72], high=[0.98, 0.99, 1.0], near=[0.89, 0.92, 0.91]
    )
    assert verdict(report) == "The ticket beats low, loses to high and is not told from near (95 %, 3 seeds)."


def test_one_seed_is_no_evidence():
    assert "One seed tells no difference" in verdict(make_report(ticket=[0.9], dense=[0.1]))
    assert "nothing to compare" in verdict(make_report(ticket=[0.9]))


def test_the_json_holds_every_run():
    report = make_report(ticket=[0.9, 0.8], dense=[0.7, 0.9])
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["format"] == {"name": "ticketkit-verify", "version": "1.1"}
    assert [arm["name"] for arm in document["arms"]] == ["ticket", "dense"]
    assert [run["accuracy"] for run in document["arms"][1]["runs"]] == [0.7, 0.9]
    assert document["arms"][0]["ticket_lead"] is None
    assert document["arms"][1]["ticket_lead"]["mean"] == pytest.approx(0.05)
    assert document["verdict"] == verdict(report)


def test_an_unknown_arm_lists_the_known_ones():
    with pytest.raises(TicketkitError, match=r"one of ticket, dense \(got 'imp'\)"):
        make_report(ticket=[0.9], dense=[0.1]).lead_over("imp")
