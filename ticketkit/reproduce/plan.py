"""What is to be done to make a ticket again: it follows from the ticket alone.

A ticket's provenance holds everything that its bytes follow from but the data, of which it holds the name and the
fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from ticketkit.data import ImageData
from ticketkit.data.naming import DataName, Limit, parse_data_name
from ticketkit.encoding import Bitmask
from ticketkit.errors import DataError, RunError
from ticketkit.find import DEFAULT_TOLERANCE, METHODS, Rewinding, full_mask
from ticketkit.provenance import DatasetInfo, Transformation
from ticketkit.recipe import Recipe, make_recipe
from ticketkit.stretch.adjust import Adjustments
from ticketkit.ticket import Ticket
from ticketkit.train.compute import Precision
from ticketkit.train.setting import network_for

T = TypeVar("T")

MOST_LEVELS = 1_000
"""No search has more; a file that says so is mistaken, or means harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a transformation did beyond moving units, as provenance records it.

    Attributes:
        num_classes: Outputs of the target, where the output layer was made anew.
        in_channels: Input channels of the target, where the input layer was made anew.
        adjustments: What was done to the ticket as it was stretched.
    """

    num_classes: Annotated[int, Meta(ge=1)] | None = None
    in_channels: Annotated[int, Meta(ge=1)] | None = None
    adjustments: Adjustments = field(default_factory=Adjustments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and how a ticket was computed, as far as that can be asked for again.

    Attributes:
        device: ``cpu`` or ``cuda``; ``auto`` where the ticket does not say.
        precision: Of convolutions and linear layers; None where it does not say.
        threads: Threads of the CPU; None where they are of no consequence.
        compiled: Whether operators were fused.
        deterministic: Whether CUDA computed with deterministic algorithms alone.
        ranks: How many ranks found it together.
    """

    device: str = "auto"
    precision: Precision | None = None
    threads: Annotated[int, Meta(ge=1, le=4096)] | None = None
    compiled: bool = False
    deterministic: bool = False
    ranks: Annotated[int, Meta(ge=1)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What is to be done to make a ticket again.

    Attributes:
        network: Full name of the network that it was found on.
        dataset: The data that it was found on.
        recipe: How it was trained.
        rewinding: What was rewound after each level.
        level: Its level, from 0.
        rate: Fraction of the remaining weights that each level pruned.
        seed: The run's seed.
        tolerance: How far below the dense network a winning level may be. A ticket that was stretched does not say it,
            and no weight depends on it: then it is the default.
        prunable: The tensors that were pruned; None for those that the family and ``prune_head`` say.
        prune_head: Whether the output layer's weight was among them.
        sparsity: Sparsity of the ticket as it was found, in [0, 1].
        is_final: Whether it holds the weights of the end of training.
        transformations: What was done to it since, oldest first, and with which settings.
        recorded: What it says that it was computed with, word for word.
    """

    network: str
    dataset: DatasetInfo
    recipe: Recipe
    rewinding: Rewinding
    level: int
    rate: float
    seed: int
    tolerance: float
    prunable: tuple[str, ...] | None
    prune_head: bool
    sparsity: float
    is_final: bool
    transformations: tuple[tuple[Transformation, Settings], ...]
    recorded: Mapping[str, Any]

    @property
    def data_name(self) -> DataName:
        """What the name of the data set says: which of its images, and of what size."""
        return parse_data_name(self.dataset.name)

    @property
    def loader(self) -> str:
        """The name that the data set is registered under ("cifar10", "folder")."""
        return self.data_name.loader

    @property
    def limits(self) -> tuple[Limit, ...]:
        """How the data set was limited, the first limit first."""
        return self.data_name.limits

    @property
    def environment(self) -> Environment:
        """The same as settings.

        Raises:
            RunError: If one of them is none.
        """
        found = {name: value for name, value in self.recorded.items() if name in _names(Environment)}
        if "device" in found:
            found["device"] = "cpu" if found["device"] == "cpu" else "cuda"
        return _converted(found, Environment, "environment")

    def check(self, data: ImageData) -> None:
        """Check that these are the data, and that levels of this rate prune as much as the ticket says.

        Raises:
            DataError: If they are other data.
            RunError: If the ticket was pruned otherwise, as a study's tickets are.
            ArchError, MaskError: If there is no such network, or it has no such tensors.
        """
        if data.fingerprint != self.dataset.fingerprint:
            raise DataError(
                f"data must be those that the ticket was found on, {self.dataset.name!r} of {self.dataset.fingerprint} "
                f"(got {data.fingerprint}; another folder, image size or edition): {data.name}"
            )
        arch = network_for(self.network, data)
        names = arch.prunable_names(prune_head=self.prune_head) if self.prunable is None else self.prunable
        total = kept = full_mask(arch, names).total
        for _ in range(self.level):
            kept -= round(self.rate * kept)
        if (found := round((1 - self.sparsity) * total)) != kept:
            raise RunError(
                f"a ticket of level {self.level} must keep {kept:,} of {total:,} weights to be reproduced "
                f"(got {found:,}: a study's last level prunes as much as its targets want, which no file says)"
            )


def plan_reproduction(ticket: Ticket) -> Reproduction:
    """Read from a ticket what is to be done to make it again.

    Raises:
        RunError: If it does not say enough, or was made in a way that cannot be repeated.
        RecipeError: If its recipe is none.
    """
    provenance, results = ticket.provenance, ticket.results
    recorded = provenance.environment or {}
    rewinding = next((way for way, method in METHODS.items() if method == provenance.method), None)
    if rewinding is None:
        known = " or ".join(METHODS.values())
        raise RunError(f"a ticket must have been found by {known} to be reproduced (got {provenance.method!r})")
    dataset, recipe, seed = provenance.dataset, provenance.recipe, provenance.seed
    level, rate = provenance.level, provenance.rate
    if dataset is None or recipe is None or seed is None or level is None or rate is None:
        needed = {"dataset": dataset, "recipe": recipe, "seed": seed, "level": level, "rate": rate}
        missing = ", ".join(name for name, value in needed.items() if value is None)
        imported = "; it was imported" if "imported_from" in recorded else ""
        raise RunError(f"a ticket must say how it was found to be reproduced (it lacks {missing}{imported})")
    if level > MOST_LEVELS:
        raise RunError(f"a ticket to be reproduced must be of one of {MOST_LEVELS:,} levels (got {level:,})")
    done = provenance.transformations
    masked = tuple(name for name, stored in ticket.stored.items() if isinstance(stored, Bitmask))
    prune_head = masked == ticket.arch.prunable_names(prune_head=True)
    by_rule = masked == ticket.arch.prunable_names(prune_head=prune_head)
    if done and not by_rule:
        raise RunError(
            "a stretched ticket must be masked as a rule of its family says to be reproduced "
            f"(its {len(masked)} tensors follow none, so those of {done[0].source} are not known)"
        )
    return Reproduction(
        network=done[0].source if done else ticket.arch.name,
        dataset=dataset,
        recipe=make_recipe(recipe, "of the ticket"),
        rewinding=rewinding,
        level=level,
        rate=rate,
        seed=seed,
        tolerance=DEFAULT_TOLERANCE if results is None or results.tolerance is None else results.tolerance,
        prunable=None if by_rule else masked,
        prune_head=prune_head,
        sparsity=done[0].sparsity_before if done else ticket.sparsity,
        is_final=ticket.weights.role == "final",
        transformations=tuple((one, _settings_of(one)) for one in done),
        # Of a ticket that was not transformed, the tool that wrote it is the one that found it.
        recorded=recorded if done else {"ticketkit": provenance.tool.version, **recorded},
    )


def _settings_of(done: Transformation) -> Settings:
    if done.kind != "stretch":
        raise RunError(f"a transformation must be a stretch to be done again (got {done.kind!r})")
    adjusted = dict(done.settings or {})
    made_anew: dict[str, Any] = {
        name: adjusted.pop(name) for name in ("num_classes", "in_channels") if name in adjusted
    }
    if unknown := sorted(adjusted.keys() - _names(Adjustments)):
        raise RunError(f"a transformation must have known settings to be done again (got {unknown[0]!r})")
    return _converted({**made_anew, "adjustments": adjusted}, Settings, "transformation")


def _converted(values: Mapping[str, Any], kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        raise RunError(f"the ticket's {what} must be one that can be repeated: {error}") from None


def _names(kind: type[Any]) -> set[str]:
    return {field.name for field in fields(kind)}
