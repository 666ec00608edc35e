"""The learning rate at every step."""

from __future__ import annotations

import math

from ticketkit.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate that optimiser step ``step`` (from 0) uses.

    Linear warm-up ends at the peak; the schedule's own time runs from the start of training for ``step``, and from the
    end of the warm-up for ``cosine``, which reaches 0 just after the last step.
    """
    warmup_steps = round(recipe.warmup * steps_per_epoch)
    if step < warmup_steps:
        return recipe.lr * (step + 1) / warmup_steps
    if recipe.schedule == "step":
        passed = sum(step >= milestone * steps_per_epoch for milestone in recipe.milestones)
        return float(recipe.lr * recipe.gamma**passed)
    progress = (step - warmup_steps) / max(recipe.total_steps(steps_per_epoch) - warmup_steps, 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))
