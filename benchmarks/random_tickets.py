"""Tickets of random weights under random masks: their values do not matter to what is measured. Needs no torch."""

from __future__ import annotations

import numpy as np

from ticketkit.arch import ArchSpec
from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Weights
from ticketkit.ticket import Ticket


def random_ticket(arch: ArchSpec, sparsity: float, seed: int = 0) -> Ticket:
    random = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for entry in arch.state():
        if entry.tensor.dtype == "I64":
            tensors[entry.name] = np.array(1, dtype=np.int64)
        else:
            tensors[entry.name] = random.standard_normal(entry.tensor.shape, dtype=np.float32)
    mask = Mask(
        {name: random.random(tensors[name].shape, dtype=np.float32) >= sparsity for name in arch.prunable_names()}
    )
    return Ticket.from_arrays(
        arch, tensors, mask, weights=Weights(role="rewind", step=1), provenance=Provenance(method="benchmark")
    )
