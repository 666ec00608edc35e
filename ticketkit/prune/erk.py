"""ERK: random weights, spread over the layers by their shapes (Mocanu et al., 2018; Evci et al., 2020).

The Erdős–Rényi-kernel rule gives each layer a density in proportion to

    (n_in + n_out + k_h + k_w) / (n_in · n_out · k_h · k_w),

which for a linear layer is (n_in + n_out) / (n_in · n_out): small layers stay denser than large ones. A layer that
would exceed density 1 is left dense and the others share the rest, until none exceeds it. The rule for linear layers is
from "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science"
(SET), Nature Communications 2018; the kernel's sides were added in "Rigging the lottery: making all tickets winners"
(RigL), ICML 2020, section 3. A depthwise convolution has n_in = 1, as its tensor does.

So the number of weights that a layer keeps, density times size, is in proportion to the *sum* of its tensor's sides.
ElasticLTH's code has no such criterion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ticketkit.errors import MaskError
from ticketkit.mask import BoolArray, Mask
from ticketkit.prune.criterion import CRITERIA, Subject
from ticketkit.seeds import derive_seed


def erk_counts(
    shapes: Mapping[str, tuple[int, ...]], kept: int, *, available: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Divide a number of weights to keep among layers by the Erdős–Rényi-kernel rule.

    Fractions become whole numbers by largest remainders, of equal ones the earlier layer's first, in exact arithmetic.

    Args:
        shapes: Shape of each layer's weight, by name: (n_out, n_in) or (n_out, n_in, k_h, k_w).
        kept: How many weights to keep in all, from 0 to the number available.
        available: How many weights each layer has; by default, as many as its shape holds.

    Returns:
        How many weights each layer keeps, in the order of ``shapes``; they add up to ``kept``.

    Raises:
        MaskError: If ``kept`` is out of its range.
    """
    limits = {name: math.prod(shape) for name, shape in shapes.items()} if available is None else available
    total = sum(limits[name] for name in shapes)
    if not 0 <= kept <= total:
        raise MaskError(f"the number of weights to keep must be from 0 to the {total:,} available (got {kept:,})")
    counts = {}
    shares = {name: sum(shape) for name, shape in shapes.items()}
    left = kept
    while full := [name for name, share in shares.items() if left * share >= limits[name] * sum(shares.values())]:
        for name in full:  # what each of the others gets only grows by this, so a full layer stays full
            counts[name] = limits[name]
            left -= limits[name]
            del shares[name]
    whole = sum(shares.values())
    remainders = {}
    for name, share in shares.items():
        counts[name], remainders[name] = divmod(left * share, whole)
    for name in sorted(remainders, key=lambda name: -remainders[name])[: kept - sum(counts.values())]:
        counts[name] += 1
    return {name: counts[name] for name in shapes}


def prune(subject: Subject, kept: int) -> Mask:
    """Keep as many weights of each layer as the rule says, at places drawn uniformly among those that remain.

    The draw follows from ``subject.seed`` and the tensor's name. Where the subject's mask has left a layer fewer
    weights than the rule gives it, it keeps all of them, and the other layers share the rest.

    Raises:
        MaskError: If ``kept`` is out of its range.
    """
    masks = subject.mask
    shapes = {name: mask.shape for name, mask in masks.items()}
    available = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    counts = erk_counts(shapes, kept, available=available)
    seeds = {name: derive_seed(subject.seed, "mask", name) for name in masks}
    return Mask({name: _draw(mask, counts[name], seeds[name]) for name, mask in masks.items()})


def _draw(mask: BoolArray, count: int, seed: int) -> BoolArray:
    drawn = np.zeros(mask.size, dtype=np.bool_)
    drawn[np.random.default_rng(seed).choice(np.flatnonzero(mask), count, replace=False)] = True
    return drawn.reshape(mask.shape)


CRITERIA.register("erk", prune)
