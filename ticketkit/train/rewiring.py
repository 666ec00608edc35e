"""Dynamic sparse training: now and then the smallest weights of each layer go, and as many others come.

SET (Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity", 2018) lets
random ones come, RigL (Evci et al., "Rigging the Lottery: Making All Tickets Winners", 2020, algorithm 1) those with
the largest gradients. Schedule and defaults are RigL's for both: section 3 and, for CIFAR-10, section 4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from ticketkit.errors import RecipeError
from ticketkit.train.flat import FlatParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewiring:
    """When and how connections are exchanged.

    Attributes:
        grow: Which pruned weights come back: those with the largest gradient, or random ones.
        drop: Fraction of each layer's kept weights that is exchanged at first, in (0, 1); it falls to 0 as a cosine.
        interval: Steps from one exchange to the next.
        end: Fraction of the training after which nothing is exchanged any more, in (0, 1].
        seed: Seed of random growth.

    Raises:
        RecipeError: If a field is out of its range.
    """

    grow: Literal["gradient", "random"]
    drop: float = 0.3
    interval: int = 100
    end: float = 0.75
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.drop < 1 or not 0 < self.end <= 1 or self.interval < 1:
            raise RecipeError(
                "rewiring must have drop in (0, 1), end in (0, 1] and an interval of 1 step or more "
                f"(got {self.drop}, {self.end} and {self.interval})"
            )

    def is_due(self, step: int, total: int) -> bool:
        """Whether a step of a training of ``total`` exchanges connections instead of updating weights."""
        return 0 < step < self.end * total and step % self.interval == 0

    def count(self, total: int) -> int:
        """Number of exchanges in a training of ``total`` steps."""
        return sum(self.is_due(step, total) for step in range(0, total, self.interval))

    def fraction(self, step: int, total: int) -> float:
        """Fraction of each layer's kept weights that a step exchanges."""
        return self.drop / 2 * (1 + math.cos(math.pi * step / (self.end * total)))


def rewire(
    flat: FlatParameters,
    optimiser: torch.optim.Optimizer,
    rewiring: Rewiring,
    step: int,
    total: int,
) -> None:
    """Exchange connections once, each layer's count staying as it is.

    To be called between the backward pass and the masking of gradients, which growing by gradient needs whole. A weight
    that comes is zero and without momentum; one that is dropped and chosen again at once stays as it was.

    Args:
        flat: The network.
        optimiser: Its optimiser, whose momentum of exchanged weights is cleared.
        rewiring: What to do.
        step: The step of the training.
        total: Steps of the whole training.
    """
    generator = torch.Generator().manual_seed(rewiring.seed + step)  # on the CPU, so that every device grows the same
    values, before = flat.values.detach(), flat.mask.clone()
    for part, kept in flat.masked.values():
        count = int(rewiring.fraction(step, total) * kept)
        mask = flat.mask[part]
        magnitude = torch.where(mask == 1, values[part].abs(), math.inf)
        mask[magnitude.topk(count, largest=False).indices] = 0
        if rewiring.grow == "gradient":
            score = flat.gradients[part].abs()
        else:
            score = torch.rand(mask.shape, generator=generator).to(mask.device)
        mask[torch.where(mask == 1, -math.inf, score).topk(count).indices] = 1
    changed = before * flat.mask == 0
    values.masked_fill_(changed, 0)  # not multiplied: a negative weight would become -0
    momentum = optimiser.state[flat.values].get("momentum_buffer")
    if momentum is not None:
        momentum.masked_fill_(changed, 0)
