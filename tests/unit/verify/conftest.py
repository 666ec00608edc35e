"""What the tests of arms, bench and runs share: a recipe of eight steps, a ticket, and what an arm may look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ticketkit.data import ImageData
from ticketkit.provenance import Weights
from ticketkit.recipe import Recipe
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute
from ticketkit.verify import Bench, Context, Target


@pytest.fixture
def recipe() -> Recipe:
    """Two epochs of four steps each on stripes."""
    return Recipe(name="tiny", epochs=2, batch=16, lr=0.05, nesterov=True, crop=1)


@pytest.fixture
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    """A ticket for stripes that was not stretched, of step 3."""
    return make_ticket("resnet8-w2", density=0.4, in_channels=1, num_classes=2, weights=Weights(role="rewind", step=3))


@pytest.fixture
def stretched(make_ticket: Callable[..., Ticket]) -> Ticket:
    """A ticket for stripes whose last unit of each stage is a copy, of step 3."""
    source = make_ticket("resnet14-w2", in_channels=1, num_classes=2, weights=Weights(role="rewind", step=3))
    return stretch_ticket(source, "resnet20")


@pytest.fixture
def make_bench(stripes: ImageData, recipe: Recipe) -> Callable[..., Bench]:
    """Make a bench for a ticket's network: ``make_bench(ticket, **changes)``."""

    def make(ticket: Ticket, **changes: Any) -> Bench:
        arguments: dict[str, Any] = {
            "arch": ticket.arch,
            "prunable": tuple(ticket.mask),
            "batches": Batches(stripes, recipe),
            "compute": Compute(),
            "seed": 5,
            "rewind_step": 3,
            "rate": 0.5,
        }
        return Bench(**(arguments | changes))

    return make


@pytest.fixture
def make_context(make_bench: Callable[..., Bench]) -> Callable[..., Context]:
    """Make what an arm may look at: ``make_context(ticket, seed=0, bench=None, **changes)``."""

    def make(ticket: Ticket, seed: int = 0, bench: Bench | None = None, **changes: Any) -> Context:
        bench = bench or make_bench(ticket)
        arguments: dict[str, Any] = {
            "target": Target.of(ticket),
            "ticket": ticket,
            "batches": bench.batches,
            "compute": bench.compute,
            "seed": seed,
            "bench": bench,
        }
        return Context(**(arguments | changes))

    return make


@pytest.fixture(scope="session")
def make_noise() -> Callable[..., ImageData]:
    """Make a data set that nothing can be learnt from: ``make_noise(classes, train=…)``, 4×4 pixels each."""

    def make(classes: int, train: int = 40) -> ImageData:
        random = np.random.default_rng(1)
        return ImageData(
            name="noise",
            train_images=random.integers(0, 256, (train, 1, 4, 4), dtype=np.uint8),
            train_labels=np.arange(train, dtype=np.int64) % classes,
            test_images=random.integers(0, 256, (classes, 1, 4, 4), dtype=np.uint8),
            test_labels=np.arange(classes, dtype=np.int64),
            classes=tuple(str(label) for label in range(classes)),
        )

    return make
