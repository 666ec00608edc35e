"""Training: recipes as data, one masked training as a function."""

from ticketkit.train.batches import Batches, check_fits
from ticketkit.train.compute import Compute, choose_compute
from ticketkit.train.evaluate import accuracy_of, recalibrate
from ticketkit.train.loop import Progress, Trained, train
from ticketkit.train.recipe import Recipe, known_recipes, load_recipe, make_recipe, override_recipe

__all__ = [
    "Batches",
    "Compute",
    "Progress",
    "Recipe",
    "Trained",
    "accuracy_of",
    "check_fits",
    "choose_compute",
    "known_recipes",
    "load_recipe",
    "make_recipe",
    "override_recipe",
    "recalibrate",
    "train",
]
