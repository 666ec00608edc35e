"""The state of a training in the middle, so that a killed run loses minutes at most."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ticketkit.atomic import replacing
from ticketkit.encoding import Array
from ticketkit.errors import RunError
from ticketkit.spare import Spare

DEFAULT_INTERVAL = 60.0
"""Seconds between two checkpoints: what a killed run may lose."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that a training's future depends on; data order and augmentation follow from the step.

    Attributes:
        step: Optimiser steps done since step 0 of the schedule.
        tensors: The network's tensors.
        momentum: The optimiser's momentum over the flat parameters.
        captured: The tensors at the step that was asked for, if it has passed.
    """

    step: int
    tensors: Mapping[str, Array]
    momentum: Array
    captured: Mapping[str, Array] | None


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """One file that holds the newest state of one training.

    Attributes:
        path: The file.
        label: Which training it is of; a file of another training is ignored.
        interval: Least seconds between two saves.
        spare: Room that a save may take when the disk is full.
    """

    path: Path
    label: str
    interval: float = DEFAULT_INTERVAL
    spare: Spare | None = None
    _saved_at: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self._saved_at >= self.interval

    def save(self, state: TrainingState) -> None:
        """Replace the file in one step.

        Raises:
            RunError: If it cannot be written; the one before is as it was. Also if it took the spare room: the training
                is to end here, where all of it is kept.
        """
        tensors = {f"tensors/{name}": array for name, array in state.tensors.items()}
        tensors |= {f"captured/{name}": array for name, array in (state.captured or {}).items()}
        tensors["momentum"] = state.momentum
        metadata = {"training": json.dumps({"label": self.label, "step": state.step}, sort_keys=True)}
        # Not save_file: it writes to a file of its own, under a name that nobody would know to be a killed run's.
        content = save(tensors, metadata=metadata)

        def write() -> None:
            try:
                with replacing(self.path, overwrite=True) as temporary:
                    temporary.write_bytes(content)
            except OSError as error:
                raise RunError(f"a checkpoint must be written ({error.strerror or error}): {self.path}") from None

        if self.spare is None:
            write()
        elif self.spare.used_by(write):
            raise RunError(
                f"a disk must have room for a run to go on (it is full; the last state is kept): {self.path}"
            )
        self._saved_at = time.monotonic()

    def load(self) -> TrainingState | None:
        """Read the state, or None if there is none of this training.

        Raises:
            RunError: If the file is damaged.
        """
        try:
            if not self.path.exists():
                return None
            with safe_open(self.path, framework="numpy") as file:
                training = json.loads(file.metadata()["training"])
                if training["label"] != self.label:
                    return None
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"a checkpoint must be sound, or removed to start its level again ({error}): {self.path}"
            ) from None
        captured = _under("captured/", arrays)
        return TrainingState(
            step=training["step"],
            tensors=_under("tensors/", arrays),
            momentum=arrays["momentum"],
            captured=captured or None,
        )

    def remove(self) -> None:
        """Remove the file, if it is there.

        Raises:
            RunError: If it cannot be removed.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"a checkpoint must be removable ({error.strerror or error}): {self.path}") from None


def label_of(path: Path) -> str | None:
    """Which training a checkpoint is of; None if there is none, or it does not say."""
    try:
        with safe_open(path, framework="numpy") as file:
            label = json.loads(file.metadata()["training"])["label"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return label if isinstance(label, str) else None


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
