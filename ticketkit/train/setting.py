"""The network and the schedule's start of a training, and what several trainings have in common."""

from __future__ import annotations

from typing import Any, Literal

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.data import ImageData
from ticketkit.errors import RecipeError
from ticketkit.recipe import Recipe
from ticketkit.ticket import Ticket
from ticketkit.train.compute import Compute

StartAt = Literal["rewind", "0"]


def network_for(name: str, data: ImageData) -> ArchSpec:
    """A network by its name, with the classes and input channels of a data set.

    Raises:
        ArchError: If there is no such network.
    """
    first = parse_arch(name, num_classes=data.num_classes, in_channels=data.shape[0])
    channels = FAMILIES[first.family].image_channels(data.shape)
    return parse_arch(name, num_classes=data.num_classes, in_channels=channels)


def first_step_of(ticket: Ticket, recipe: Recipe, steps_per_epoch: int, start: StartAt) -> int:
    """The step of the schedule that a ticket's training starts at.

    Args:
        ticket: The ticket.
        recipe: How it is to be trained.
        steps_per_epoch: Optimiser steps of an epoch.
        start: At the step that the ticket's weights were taken at, or at 0.

    Raises:
        RecipeError: If the weights are not of a step before the end of training.
    """
    if start == "0":
        return 0
    if ticket.weights.role == "final":
        raise RecipeError("a ticket of final weights must be trained with start 0 (it has no rewind step)")
    step = ticket.weights.step or 0
    total = recipe.total_steps(steps_per_epoch)
    if step >= total:
        raise RecipeError(
            f"the ticket's rewind step must lie before the end of training, {total:,} steps (got {step:,}); "
            "start at 0 or train longer"
        )
    return step


def describe_setting(data: ImageData, recipe: Recipe, compute: Compute, *, parallel: int = 1) -> dict[str, Any]:
    """What all trainings of a comparison have in common, as reports hold it: data, recipe, environment.

    Args:
        data: The images.
        recipe: How they are trained on.
        compute: Where and how.
        parallel: How many trainings ran at once, on which times depend; told where there were several.
    """
    return {
        "dataset": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "train": len(data.train_labels),
            "test": len(data.test_labels),
        },
        "recipe": recipe.to_dict(),
        "environment": compute.describe() | ({"parallel": parallel} if parallel > 1 else {}),
    }
