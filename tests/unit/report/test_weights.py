"""Counts of kept weights: by magnitude, by place in the kernel, by how many a kernel keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ticketkit.report.sparsity import group_sparsities, layer_sparsities
from ticketkit.report.weights import EDGES, group_weights
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


@pytest.mark.parametrize("name", ["resnet8-w2", "vgg11-w2", "mobilenetv1-w2", "mlp-64-32-32-10", "vit2-w16-p2-i8"])
def test_every_kept_weight_is_counted_once_in_its_group(make_ticket: MakeTicket, name: str) -> None:
    ticket = make_ticket(name)
    groups = group_sparsities(layer_sparsities(ticket), ticket.arch.stages)
    found = group_weights(ticket)
    assert [group.name for group in found] == [group.name for group in groups]
    for counted, group in zip(found, groups, strict=True):
        assert counted.magnitudes.sum() + counted.zeros == group.kept
        assert counted.by_chance.sum() == pytest.approx(counted.kernels)
        assert np.dot(np.arange(counted.occupied.size), counted.occupied) == counted.places.sum()
        assert np.dot(np.arange(counted.by_chance.size), counted.by_chance) == pytest.approx(counted.places.sum())


def test_a_magnitude_is_in_the_bin_whose_edges_hold_it(make_ticket: MakeTicket) -> None:
    ticket = make_ticket("mlp-64-32-32-10", density=0.1)
    values = np.abs(np.concatenate([stored.values for name, stored in ticket.stored.items() if name in ticket.mask]))
    (group,) = group_weights(ticket)
    expected, _ = np.histogram(values.astype(np.float64), EDGES)
    assert list(group.magnitudes) == list(expected)


def test_kernels_of_one_layer_by_hand(make_ticket: MakeTicket) -> None:
    ticket = make_ticket("vgg11-w2")
    name = "layers.0.conv.weight"
    first = group_weights(ticket)[0]
    kernels = ticket.mask[name].reshape(-1, 9)
    assert first.kernel == (3, 3)
    assert list(first.places.reshape(-1)) == list(kernels.sum(axis=0))
    assert list(first.occupied) == list(np.bincount(kernels.sum(axis=1), minlength=10))
