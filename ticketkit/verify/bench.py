"""What the arms of one run share: the network's weights at the rewind step, and iterative magnitude pruning on it.

Both are made when the first arm asks for them and not again, also where arms are trained at once. IMP's levels are kept
in a folder, so that other verifications of the same network find them there, and a killed one goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ticketkit._version import __version__
from ticketkit.arch import ArchSpec
from ticketkit.bundle import load_ticket
from ticketkit.errors import MaskError, RunError
from ticketkit.find import DEFAULT_RATE, METHODS, Rewinding, find_ticket, full_mask
from ticketkit.lock import BusyError
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.models.build import Tensors
from ticketkit.provenance import Flops
from ticketkit.prune import magnitudes
from ticketkit.recipe import Recipe
from ticketkit.run_folder import tidy
from ticketkit.selection import drop_count
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, train
from ticketkit.train.checkpoint import DEFAULT_INTERVAL
from ticketkit.train.flops import training_flops

WAIT_SECONDS = 1.0
"""How often a bench looks whether another process is done with the IMP run that both need."""

TO_REWIND_STEP = "to the rewind step"
"""What a bench calls the training of the dense network's first steps."""


def label_of_level(rewinding: Rewinding, level: int) -> str:
    """What a bench calls the training of one of IMP's levels."""
    return f"{METHODS[rewinding]} level {level}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pruned:
    """A network pruned by IMP to some number of weights.

    Attributes:
        mask: The kept weights.
        tensors: Where its training starts from.
        flops: What it took.
    """

    mask: Mask
    tensors: Tensors
    flops: Flops


@dataclass(kw_only=True, eq=False)
class Bench:
    """What the arms of one run share.

    Attributes:
        arch: The network.
        prunable: Names of its prunable tensors.
        batches: The data and the recipe.
        compute: Where and how to compute.
        seed: Seed of the network's initialisation and of everything trained here; the same for all arms of a run.
        rewind_step: The step whose weights all of them start from, in optimiser steps.
        rate: Fraction of the remaining weights that IMP prunes at each level, in (0, 1).
        runs: The folder in which IMP's runs are kept; None keeps them while this object lives.
        checkpoint_seconds: Least time between two checkpoints inside one of IMP's levels.
        on_epoch: Called after each epoch trained here, with what is trained and how far it is.
        on_wait: Called with a line that says so while another process makes the IMP run that is needed here, every
            ``WAIT_SECONDS``. What it raises ends the waiting.

    Raises:
        MaskError: If the rate is out of its range.
    """

    arch: ArchSpec
    prunable: tuple[str, ...]
    batches: Batches
    compute: Compute
    seed: int
    rewind_step: int
    rate: float = DEFAULT_RATE
    runs: Path | None = None
    checkpoint_seconds: float = DEFAULT_INTERVAL
    on_epoch: Callable[[str, Progress], None] | None = None
    on_wait: Callable[[str], None] | None = None
    _temporary: Path | None = field(default=None, init=False)
    _rewound: Tensors | None = field(default=None, init=False)
    _locks: Mapping[str, threading.Lock] = field(
        default_factory=lambda: {name: threading.Lock() for name in ("rewound", "folder", *METHODS)}, init=False
    )

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise MaskError(f"the rate must be above 0 and below 1 (got {self.rate})")

    @property
    def rewound(self) -> Tensors:
        """The dense network's weights at the rewind step, θ_r.

        Raises:
            RecipeError: If the training does not reach it.
        """
        with self._locks["rewound"]:
            if self._rewound is None:
                self._rewound = self._train_to_rewind_step()
            return self._rewound

    def _train_to_rewind_step(self) -> Tensors:
        self._recipe.rewind_step(self.batches.steps_per_epoch)
        start = initialise(self.arch, self.seed)
        if not self.rewind_step:
            return start
        trained = train(
            self.arch,
            start,
            None,
            self.batches,
            seed=self.seed,
            compute=self.compute,
            last_step=self.rewind_step,
            on_epoch=self._watch(TO_REWIND_STEP),
        )
        return trained.tensors

    @property
    def rewound_flops(self) -> Flops:
        """What reaching the rewind step takes."""
        images = self.rewind_step * self.batches.recipe.batch
        return training_flops(self.arch, self.batches.data.shape, None, images)

    def pruned_to(self, kept: int, rewinding: Rewinding = "weights") -> Pruned:
        """Prune the network by IMP until exactly so many weights are kept.

        Levels take the fraction ``rate`` as long as more than ``kept`` remain; the last one takes what is left to take.

        Args:
            kept: How many weights to keep.
            rewinding: What is rewound after each level; see :func:`ticketkit.find_ticket`.
        """
        last = self.level_above(kept, rewinding)
        mask = drop_count(magnitudes(last.tensors, last.mask), last.mask, last.kept - kept)
        if last.provenance.flops is None:
            raise RunError("a level must say what it took to train (it does not)")
        return Pruned(
            mask=mask,
            tensors=dict(last.tensors if rewinding == "rate" else self.rewind_ticket(rewinding).tensors),
            flops=last.provenance.flops,
        )

    def level_above(self, kept: int, rewinding: Rewinding = "weights") -> Ticket:
        """The network at the end of the last level that keeps more than so many weights."""
        full = full_mask(self.arch, self.prunable).total
        return self.level(levels_above(full, kept, self.rate), rewinding)

    def level(self, level: int, rewinding: Rewinding = "weights") -> Ticket:
        """The network at the end of a level's training; its levels before that are trained first.

        Another process, or another bench of this one, that is at the same IMP run is waited for: what it trains need
        not be trained twice.

        Raises:
            RunError, BundleError: If a training breaks, or the folder cannot be used.
        """
        folder = self._folder(rewinding)
        done = folder / f"level-{level:02d}.st"  # written last of all; the folder's name says that it is this run's
        with self._locks[rewinding]:
            while not done.exists():
                try:
                    self._find(folder, level, rewinding)
                    break
                except BusyError as error:
                    if self.on_wait is not None:
                        self.on_wait(f"waiting for an IMP run ({error.holder or 'another process has it'}): {folder}")
                    time.sleep(WAIT_SECONDS)
            tidy(folder)
            return load_ticket(done)

    def _find(self, folder: Path, level: int, rewinding: Rewinding) -> None:
        find_ticket(
            self.arch,
            self.batches.data,
            self._recipe,
            seed=self.seed,
            device=self.compute,
            levels=level,
            rate=self.rate,
            prunable=self.prunable,
            rewinding=rewinding,
            allow_collapse=True,  # a baseline is what it is: that it collapses is a result
            run_dir=folder,
            resume=True,
            checkpoint_seconds=self.checkpoint_seconds,
            batches=self.batches,
            on_epoch=lambda level, progress: self._watch(label_of_level(rewinding, level))(progress),
        )

    def rewind_ticket(self, rewinding: Rewinding = "weights") -> Ticket:
        """The dense network at the rewind step, as the ticket that prunes nothing; level 0 must have been trained."""
        return load_ticket(self._folder(rewinding) / "rewind.st")

    @property
    def _recipe(self) -> Recipe:
        return replace(self.batches.recipe, rewind=f"{self.rewind_step}it")

    def _folder(self, rewinding: Rewinding) -> Path:
        """A folder that no other run than this one has, and this one always has."""
        with self._locks["folder"]:
            parent = self.runs or self._temporary
            if parent is None:
                try:
                    parent = self._temporary = Path(tempfile.mkdtemp(prefix="ticketkit-"))
                except OSError as error:
                    raise RunError(f"a temporary folder must be writable ({error.strerror or error})") from None
                # Unlike TemporaryDirectory, which would warn that nobody closed it.
                weakref.finalize(self, shutil.rmtree, parent, ignore_errors=True)
        what = {
            "arch": [self.arch.name, self.arch.num_classes, self.arch.in_channels],
            "prunable": sorted(self.prunable),
            "data": self.batches.data.fingerprint,
            "recipe": self._recipe.to_dict(),
            "rate": self.rate,
            "seed": self.seed,
            "compute": self.compute.describe(),
            "ticketkit": __version__,
        }
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        return parent / f"{METHODS[rewinding]}-{self.arch.short_name}-{digest}"

    def _watch(self, label: str) -> Callable[[Progress], None]:
        def watch(progress: Progress) -> None:
            if self.on_epoch is not None:
                self.on_epoch(label, progress)

        return watch


def levels_above(total: int, kept: int, rate: float) -> int:
    """The last level of IMP that keeps more than ``kept`` of ``total`` weights; 0, the dense network, if none does."""
    level, remaining = 0, total
    while True:
        fewer = remaining - round(rate * remaining)
        if fewer <= kept or fewer == remaining:
            return level
        level, remaining = level + 1, fewer
