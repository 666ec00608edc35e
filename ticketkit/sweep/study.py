"""A study as data: what is stretched to what, and what it is compared with. Read from TOML, without torch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ticketkit.errors import RecipeError, StudyError
from ticketkit.reading import did_you_mean, parse_toml, read_text, shown
from ticketkit.recipe import MOST_BYTES, Recipe, load_recipe, read_recipe
from ticketkit.report.comparison import TICKET

DEFAULT_POLICY: Final = "append"
ALL_ARMS: Final = "all"
MOST_SEEDS: Final = 1_000
"""The most seeds that a study may have, and entries of its other lists; a guard against a slip of the keyboard."""

MOST_CELLS: Final = 50_000
"""The most trainings that a study may have, as if no two tickets shared any."""

_LONGEST_NAME = 200
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice:
    """Which data set, as the options of the command line name it.

    Attributes:
        dataset: Its name.
        data_dir: Where it lies; a relative path starts at the folder that the command runs in.
        image_size: Side length that images of a folder are resized to.
        resize: What their shorter side is resized to before the centre of that side length is cut out.
        stream: Whether images of a folder are decoded for every epoch anew; None does so if they do not fit, or a
            recipe cuts boxes out of them.
        limit: Number of training images, spread evenly over the classes; None takes all.
        fraction: The same as a part of all, above 0 and at most 1.

    Raises:
        StudyError: If a number is out of its range, a name cannot be one of a folder, or ``limit`` and ``fraction`` are
            both given.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    image_size: int | None = None
    resize: int | None = None
    stream: bool | None = None
    limit: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "resize", "limit"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= _LARGEST:
                raise StudyError(f"{name} of data must be 1 or more (got {shown(value)})")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise StudyError(f"fraction of data must be above 0 and at most 1 (got {shown(self.fraction)})")
        if self.limit is not None and self.fraction is not None:
            raise StudyError(f"data must have a limit or a fraction (got both, {self.limit} and {self.fraction})")
        if self.data_dir is not None and (not self.data_dir or "\0" in self.data_dir):
            raise StudyError(f"data_dir of data must be the name of a folder (got {shown(self.data_dir)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A network on which IMP finds tickets to stretch.

    Attributes:
        arch: Its name.
        data: What it is found on; None for the study's own data.
        recipe: How it is trained; None for the study's own recipe.
    """

    arch: str
    data: DataChoice | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChoice:
    """How tickets are stretched; see ``ticketkit stretch`` for the fields.

    Attributes:
        name: What it is called in reports.
        order: The policy.
        units: The units that may be replicated; all if None.
        drop: The units to leave out when squeezing; as the order says if None.
        mapping: The whole mapping, instead of order, units and drop.
        random_copies: Whether the masks of copies are permuted.
        rescale: Whether the residual branches of replicated units are divided by their number of copies.

    Raises:
        StudyError: If there are units to replicate or drop beside a mapping, which says all, or the name cannot be
            shown.
    """

    name: str
    order: str = DEFAULT_POLICY
    units: tuple[int, ...] | None = None
    drop: tuple[int, ...] | None = None
    mapping: str | None = None
    random_copies: bool = False
    rescale: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= _LONGEST_NAME or not self.name.isprintable():
            raise StudyError(
                f"a policy's name must be 1 to {_LONGEST_NAME} printable characters (got {shown(self.name)})"
            )
        if self.mapping is not None and (self.units is not None or self.drop is not None):
            raise StudyError(
                f"policy {shown(self.name)} must have units and drop, or a mapping, which says all (got both)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A grid of comparisons.

    Attributes:
        title: What it shows.
        sources: The networks that tickets are found on.
        targets: Names of the networks that they are stretched to.
        sparsities: The sparsities that every arm is brought to exactly, in (0, 1).
        policies: The ways to stretch.
        arms: Names of the arms to train; ``all`` alone for every arm there is.
        seeds: One run of everything for each: finding, stretching, training; from 0 to 2⁵³ − 1, at most 1,000 of them.
        recipe: How all networks are trained.
        data: What they are trained on; streamed where the recipe cuts boxes out of images.
        reference: The arm that the elastic hypothesis compares tickets with.
        margin: How far below it they may be, in points of accuracy.
        rate: Fraction of the remaining weights that IMP prunes at each level, in (0, 1).
        start: Where in the schedule arms start; see ``ticketkit verify --start``.
        dst_multiplier: How many times longer dynamic sparse training takes.
        connect: Arms whose linear mode connectivity is measured.
        points: At how many points of the line.

    Raises:
        StudyError: If a field is out of its range, or a list names something twice.
    """

    title: str
    sources: tuple[Source, ...]
    targets: tuple[str, ...]
    sparsities: tuple[float, ...]
    recipe: Recipe
    policies: tuple[PolicyChoice, ...] = (PolicyChoice(name=DEFAULT_POLICY),)
    arms: tuple[str, ...] = ("ticket", "dense", "imp", "random", "reinit")
    seeds: tuple[int, ...] = (0, 1, 2)
    data: DataChoice = field(default_factory=DataChoice)
    reference: str = "imp"
    margin: float = 0.5
    rate: float = 0.2
    start: Literal["rewind", "0"] = "rewind"
    dst_multiplier: int = 5
    connect: tuple[str, ...] = ()
    points: int = 30

    def __post_init__(self) -> None:
        lists: dict[str, Sequence[object]] = {
            "sources": self.sources,
            "targets": self.targets,
            "sparsities": self.sparsities,
            "policies": [policy.name for policy in self.policies],
            "arms": self.arms,
            "seeds": self.seeds,
            "connect": self.connect,
        }
        for name, values in lists.items():
            if not values and name not in {"arms", "connect"}:
                raise StudyError(f"{name} must be one or more (got none)")
            if len(values) > MOST_SEEDS:
                raise StudyError(f"{name} must be at most {MOST_SEEDS:,} (got {len(values):,})")
            for place, value in enumerate(values):
                if value in values[:place]:
                    twice = value.arch if isinstance(value, Source) else value
                    raise StudyError(f"{name} must be named once each (got {shown(twice)} twice)")
        if not self.arms and not self.connect:
            raise StudyError("arms must name at least one, or connect must (got none)")
        if self.arms and not {TICKET, ALL_ARMS} & {*self.arms}:
            raise StudyError(f"arms must name the {TICKET}, which a comparison is of (got {shown(self.arms)})")
        rules = {
            "title": (
                0 < len(self.title) <= _LONGEST_NAME and self.title.isprintable(),
                f"1 to {_LONGEST_NAME} printable characters",
            ),
            "sparsities": (all(0 < sparsity < 1 for sparsity in self.sparsities), "above 0 and below 1"),
            "seeds": (all(0 <= seed < 2**53 for seed in self.seeds), "from 0 to 2**53 - 1"),
            "margin": (0 <= self.margin <= 100, "from 0 to 100 points"),  # noqa: PLR2004
            "rate": (0 < self.rate < 1, "above 0 and below 1"),
            "dst_multiplier": (1 <= self.dst_multiplier <= 1_000, "from 1 to 1,000"),  # noqa: PLR2004
            "points": (2 <= self.points <= 10_000, "from 2 to 10,000"),  # noqa: PLR2004
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise StudyError(f"{name} must be {rule} (got {shown(getattr(self, name))})")
        factors = {name: len(values) for name, values in lists.items() if name not in {"arms", "connect"}}
        factors["arms"] = len(self.arms) + len(self.connect)
        if (cells := math.prod(factors.values())) > MOST_CELLS:
            product = " x ".join(f"{count:,} {name}" for name, count in factors.items())
            raise StudyError(f"a study must have at most {MOST_CELLS:,} trainings (got {cells:,}: {product})")
        object.__setattr__(self, "data", _for_recipe(self.data, self.recipe))

    def data_of(self, source: Source) -> DataChoice:
        """The data that tickets of a source are found on."""
        return _for_recipe(source.data or self.data, self.recipe_of(source))

    def recipe_of(self, source: Source) -> Recipe:
        """How a source is trained."""
        return source.recipe or self.recipe


def _for_recipe(data: DataChoice, recipe: Recipe) -> DataChoice:
    """The same data, streamed if the recipe needs the images' files."""
    return replace(data, stream=True) if recipe.resized_crop and data.stream is None else data


def load_study(path: str | os.PathLike[str]) -> Study:
    """Read a study from a TOML file; ``formats/study-v1.md`` describes it.

    Args:
        path: The file.

    Raises:
        StudyError: If it cannot be read, or breaks a rule of its fields.
        RecipeError: If a recipe does.
    """
    try:
        values = parse_toml(read_text(path, most=MOST_BYTES))
    except OSError as error:
        raise StudyError(f"a study must be a readable file ({error.strerror}): {path}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise StudyError(f"a study must be TOML ({error}): {path}") from None
    values.setdefault("title", Path(path).stem)
    try:
        return _study(values, Path(path).stem)
    except msgspec.ValidationError as error:
        raise StudyError(f"a study must follow the rules of its fields: {error}: {path}") from None
    except (StudyError, RecipeError) as error:
        raise type(error)(f"{error}: {path}") from None


def change_study(
    study: Study,
    *,
    data_dir: str | None = None,
    limit: int | None = None,
    fraction: float | None = None,
    seeds: int | None = None,
) -> Study:
    """Replace what differs from one machine to the next.

    Args:
        study: The study.
        data_dir: Where its own data lie.
        limit: Number of training images.
        fraction: The same as a part of all.
        seeds: How many seeds, from 0.

    Raises:
        StudyError: If a number is out of its range.
    """
    data = replace(study.data, data_dir=study.data.data_dir if data_dir is None else data_dir)
    if limit is not None or fraction is not None:
        data = replace(data, limit=limit, fraction=fraction)
    return replace(study, data=data, seeds=study.seeds if seeds is None else tuple(_first(seeds)))


def _study(values: dict[str, Any], stem: str) -> Study:
    """Spell out what a file may abbreviate, then check types."""
    known = set(Study.__dataclass_fields__)
    for name in values:
        if name not in known:
            listed = f"{', '.join(sorted(known))} (got {shown(name)}{did_you_mean(name, known)})"
            raise StudyError(f"fields of a study must be among {listed}")
    spelt = dict(values)
    spelt["recipe"] = _recipe(values.get("recipe", "quick"), stem)
    spelt["sources"] = [_source(source, stem) for source in _list(values, "sources")]
    if "policies" in values:
        spelt["policies"] = [_policy(policy) for policy in _list(values, "policies")]
    if "data" in values:
        spelt["data"] = _data(values["data"])
    if isinstance(number := values.get("seeds"), int) and not isinstance(number, bool):
        spelt["seeds"] = list(_first(number))
    if isinstance(values.get("arms"), str):
        spelt["arms"] = [values["arms"]]
    return msgspec.convert(msgspec.to_builtins(spelt), Study)


def _first(seeds: int) -> range:
    if not 1 <= seeds <= MOST_SEEDS:
        raise StudyError(f"the number of seeds must be from 1 to {MOST_SEEDS:,} (got {shown(seeds)})")
    return range(seeds)


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    found = values.get(name, [])
    if not isinstance(found, list):
        raise StudyError(f"{name} must be a list (got {shown(found)})")
    return found


def _source(value: Any, stem: str) -> Any:
    if isinstance(value, str):
        return {"arch": value}
    if isinstance(value, dict):
        spelt = dict(value)
        if "data" in spelt:
            spelt["data"] = _data(spelt["data"])
        if "recipe" in spelt:
            spelt["recipe"] = _recipe(spelt["recipe"], stem)
        return _known(spelt, Source)
    return value


def _data(value: Any) -> Any:
    if isinstance(value, str):
        return {"dataset": value}
    return _known(value, DataChoice) if isinstance(value, dict) else value


def _policy(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value, "order": value}
    return _known(value, PolicyChoice) if isinstance(value, dict) else value


_NAMES: dict[type, str] = {Source: "a source", PolicyChoice: "a policy", DataChoice: "data"}


def _known(values: dict[str, Any], kind: type[Source | PolicyChoice | DataChoice]) -> dict[str, Any]:
    known = list(kind.__dataclass_fields__)
    for name in values:
        if name not in known:
            listed = f"{', '.join(known)} (got {shown(name)}{did_you_mean(name, known)})"
            raise StudyError(f"fields of {_NAMES[kind]} must be among {listed}")
    return values


def _recipe(value: Any, stem: str) -> Recipe:
    if isinstance(value, str):
        return load_recipe(value)
    if isinstance(value, dict):
        return read_recipe(value, name=stem)
    raise StudyError(f"recipe must be a name or a table of fields (got {shown(value)})")
