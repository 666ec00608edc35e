"""Recipes: how a network is trained, as data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from ticketkit.errors import RecipeError
from ticketkit.reading import did_you_mean, parse_toml, read_text, shown

MOST_BYTES = 2**18
"""The longest file that is read as a recipe or a study; a page of text has a few thousand bytes."""

_MOST_EPOCHS = 100_000
_LONGEST_NAME = 200
_LONGEST_PLACE = 400
"""Characters of a file's name that a message shows."""
_REWIND = re.compile(r"([0-9]{1,9})(it|ep)")

_WRONG_TYPE = re.compile(r"(?:Expected|Invalid enum value) .* - at `\$\.(\w+)[^`]*`$", re.DOTALL)
"""What msgspec says of a value of another type."""

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "tuple[int, ...]": "a list of whole numbers",
    "Literal['step', 'cosine']": "'step' or 'cosine'",
}
"""The types of a recipe's fields, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network is trained: stochastic gradient descent, a schedule, augmentation.

    Attributes:
        name: What it is called in reports, up to 200 characters.
        epochs: Length of a whole training, from step 0; from 1 to 100,000.
        batch: Images a step; the images left over at the end of an epoch wait for another one. From 2 to 2²⁰.
        lr: Peak learning rate, above 0.
        momentum: In [0, 1).
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Added to every gradient as a multiple of its weight, normalisation included.
        schedule: ``step`` multiplies the rate by ``gamma`` at each milestone, ``cosine`` lets it fall to 0.
        milestones: Epochs at which ``step`` lowers the rate, increasing, from 0 to 100,000.
        gamma: The factor of ``step``, in (0, 1].
        warmup: Epochs of linear increase to the peak; may be a fraction.
        rewind: The step whose weights tickets are rewound to: ``1000it`` (optimiser steps) or ``2ep`` (epochs).
        crop: Random shifts by up to this many pixels, into black; 0 for none.
        flip: Whether half the images are mirrored.
        resized_crop: The least area, as a fraction of the image's, of a random box that is cut out and resized, in
            (0, 1], as torchvision's RandomResizedCrop does it, its aspect ratio from 3/4 to 4/3; 0 for none. It takes
            images that are streamed from a folder, and no ``crop``.
        label_smoothing: In [0, 1).

    Raises:
        RecipeError: If a field is out of its range.

    Examples:
        >>> recipe = ticketkit.Recipe(name="short", epochs=4, batch=64, lr=0.1, rewind="1ep")
        >>> recipe.momentum
        0.9
    """

    name: str
    epochs: int
    batch: int
    lr: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "cosine"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0
    rewind: str = "0it"
    crop: int = 0
    flip: bool = False
    resized_crop: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        rules: dict[str, tuple[bool, str]] = {
            "name": (0 < len(self.name) <= _LONGEST_NAME and self.name.isprintable(), "1 to 200 printable characters"),
            "epochs": (1 <= self.epochs <= _MOST_EPOCHS, "from 1 to 100,000"),
            "batch": (2 <= self.batch <= 2**20, "from 2 (normalisation needs two images) to 2**20"),
            "lr": (0 < self.lr < 1e6, "above 0 and below a million"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "weight_decay": (0 <= self.weight_decay < 1e6, "from 0, and below a million"),
            "milestones": (
                list(self.milestones) == sorted(set(self.milestones))
                and all(0 <= epoch <= _MOST_EPOCHS for epoch in self.milestones),
                "increasing, from 0 to 100,000",
            ),
            "gamma": (0 < self.gamma <= 1, "in (0, 1]"),
            "warmup": (0 <= self.warmup <= self.epochs, f"from 0 to the {shown(self.epochs)} epochs"),
            "rewind": (_REWIND.fullmatch(self.rewind) is not None, "a number and 'it' or 'ep', such as 1000it or 2ep"),
            "resized_crop": (0 <= self.resized_crop <= 1, "from 0 (none) to 1"),
            "crop": (
                0 <= self.crop <= (0 if self.resized_crop else 1_000),
                "0 beside resized_crop" if self.resized_crop else "from 0 to 1,000 pixels",
            ),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
        }
        for field, (holds, rule) in rules.items():
            if not holds:
                got = shown(getattr(self, field))
                raise RecipeError(f"{field} of recipe {shown(self.name)} must be {rule} (got {got})")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Length of a whole training in optimiser steps."""
        return self.epochs * steps_per_epoch

    def rewind_step(self, steps_per_epoch: int) -> int:
        """The step that tickets are rewound to, in optimiser steps.

        Raises:
            RecipeError: If it is not before the end of the training.
        """
        match = _REWIND.fullmatch(self.rewind)
        if match is None:  # __post_init__ has refused it
            raise RecipeError(f"rewind of recipe {self.name!r} must be a step (got {self.rewind!r})")
        step = int(match[1]) * (steps_per_epoch if match[2] == "ep" else 1)
        total = self.total_steps(steps_per_epoch)
        if step >= total:
            raise RecipeError(
                f"rewind of recipe {self.name!r} must lie before the end of training, {total:,} steps "
                f"(got {self.rewind})"
            )
        return step

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, every field spelt out, but no ``resized_crop`` where it is 0.

        So a recipe that has none is what it was before there was this field: tickets, and the files of studies that
        are named after their recipes, stay the same.
        """
        plain: dict[str, Any] = msgspec.to_builtins(self)
        if not self.resized_crop:
            del plain["resized_crop"]
        return plain


def known_recipes() -> list[str]:
    """Names of the recipes that come with ticketkit."""
    files = resources.files("ticketkit.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_recipe(name: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Load a recipe by name or from a TOML file, and override single fields.

    A file may say ``base = "quick"`` and give only the fields that differ.

    Args:
        name: One of :func:`~ticketkit.recipe.known_recipes`, or a path that ends in ``.toml``.
        overrides: ``field=value`` each, the value as TOML writes it; strings need no quotes.

    Raises:
        RecipeError: If there is no such recipe, or a field is unknown or out of its range.

    Examples:
        >>> recipe = ticketkit.load_recipe("quick", ["epochs=8", "lr=0.05"])
        >>> recipe.epochs, recipe.batch, recipe.lr
        (8, 64, 0.05)
    """
    values = _read_file(Path(name)) if str(name).endswith(".toml") else _read_known(str(name))
    return override_recipe(values, overrides, where=str(name))


def read_recipe(values: Mapping[str, Any], name: str) -> Recipe:
    """Make a recipe of the content of a TOML table, in which ``base`` may name a known one, as in a file of one."""
    return make_recipe(_with_base(values, name), name)


def override_recipe(values: Mapping[str, Any], overrides: Iterable[str], where: str) -> Recipe:
    """Make a recipe of plain values, some fields replaced; see :func:`load_recipe` and :func:`make_recipe`."""
    changed = dict(values)
    for override in overrides:
        field, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"an override must read field=value (got {shown(override)})")
        changed[field.strip()] = _toml_value(text.strip())
    return make_recipe(changed, where)


def make_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Make a recipe of plain values, as a TOML file or a ticket's provenance holds them.

    Raises:
        RecipeError: If a field is unknown, missing, of the wrong type or out of its range.
    """
    known = [field.name for field in fields(Recipe)]
    for field in values:
        if field not in known:
            listed = f"{', '.join(known)} (got {shown(field)}{did_you_mean(field, known)})"
            raise RecipeError(f"fields of recipe {shown(where, _LONGEST_PLACE)} must be among {listed}")
    try:
        return msgspec.convert(dict(values), Recipe)
    except msgspec.ValidationError as error:
        raise RecipeError(_problem(error, values, where)) from None


def _problem(error: msgspec.ValidationError, values: Mapping[str, Any], where: str) -> str:
    """What is wrong with plain values, in our own words where there are any; a file is named at the end."""
    file = f": {where}" if where.endswith(".toml") else ""
    if isinstance(error.__cause__, RecipeError):  # a field that is out of its range
        return f"{error.__cause__}{file}"
    match = _WRONG_TYPE.match(str(error))
    kinds = {field.name: _KINDS.get(str(field.type)) for field in fields(Recipe)}
    if match is None or (kind := kinds.get(match[1])) is None:
        return f"recipe {shown(where, _LONGEST_PLACE)} must follow the rules of its fields: {error}"
    name = values["name"] if isinstance(values.get("name"), str) else where
    return f"{match[1]} of recipe {shown(name)} must be {kind} (got {shown(values[match[1]])}){file}"


def _read_known(name: str) -> dict[str, Any]:
    known = known_recipes()
    if name not in known:
        got = f"{shown(name)}{did_you_mean(name, known)}"
        raise RecipeError(f"a recipe must be one of {', '.join(known)} or a .toml file (got {got})")
    file = resources.files("ticketkit.recipes") / f"{name}.toml"
    return {"name": name, **parse_toml(file.read_text(encoding="utf-8"))}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = parse_toml(read_text(path, most=MOST_BYTES))
    except OSError as error:
        raise RecipeError(f"a recipe must be a readable file ({error.strerror}): {path}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise RecipeError(f"a recipe must be TOML ({error}): {path}") from None
    try:
        return _with_base(values, path.stem)
    except RecipeError as error:
        raise RecipeError(f"{error}: {path}") from None


def _with_base(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    own = dict(values)
    base = own.pop("base", None)
    if base is None:
        return {"name": name, **own}
    if not isinstance(base, str):
        raise RecipeError(f"base of recipe {shown(name)} must be a recipe's name (got {shown(base)})")
    return {**_read_known(base), "name": name, **own}


def _toml_value(text: str) -> Any:
    """The value that a text means in TOML; the text itself where it means none."""
    try:
        found = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return found["value"] if len(found) == 1 else text  # a second line would be another field
