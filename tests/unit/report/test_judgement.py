from dataclasses import replace

import pytest

from ticketkit.errors import TicketkitError
from ticketkit.report.comparison import ArmResult, Report, Run, verdict
from ticketkit.report.judgement import parse_expectation, points, verdict_sentences


def make_report(*, reference: str | None = None, **accuracies: list[float]) -> Report:
    def arm(name: str, values: list[float]) -> ArmResult:
        runs = [Run(seed=s, accuracy=value, untrained=0.1, loss=0.5, seconds=1.0) for s, value in enumerate(values)]
        return ArmResult(name=name, summary="", kept=10, total=100, runs=tuple(runs))

    return Report(
        ticket_id="sha256:0",
        architecture="cifar-resnet8",
        sparsity=0.9,
        start_step=3,
        setting={},
        arms=tuple(arm(name, values) for name, values in accuracies.items()),
        reference=reference,
    )


def hypothesis(ticket: list[float], imp: list[float]) -> str:
    return verdict_sentences(make_report(reference="imp", ticket=ticket, imp=imp))[1]


def test_the_verdict_names_what_the_ticket_beats_loses_to_and_cannot_be_told_from():
    report = make_report(
        ticket=[0.90, 0.91, 0.92], low=[0.70, 0.71, 0.72], high=[0.98, 0.99, 1.0], near=[0.89, 0.92, 0.91]
    )
    assert verdict(report) == "The ticket beats low, loses to high and is not told from near (95 %, 3 seeds)."


def test_one_seed_is_no_evidence():
    assert "One seed tells no difference" in verdict(make_report(ticket=[0.9], dense=[0.1]))
    assert "nothing to compare" in verdict(make_report(ticket=[0.9]))


def test_the_verdict_takes_for_each_arm_the_seeds_that_it_has():
    report = make_report(ticket=[0.90, 0.91, 0.92], low=[0.1, 0.11, 0.12], less=[0.2, 0.21], one=[0.9])
    assert verdict(report) == (
        "The ticket beats low and less (95 %, 2 to 3 seeds); too few seeds to compare it with one."
    )


def test_the_elastic_hypothesis_is_a_sentence_of_its_own():
    report = make_report(reference="imp", ticket=[0.90, 0.91, 0.92], dense=[0.1, 0.11, 0.12], imp=[0.9, 0.91, 0.92])
    assert verdict(report) == (
        "The ticket beats dense and is not told from imp (95 %, 3 seeds). "
        "Elastic hypothesis against imp, margin 0.5 points: held (difference +0.00, 95 % +0.00 to +0.00)."
    )
    assert verdict_sentences(replace(report, reference=None)) == verdict_sentences(report)[:1]


def test_each_outcome_of_the_hypothesis_has_its_words():
    start = "Elastic hypothesis against imp, margin 0.5 points: "
    assert hypothesis([0.90, 0.91, 0.92], [0.95, 0.96, 0.971]).startswith(
        start + "not held (difference −5.03, 95 % −5."
    )
    # Differences of −0.4, 0 and 0.4 points: half widths 3.182 · 0.4 / √4 = 0.636 and 2.776 · 0.4 / √5 = 0.497.
    assert hypothesis([0.896, 0.9, 0.904], [0.9, 0.9, 0.9]) == (
        start + "not told with 3 seeds (difference +0.00, 95 % −0.99 to +0.99); about 5 would tell."
    )
    assert hypothesis([0.855, 0.895, 0.935], [0.9, 0.9, 0.9]).endswith("; over 1,000 would tell.")
    assert hypothesis([0.9], [0.8]) == start + "not told with 1 seed (difference +10.00)."


def test_points_have_a_sign_unless_they_are_nothing():
    assert [points(value) for value in (0.0016, -0.0012, -0.00001, 0.0)] == ["+0.16", "−0.12", "+0.00", "+0.00"]


def test_expectations_hold_by_the_interval():
    report = replace(
        make_report(ticket=[0.90, 0.91, 0.92], low=[0.7, 0.71, 0.73], near=[0.901, 0.911, 0.922], one=[0.1]),
        margin=0.005,
    )
    names = ["low", "near", "one"]
    held = {
        f"{relation}={name}": parse_expectation(f"{relation}={name}", names).holds(report)
        for relation in ("better-than", "no-worse-than")
        for name in names
    }
    assert held == {
        "better-than=low": True,
        "better-than=near": False,
        "better-than=one": False,
        "no-worse-than=low": True,
        "no-worse-than=near": True,
        "no-worse-than=one": False,
    }
    tighter = replace(report, margin=0.001)
    assert not parse_expectation("no-worse-than=near", names).holds(tighter)


def test_an_expectation_prints_as_it_is_typed():
    assert str(parse_expectation("no-worse-than=a=b", ["a=b"])) == "no-worse-than=a=b"


@pytest.mark.parametrize("text", ["", "better-than", "better-than=", "better-than=imp", "worse-than=low", "low"])
def test_a_bad_expectation_is_refused_with_what_is_known(text: str):
    message = rf"better-than=ARM or no-worse-than=ARM, ARM one of low, near \(got '{text}'\)$"
    with pytest.raises(TicketkitError, match=message):
        parse_expectation(text, ["low", "near"])
    with pytest.raises(TicketkitError, match="there is none"):
        parse_expectation(text, [])
