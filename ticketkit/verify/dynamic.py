"""Arms of dynamic sparse training: their mask changes as they train, for several times as long as the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ticketkit.models import initialise
from ticketkit.prune import CRITERIA, Subject
from ticketkit.recipe import Recipe
from ticketkit.seeds import derive_seed
from ticketkit.train.rewiring import Rewiring
from ticketkit.verify.arm import Context, Start


def dynamic_start(context: Context, grow: Literal["gradient", "random"]) -> Start:
    """Start from scratch, as the methods do: fresh weights, a random mask, the whole schedule.

    The count is the ticket's, the layers' densities Erdős–Rényi-kernel (Evci et al., 2020, section 3), which the
    methods keep as they are while they exchange connections inside each layer.
    """
    fresh = initialise(context.target.arch, context.seed)
    subject = Subject(
        arch=context.target.arch,
        tensors=fresh,
        mask=context.target.full_mask(),
        batches=lambda: (),
        device=context.compute.device,
        seed=context.seed,
    )
    return Start(
        tensors=fresh,
        mask=CRITERIA["erk"](subject, context.target.kept),
        recipe=lengthened(context.batches.recipe, context.dst_multiplier),
        first_step=0,
        rewiring=Rewiring(grow=grow, seed=derive_seed(context.seed, "growth")),
    )


def lengthened(recipe: Recipe, times: int) -> Recipe:
    """A recipe that takes several times as long, with everything in its schedule as many times later."""
    return replace(
        recipe,
        epochs=recipe.epochs * times,
        milestones=tuple(milestone * times for milestone in recipe.milestones),
        warmup=recipe.warmup * times,
    )
