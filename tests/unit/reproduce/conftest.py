"""Tickets that were found, in a second or less, for tests that find them again."""

from __future__ import annotations

import pytest

from ticketkit.arch import parse_arch
from ticketkit.data import ImageData
from ticketkit.find import find_ticket
from ticketkit.recipe import Recipe
from ticketkit.ticket import Ticket
from ticketkit.train import Compute

RECIPE = Recipe(name="tiny", epochs=2, batch=16, lr=0.05, nesterov=True, weight_decay=1e-3, crop=1, rewind="2it")


@pytest.fixture(scope="session")
def found(stripes: ImageData) -> Ticket:
    """A ticket of level 2 on stripes."""
    arch = parse_arch("resnet14-w2", in_channels=1, num_classes=2)
    return find_ticket(arch, stripes, RECIPE, seed=3, levels=2, rate=0.4, device=Compute())
