"""What is said of a ticket in words, wherever it is described: in the terminal, on a page."""

from __future__ import annotations

from collections.abc import Iterator

from ticketkit.fractions import percent
from ticketkit.provenance import Provenance, Results, Transformation
from ticketkit.report.sparsity import SparsityReport

Fact = tuple[str, str]


def origin_facts(report: SparsityReport) -> list[Fact]:
    """A ticket's network, its id, and where it comes from: pairs of a label and a text.

    An empty label goes on with the one before. The texts may quote the ticket's file as it is.
    """
    arch, provenance = report.architecture, report.provenance
    pairs = [
        ("network", f"{arch.name}: {arch.ends}"),
        ("id", report.id),
        ("", _checked(report)),
        ("found by", _method(provenance)),
    ]
    if provenance.dataset is not None:
        data = provenance.dataset
        pairs.append(("data", f"{data.name}: {data.train:,} training and {data.test:,} test images"))
    if provenance.recipe is not None:
        pairs.append(("recipe", str(provenance.recipe.get("name", "without a name"))))
    step = "" if report.weights.step is None else f", training step {report.weights.step:,}"
    pairs.append(("weights", report.weights.role + step))
    if report.results is not None and report.results.levels:
        pairs.append(("results", _results(report.results, provenance.level)))
    if provenance.parent is not None:
        pairs.append(("parent", provenance.parent))
    for transformation in provenance.transformations:
        pairs += _transformation(transformation)
    return pairs


def _checked(report: SparsityReport) -> str:
    if report.hashes_checked:
        return "every hash checked"
    if report.masks_read:
        return "hashes not checked"
    return f"the header alone was read, {report.sizes.header:,} of {report.sizes.file:,} bytes; no hash checked"


def _method(provenance: Provenance) -> str:
    parts = [provenance.method]
    for label in ("level", "rate", "seed"):
        if (value := getattr(provenance, label)) is not None:
            parts.append(f"{label} {value}")
    return ", ".join(parts)


def _results(results: Results, own_level: int | None) -> str:
    named = {0: "dense"} | ({own_level: f"level {own_level}"} if own_level else {})
    parts = [
        f"{named[result.level]} {percent(result.accuracy)} test accuracy"
        for result in results.levels
        if result.level in named
    ]
    if results.winning_level is not None:
        parts.append(f"last winning level {results.winning_level}")
    return "; ".join(parts) or f"{len(results.levels)} levels"


def _transformation(done: Transformation) -> Iterator[tuple[str, str]]:
    yield done.kind[:8], f"{done.source} to {done.target} ({done.order})"
    yield "", f"sparsity {percent(done.sparsity_before)} to {percent(done.sparsity_after)}"
    stages = done.mapping.split("|")
    if len(set(stages)) == 1:
        yield "", f"every stage {stages[0]}"
        return
    for number, stage in enumerate(stages):
        yield "", f"stage {number} {stage}"


def sparsity_facts(report: SparsityReport) -> list[Fact]:
    """How sparse a ticket is, each fraction with its denominator; pairs as those of :func:`origin_facts`."""
    pruned = report.total - report.kept
    return [
        ("sparsity", f"{percent(report.sparsity)}: {pruned:,} of {report.total:,} prunable weights are pruned"),
        ("", f"{percent(report.pruned_of_parameters)}: {pruned:,} of all {report.parameters:,} parameters"),
        ("density", f"{percent(report.density)}: {report.kept:,} of {report.total:,} prunable weights are kept"),
    ]
