"""The front matter of a ticket's card: YAML that the Hugging Face Hub reads.

Every text is written as JSON, which is YAML too, so nothing in a ticket can be anything but a text there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ticketkit.errors import one_line
from ticketkit.report.comparison import Report
from ticketkit.report.sparsity import SparsityReport

LIBRARY = "ticketkit"
TAGS = ("ticketkit", "lottery-ticket", "pruning", "sparsity")
TASK = "image-classification"
KNOWN_ON_HUB = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
    "svhn": "ufldl-stanford/svhn",
}
"""Data sets of ours by the names that the Hub has for them."""


def front_matter(
    ticket: SparsityReport, *, name: str, licence: str | None = None, verified: Sequence[Report] = ()
) -> str:
    """Write the front matter, with the lines of dashes around it.

    Args:
        ticket: The ticket.
        name: What the model is called.
        licence: Its licence as the Hub names it; None for no such field.
        verified: Reports about it; the first gives the accuracy, else the ticket's own results do.
    """
    fields: dict[str, Any] = {} if licence is None else {"license": licence}
    fields |= {"library_name": LIBRARY, "pipeline_tag": TASK, "tags": [*TAGS, ticket.architecture.family]}
    dataset = dataset_of(ticket)
    if dataset in KNOWN_ON_HUB:
        fields["datasets"] = [KNOWN_ON_HUB[dataset]]
    if (accuracy := measured_accuracy(ticket, verified)) is not None and dataset:
        metric = {"type": "accuracy", "value": round(100 * accuracy, 2), "name": "test accuracy after training, %"}
        task = {"task": {"type": TASK}, "dataset": {"name": dataset, "type": KNOWN_ON_HUB.get(dataset, dataset)}}
        fields["model-index"] = [{"name": name, "results": [task | {"metrics": [metric]}]}]
    return "\n".join(["---", *_lines(fields), "---"])


def measured_accuracy(ticket: SparsityReport, verified: Sequence[Report] = ()) -> float | None:
    """Test accuracy after training, in [0, 1]: a report's mean over seeds, else that of the ticket's own level.

    Args:
        ticket: The ticket. A stretched one has no results of its own.
        verified: Reports about it.
    """
    if verified:
        return verified[0].ticket.mean
    found, level = ticket.results, ticket.provenance.level
    if found is None or ticket.provenance.transformations:
        return None
    return next((result.accuracy for result in found.levels if result.level == level), None)


def dataset_of(ticket: SparsityReport) -> str:
    """Name of the data, without what was said of how much of it or where it lay."""
    data = ticket.provenance.dataset
    return "" if data is None else data.name.partition(":")[0].partition("[")[0]


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    for key, value in fields.items():
        if isinstance(value, list):
            yield f"{key}:"
            yield from (f"- {_scalar(item)}" for item in value)
        else:
            yield f"{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    return json.dumps(_safe(value), ensure_ascii=False)


def _safe(value: Any) -> Any:
    """Values with every text printable and of a bounded length."""
    if isinstance(value, dict):
        return {key: _safe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_safe(item) for item in value]
    return one_line(value, 200) if isinstance(value, str) else value
