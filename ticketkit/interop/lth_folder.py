"""One level's folder of an open_lth or ElasticLTH run: what lies in it and around it, and what that says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ticketkit.errors import BundleError
from ticketkit.provenance import LevelResult, Results
from ticketkit.reading import parse_json, regular_size

MASK = "mask.pth"
HPARAMS = "hparams.log"
_MODEL = re.compile(r"model_ep([0-9]{1,9})_it([0-9]{1,12})\.pth")
_LEVEL = re.compile(r"level_([0-9]{1,6})")
_BRANCH = re.compile(r"lottery_branch_(\w{1,150}?)(?:_[0-9a-f]{32})?")
_LARGEST = 2**53
_TEXT_BYTES = 2**20
"""The most that is read of a text file; theirs are a few kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ModelFile:
    """A state dict of a run.

    Attributes:
        epoch: Whole epochs of its step.
        iteration: Iterations beyond those.
        path: The file.
    """

    epoch: int
    iteration: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class LevelFolder:
    """A level's folder.

    Attributes:
        path: The folder that holds ``mask.pth``.
        level: The level, as the folder above says it; None outside a run.
        branch: The branch's name; None for the main line.
    """

    path: Path
    level: int | None
    branch: str | None

    @classmethod
    def at(cls, path: Path) -> LevelFolder:
        """The folder itself, or the one of the main line inside it.

        Raises:
            BundleError: If no mask is there.
        """
        folder = path / "main" if not (path / MASK).exists() and (path / "main" / MASK).exists() else path
        if not (folder / MASK).is_file():
            raise BundleError(f"a level's folder of open_lth must hold {MASK} (it does not): {path}")
        whole = folder.resolve()
        level = _LEVEL.fullmatch(whole.parent.name)
        branch = _BRANCH.fullmatch(whole.name)
        return cls(path=folder, level=int(level[1]) if level else None, branch=branch[1] if branch else None)

    @property
    def name(self) -> str:
        """Where the folder lies inside its run: ``lottery_…/replicate_1/level_3/main``, never more of the path."""
        return "/".join(self.path.resolve().parts[-4 if self.level is not None else -1 :])

    @property
    def _run(self) -> Path:
        return self.path.resolve().parent.parent

    def models(self) -> list[ModelFile]:
        """The state dicts by step, smallest first.

        Raises:
            BundleError: If there is none.
        """
        matches = [(match, file) for file in self.path.iterdir() if (match := _MODEL.fullmatch(file.name))]
        if not matches:
            raise BundleError(f"a level's folder of open_lth must hold model_epE_itI.pth (got none): {self.path}")
        return sorted(ModelFile(epoch=int(match[1]), iteration=int(match[2]), path=file) for match, file in matches)

    def step(self, model: ModelFile) -> int | None:
        """A state dict's training step in iterations; None if no epoch's length is known and it takes one."""
        if not model.epoch:
            return model.iteration
        last, logged = self.models()[-1], self._accuracies
        if not last.epoch or not logged:
            return None
        per_epoch, rest = divmod(max(logged) - last.iteration, last.epoch)
        return None if rest or per_epoch < 1 else model.epoch * per_epoch + model.iteration

    @cached_property
    def _accuracies(self) -> dict[int, float]:
        return _accuracies(self.path)

    def hparams(self) -> dict[str, dict[str, str]]:
        """The run's hyperparameters by section: the folder's own, or else those of its level 0; empty if none."""
        return self._hparams

    @cached_property
    def _hparams(self) -> dict[str, dict[str, str]]:
        text = _read_text(self.path / HPARAMS)
        if not text and self.level is not None:
            text = _read_text(self._run / "level_0" / "main" / HPARAMS)
        sections: dict[str, dict[str, str]] = {}
        section: dict[str, str] = {}
        for line in text.splitlines():
            if match := re.fullmatch(r"\s+\* (\w{1,80}) => (.{0,400})", line):
                section[match[1]] = match[2]
            elif line.strip():
                section = sections.setdefault(line.strip()[:80], {})
        return sections

    def results(self) -> Results | None:
        """Test accuracies of the main line's levels up to this one; None for a branch, or where one is missing."""
        if self.level is None or self.branch is not None:
            return None
        levels = []
        for level in range(self.level + 1):
            result = _level_result(level, self._run / f"level_{level}" / "main")
            if result is None:
                return None
            levels.append(result)
        return Results(levels=tuple(levels))


def _level_result(level: int, folder: Path) -> LevelResult | None:
    accuracies = _accuracies(folder)
    try:
        report = parse_json(_read_text(folder / "sparsity_report.json"))
        kept, total = int(report["unpruned"]), int(report["total"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    if not accuracies or not 0 <= kept <= total < _LARGEST:
        return None
    accuracy = accuracies[max(accuracies)]
    return LevelResult(level=level, kept=kept, total=total, accuracy=accuracy) if 0 <= accuracy <= 1 else None


def _accuracies(folder: Path) -> dict[int, float]:
    """Test accuracy by iteration, as the folder's ``logger`` has it; lines are ``test_accuracy,ITERATION,VALUE``."""
    found = re.findall(
        r"^test_accuracy,([0-9]{1,12}),([0-9.e-]{1,30})$", _read_text(folder / "logger"), flags=re.MULTILINE
    )
    try:
        return {int(iteration): float(accuracy) for iteration, accuracy in found}
    except ValueError:
        return {}


def _read_text(path: Path) -> str:
    try:
        regular_size(path)  # a pipe would be waited for
        with path.open("rb") as file:
            return file.read(_TEXT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
