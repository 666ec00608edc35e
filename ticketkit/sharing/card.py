"""A ticket's card: what it is, how good, how it was made and how to make it again, as Markdown.

The front matter is what the Hugging Face Hub reads (https://huggingface.co/docs/hub/model-cards). All of the rest comes
from the ticket, so it is escaped: a card that a stranger's ticket makes is text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ticketkit.errors import TicketkitError, one_line
from ticketkit.provenance import Provenance, Transformation
from ticketkit.report.collect import read_results
from ticketkit.report.comparison import ArmResult, Report
from ticketkit.report.judgement import points, verdict_sentences
from ticketkit.report.markdown import escaped
from ticketkit.report.sparsity import SparsityReport
from ticketkit.sharing.front_matter import front_matter

LOTTERY_TICKETS = "https://arxiv.org/abs/1803.03635"
ELASTIC_TICKETS = "https://arxiv.org/abs/2103.16547"
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,59}")
_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card is made of.

    Attributes:
        ticket: What the ticket's file says, and holds if it was read whole.
        file_name: The file's name.
        reference: Where others find it; empty for its bare name.
        licence: Its licence as the Hub names it, an SPDX identifier in lower case; None if nobody said one.
        verified: Reports of ``verify`` about it.

    Raises:
        TicketkitError: If the licence is no such name, or a report is about another ticket.
    """

    ticket: SparsityReport
    file_name: str
    reference: str = ""
    licence: str | None = None
    verified: tuple[Report, ...] = ()

    def __post_init__(self) -> None:
        if self.licence is not None and not _LICENCE.fullmatch(self.licence):
            raise TicketkitError(
                f"a licence must be a name as the Hub has it, mit or apache-2.0, in lower case (got {self.licence!r})"
            )
        for report in self.verified:
            if report.ticket_id != self.ticket.id:
                raise TicketkitError(
                    f"a report on a card must be about its ticket, {self.ticket.id} (it is about {report.ticket_id})"
                )

    def to_markdown(self) -> str:
        """The card."""
        blocks = [
            front_matter(self.ticket, name=self._title, licence=self.licence, verified=self.verified),
            f"# {_text(self._title)}",
            self._opening(),
            self._use(),
            "## Sparsity",
            *self._sparsity(),
            "## Results",
            *self._results(),
            "## How it was made",
            *self._making(),
            "## To repeat it",
            self._repeating(),
            "## Licence",
            "No licence was given." if self.licence is None else f"{_code(self.licence)}",
        ]
        return "\n\n".join(blocks) + "\n"

    @property
    def _title(self) -> str:
        return self.file_name.removesuffix(".st") or self.file_name

    @property
    def _place(self) -> str:
        return f"{self.reference or self.file_name}#{self.ticket.id.replace(':', '=')}"

    def _opening(self) -> str:
        ticket = self.ticket
        arch, step = ticket.architecture, ticket.weights.step
        which = {"init": "initial weights", "rewind": f"weights of training step {step}", "final": "trained weights"}
        text = (
            f"A [lottery ticket]({LOTTERY_TICKETS}) for {_code(arch.name)} ({arch.ends}): "
            f"a mask that keeps {ticket.kept:,} of {ticket.total:,} prunable weights ({_percent(ticket.sparsity)} "
            f"sparse), and the {which[ticket.weights.role]} under it."
        )
        return text if ticket.weights.role == "final" else f"{text} It is to be trained, not used as it is."

    def _use(self) -> str:
        place = _shell(self._place)
        lines = ["pip install ticketkit"]
        lines += [f"ticketkit inspect {place}", f"ticketkit verify {place}"]
        if self.ticket.architecture.stages:
            lines.append(f"ticketkit stretch {place} --to DEPTH")
        return "```sh\n" + "\n".join(lines) + "\n```"

    def _sparsity(self) -> Iterator[str]:
        rows = [
            (
                group.name,
                "" if group.units is None else f"{group.units:,}",
                f"{group.kept:,}",
                f"{group.total:,}",
                _percent(group.sparsity),
            )
            for group in self.ticket.groups
        ]
        together = (f"{self.ticket.kept:,}", f"{self.ticket.total:,}", _percent(self.ticket.sparsity))
        yield _table(("where", "units", "kept", "of", "sparsity"), [*rows, ("all", "", *together)])
        of_all, sizes = _percent(self.ticket.pruned_of_parameters), self.ticket.sizes
        yield (
            f"Of all {self.ticket.parameters:,} parameters, {of_all} are pruned. The file takes {sizes.file:,} bytes, "
            f"{100 * sizes.file / sizes.all_dense:.1f} % of the dense network's."
        )

    def _results(self) -> Iterator[str]:
        found = self.ticket.results
        if found is not None and found.levels:
            rows = [
                (f"{level.level:,}", _percent(level.sparsity), _percent(level.accuracy))
                + (("last winning level",) if level.level == found.winning_level else ("",))
                for level in found.levels
            ]
            yield "Test accuracy of each level as it was found:"
            yield _table(("level", "sparsity", "accuracy", ""), rows)
        for report in self.verified:
            yield f"Trained beside its baselines, {_text(_conditions(report))}:"
            yield _table(
                ("arm", "kept", "accuracy", "the ticket's lead", "seeds"), [_arm(report, arm) for arm in report.arms]
            )
            yield _text(" ".join(verdict_sentences(report)))
        if not self.verified and not (found is not None and found.levels):
            yield "None are recorded."

    def _making(self) -> Iterator[str]:
        made = self.ticket.provenance
        yield "\n".join(f"- {label}: {text}" for label, text in self._facts())
        if made.transformations:
            yield f"Without training, [as elastic tickets are]({ELASTIC_TICKETS}), it then became what it is:"
            yield "\n".join(_step(number, done) for number, done in enumerate(made.transformations, 1))
        for title, values in (("Recipe", made.recipe), ("Environment", made.environment)):
            if values:
                yield f"{title}:"
                yield _json(values)

    def _facts(self) -> Iterator[tuple[str, str]]:
        made = self.ticket.provenance
        yield "id", _code(self.ticket.id)
        yield "found by", ", ".join(_code(part) for part in _method(made))
        if made.dataset is not None:
            data = made.dataset
            images = f"{data.train:,} training and {data.test:,} test images"
            yield "data", f"{_code(data.name)}, {images}, {_code(data.fingerprint)}"
        if made.flops is not None:
            yield "cost", f"{made.flops.sparse:.2e} FLOPs with pruned weights skipped, {made.flops.dense:.2e} without"
        yield "written by", _code(f"{made.tool.name} {made.tool.version}")
        if made.parent is not None:
            yield "parent", _code(made.parent)
        if made.created is not None:
            yield "created", _code(made.created)

    def _repeating(self) -> str:
        made = self.ticket.provenance
        place = _shell(self._place)
        lines = []
        if None not in (made.dataset, made.recipe, made.seed, made.level, made.rate):
            lines.append(f"ticketkit reproduce {place}")
        lines += [command for report in self.verified if (command := _command(report))]
        if not lines:
            return "The ticket does not say how it was found."
        return "```sh\n" + "\n".join(lines) + "\n```"


def load_report(path: Path) -> Report:
    """The report of ``verify`` in a file.

    Raises:
        TicketkitError: If it holds something else.
    """
    reports = read_results([path]).reports
    if len(reports) != 1:
        raise TicketkitError(f"a report must be one of ticketkit verify (this file holds something else): {path}")
    return reports[0]


def _method(made: Provenance) -> list[str]:
    values = ((label, getattr(made, label)) for label in ("level", "rate", "seed"))
    return [made.method, *(f"{label} {value}" for label, value in values if value is not None)]


def _step(number: int, done: Transformation) -> str:
    text = (
        f"{number}. {_code(done.kind)} of {_code(done.source)} to {_code(done.target)}, order {_code(done.order)}, "
        f"mapping {_code(done.mapping)}, {_percent(done.sparsity_before)} to {_percent(done.sparsity_after)} sparse, "
        f"from {_code(done.parent)}"
    )
    return text if not done.settings else f"{text}, with {_code(json.dumps(dict(done.settings), sort_keys=True))}"


def _command(report: Report) -> str:
    """The command of a report, each of its words as a shell takes it; nothing if it is another program's."""
    try:
        words = shlex.split(one_line(report.command))
    except ValueError:
        return ""
    return " ".join(map(_shell, words)) if words[:2] == ["ticketkit", "verify"] else ""


def _conditions(report: Report) -> str:
    data, recipe = report.setting.get("dataset"), report.setting.get("recipe")
    parts = [str(values["name"]) for values in (data, recipe) if isinstance(values, Mapping) and values.get("name")]
    return " ".join([*(f"on {part}" if not number else f"with recipe {part}" for number, part in enumerate(parts))])


def _arm(report: Report, arm: ArmResult) -> tuple[str, ...]:
    spread = "" if arm.deviation is None else f" ± {100 * arm.deviation:.2f}"
    lead = report.lead_over(arm.name) if arm is not report.ticket else None
    half = "" if lead is None or lead.low is None else f" ± {100 * (lead.mean - lead.low):.2f}"
    return (
        arm.name,
        _percent(arm.kept / arm.total),
        f"{100 * arm.mean:.2f}{spread} %",
        "" if lead is None else f"{points(lead.mean)}{half}",
        ", ".join(str(run.seed) for run in arm.runs),
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, [":--", *["--:"] * (len(heads) - 1)]]
    cells = [lines[0], *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], lines[1], *cells[1:]])


def _json(values: Mapping[str, Any]) -> str:
    """Values as a block of code: none of JSON's lines begins as one that would end it."""
    return "```json\n" + json.dumps(msgspec.to_builtins(values), indent=2, ensure_ascii=True) + "\n```"


def _text(text: str) -> str:
    return escaped(one_line(text, _LONGEST))


def _code(text: str) -> str:
    """A text as code, whatever back-ticks are in it."""
    text = one_line(text, _LONGEST)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _shell(text: str) -> str:
    """A word as a shell takes it."""
    return shlex.quote(one_line(text, _LONGEST)).replace("```", "")


def _percent(fraction: float) -> str:
    """A percentage of two decimals; what is not quite all or nothing never reads so."""
    rounded = round(100 * fraction, 2)
    return f"{min(max(rounded, 0.01), 99.99) if 0 < fraction < 1 else rounded:.2f} %"
