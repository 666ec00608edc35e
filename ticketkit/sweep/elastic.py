"""Tickets for a study: stretched, and of exactly the number of weights that all other arms keep.

Stretching shifts the sparsity, since units differ in theirs, so a level of IMP on the source seldom gives a ticket of
the sparsity that is wanted. The paper lets it be a little off; here the source's last level prunes just as far as it
takes for the stretched ticket to have the wanted number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ticketkit.arch import ArchSpec
from ticketkit.encoding import DTYPES, Array, Bitmask
from ticketkit.errors import StretchError
from ticketkit.find import full_mask
from ticketkit.mask import Mask
from ticketkit.models.build import Tensors
from ticketkit.provenance import Provenance, Weights
from ticketkit.prune import magnitudes
from ticketkit.selection import drop_count, drop_lowest
from ticketkit.stretch import Adjustments, stretch_ticket
from ticketkit.sweep.study import PolicyChoice
from ticketkit.ticket import Ticket
from ticketkit.verify.bench import Bench


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Elastic:
    """A stretched ticket with what it was made from.

    Attributes:
        ticket: The stretched ticket.
        source: The ticket of the source network.
        dense: The source's dense network at the rewind step, stretched alike: the weights that the ticket lacks.
    """

    ticket: Ticket
    source: Ticket
    dense: Tensors


def elastic_ticket(bench: Bench, target: ArchSpec, policy: PolicyChoice, kept: int, *, seed: int) -> Elastic:
    """Find a ticket on a source network and stretch it to exactly ``kept`` weights of the target.

    The source's levels are trained as far as it takes, and kept in the bench's folder.

    Args:
        bench: IMP on the source network.
        target: The network to stretch to; other classes or input channels than the source's get new layers.
        policy: How to stretch.
        kept: Weights that the stretched ticket keeps.
        seed: Seed of whatever stretching draws.

    Raises:
        StretchError: If the policy does not turn the source into the target, or no level is sparse enough.
    """
    stretch = _stretcher(bench.arch, target, policy)
    level, last = 0, bench.level(0)
    dense = bench.rewind_ticket()
    plain = stretch(dense, Adjustments(seed=seed))
    uses = _uses(dense, plain)
    fixed = plain.kept - _count(dense.mask, uses)
    if fixed > kept:
        raise StretchError(
            f"a ticket of {target.name} must be able to keep {kept:,} weights "
            f"(the layers that are made anew have {fixed:,} of them)"
        )
    while True:
        following = drop_lowest(magnitudes(last.tensors, last.mask), last.mask, bench.rate)
        if fixed + _count(following, uses) <= kept:
            break
        if following.kept == last.kept:
            raise StretchError(
                f"a ticket of {target.name} must be able to keep {kept:,} weights "
                f"(IMP on {bench.arch.name} does not get below {fixed + _count(following, uses):,} of them)"
            )
        level += 1
        last = bench.level(level)
    mask = _pruned_until(last, uses, kept - fixed)
    source = Ticket.from_arrays(
        bench.arch,
        dense.tensors,
        mask,
        weights=dense.weights,
        provenance=replace(last.provenance, level=level + 1),
    )
    too_many = fixed + _count(mask, uses) - kept
    adjustments = Adjustments(
        random_copies=policy.random_copies,
        rescale=policy.rescale,
        sparsity=1 - kept / plain.total if too_many else None,
        seed=seed,
    )
    ticket = stretch(source, adjustments)
    return Elastic(ticket=ticket, source=source, dense=dict(plain.tensors))


def mapping_of(source: ArchSpec, target: ArchSpec, policy: PolicyChoice) -> str:
    """The whole mapping by which a policy turns one network into another, as a ticket's provenance records it.

    It stretches a ticket of zeros, so whatever keeps a ticket from being stretched shows before one is trained.

    Args:
        source: The network that tickets are found on.
        target: The network to stretch to.
        policy: How to stretch.

    Raises:
        ArchError, StretchError: If the policy does not turn the source into the target.
    """
    zeros = {entry.name: np.zeros(entry.tensor.shape, dtype=DTYPES[entry.tensor.dtype]) for entry in source.state()}
    ticket = Ticket.from_arrays(
        source,
        zeros,
        full_mask(source, source.prunable_names()),
        weights=Weights(role="init"),
        provenance=Provenance(method="none"),
    )
    adjustments = Adjustments(random_copies=policy.random_copies, rescale=policy.rescale)
    return _stretcher(source, target, policy)(ticket, adjustments).provenance.transformations[-1].mapping


def _stretcher(source: ArchSpec, target: ArchSpec, policy: PolicyChoice) -> Callable[[Ticket, Adjustments], Ticket]:
    """How a policy moves the units of a ticket of the source."""
    within = replace(target, num_classes=source.num_classes, in_channels=source.in_channels)

    def stretch(ticket: Ticket, adjustments: Adjustments) -> Ticket:
        return stretch_ticket(
            ticket,
            within,
            order=policy.order,
            units=policy.units,
            drop=policy.drop,
            mapping=policy.mapping,
            num_classes=target.num_classes,
            in_channels=target.in_channels,
            adjustments=adjustments,
        )

    return stretch


def _uses(source: Ticket, stretched: Ticket) -> dict[str, int]:
    """How many of the stretched ticket's tensors each masked tensor of the source becomes."""
    moved = [id(stored) for stored in stretched.stored.values()]
    return {name: moved.count(id(stored)) for name, stored in source.stored.items() if isinstance(stored, Bitmask)}


def _count(mask: Mask, uses: dict[str, int]) -> int:
    """Kept weights that a source's mask becomes."""
    return sum(int(np.count_nonzero(kept)) * uses[name] for name, kept in mask.items())


def _pruned_until(last: Ticket, uses: dict[str, int], least: int) -> Mask:
    """Prune the smallest weights of a level one by one, as long as at least so many remain once stretched."""
    scores: dict[str, Array] = magnitudes(last.tensors, last.mask)
    remaining = np.concatenate([scores[name][kept] for name, kept in last.mask.items()])
    worth = np.concatenate([np.full(np.count_nonzero(kept), uses[name]) for name, kept in last.mask.items()])
    lost = np.cumsum(worth[np.argsort(remaining, kind="stable")])
    return drop_count(scores, last.mask, int(np.searchsorted(lost, int(worth.sum()) - least, side="right")))
