"""What there is to do for a study: IMP runs first, then every cell, each with the file that says it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from ticketkit.arch import ArchSpec
from ticketkit.data import ImageData
from ticketkit.errors import StretchError, StudyError
from ticketkit.find import METHODS, levels_for
from ticketkit.recipe import Recipe
from ticketkit.report.cells import CellEntry, Kind, Place, StudyIndex
from ticketkit.report.comparison import TICKET
from ticketkit.stretch.stage_map import parse_stage_map
from ticketkit.sweep.elastic import mapping_of
from ticketkit.sweep.study import ALL_ARMS, DataChoice, PolicyChoice, Source, Study
from ticketkit.train import check_fits
from ticketkit.train.setting import network_for
from ticketkit.verify import ARMS, Target
from ticketkit.verify.lineage import Stages

LoadData = Callable[[DataChoice], ImageData]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do, and the file that says it is done.

    Attributes:
        place: What it is.
        file: Its file in the study's folder.
        target: The network that it is about, and how much of it is kept; for an IMP run, of the network pruned.
        source: The source that a ticket comes from, if it depends on one; for an IMP run, the source that is pruned,
            None for a target.
        policy: How the ticket is stretched, if it depends on one.
        needs: Files of the IMP runs that must be done before.
        counts: For an IMP run, how many weights arms of the network itself are to keep.
        tickets: For an IMP run, what tickets are to be made of it: to which target and how.
        steps: Optimiser steps that it takes, about.
    """

    place: Place
    file: str
    target: Target
    source: Source | None = None
    policy: PolicyChoice | None = None
    needs: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    tickets: tuple[tuple[Target, PolicyChoice], ...] = ()
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a study consists of.

    Attributes:
        arms: The arms, in the order that reports have them.
        finds: IMP runs, on sources and on targets; independent of each other.
        cells: Trainings and lines; independent of each other once the runs they need are done.
        left_out: Arms that some target or ticket has an obstacle to, one line each.
    """

    arms: tuple[str, ...]
    finds: tuple[Task, ...]
    cells: tuple[Task, ...]
    left_out: tuple[str, ...]

    def index(self, study: Study, command: str) -> StudyIndex:
        """The study's contents as its folder's ``study.json`` lists them."""
        trained = {task.place.arm for task in self.cells if task.place.kind == "train"}
        return StudyIndex(
            title=study.title,
            arms=tuple(arm for arm in self.arms if arm in trained),
            reference=study.reference,
            margin=study.margin / 100,
            cells=tuple(CellEntry(file=task.file, place=task.place) for task in self.cells),
            command=command,
        )


def plan_study(study: Study, load: LoadData) -> Plan:
    """List everything that there is to do for a study.

    Args:
        study: The study.
        load: Gives a data set: its fingerprint is part of what a result depends on.

    Raises:
        ArchError, StretchError: If there is no such network, or a policy does not turn a source into a target.
        DataError, RecipeError: If data, networks and recipes do not fit each other.
        TicketkitError: If there is no such arm.
        StudyError: If nothing would be trained, two sources could not be told apart, or an arm cannot be what the
            study asks of it.
    """
    planner = _Planner(study, load)
    cells = tuple(planner.cells())
    if not cells:
        raise StudyError("a study must have a source that is not its own target (got none)")
    finds = {key: planner.find_task(run) for key, run in planner.runs.items()}
    return Plan(
        arms=tuple(planner.arms),
        finds=tuple(finds.values()),
        cells=tuple(replace(task, needs=tuple(finds[key].file for key in task.needs)) for task in cells),
        left_out=tuple(planner.left_out),
    )


@dataclass(slots=True, kw_only=True)
class _Run:
    """An IMP run, and what cells want of it so far."""

    place: Place
    arch: ArchSpec
    source: Source | None
    counts: dict[int, None] = field(default_factory=dict)
    tickets: dict[tuple[Target, PolicyChoice, str], None] = field(default_factory=dict)


class _Planner:
    def __init__(self, study: Study, load: LoadData) -> None:
        self.study = study
        self.load = load
        self.runs: dict[str, _Run] = {}
        self.left_out: dict[str, None] = {}
        self.seen: set[str] = set()
        everything = study.arms == (ALL_ARMS,)
        self.arms = [TICKET, *(name for name in ARMS if name != TICKET)] if everything else list(study.arms)
        self._check_arms()
        self.targets = [self._network(name, None) for name in study.targets]
        self.sources = {source: self._network(source.arch, source) for source in study.sources}
        self._check_sources()

    def cells(self) -> Iterator[Task]:
        """The cells, each once, by target and sparsity; arms that depend on no ticket before those that do.

        Their ``needs`` are keys of ``runs``: which file says that a run is done is not known before all that want
        something of it are.
        """
        for arch in self.targets:
            tickets = list(self._tickets(arch))
            for sparsity in self.study.sparsities:
                target = Target.at(arch, sparsity)
                for seed in self.study.seeds:
                    yield from self._of_target(target, sparsity, seed)
                    for source, policy, mapping in tickets:
                        yield from self._of_ticket(target, sparsity, seed, source, policy, mapping)

    def find_task(self, run: _Run) -> Task:
        """An IMP run as a task; its file says that it is done as far as this study wants it."""
        identity = {
            "recipe": self._recipe(run.source).to_dict(),
            "rate": self.study.rate,
            "counts": sorted(run.counts),
            "tickets": sorted(
                [target.arch.name, target.arch.num_classes, target.arch.in_channels, target.kept, mapping]
                for target, _, mapping in run.tickets
            ),
        }
        levels = 2 + levels_for(max(self.study.sparsities), self.study.rate)
        return Task(
            place=run.place,
            file=self._file(run.place, identity, run.source),
            target=Target.at(run.arch, max(self.study.sparsities)),
            source=run.source,
            counts=tuple(run.counts),
            tickets=tuple((target, policy) for target, policy, _ in run.tickets),
            steps=levels * self._steps(run.source),
        )

    def _network(self, name: str, source: Source | None) -> ArchSpec:
        """A network that can be trained as the study says."""
        arch = network_for(name, self._data(source))
        check_fits(arch, self._data(source))
        self._recipe(source).rewind_step(self._steps_per_epoch(source))  # which refuses one behind the end
        return arch

    def _check_arms(self) -> None:
        for name in (*self.arms, *self.study.connect, self.study.reference):
            if ARMS[name].lengthened and name in self.study.connect:  # the look-up refuses what is no arm
                raise StudyError(f"connect must name arms that train as all others do (got {name!r})")
        if self.study.reference == TICKET:
            raise StudyError(f"reference must be another arm than the ticket itself (got {TICKET!r})")

    def _check_sources(self) -> None:
        known: dict[str, dict[str, Any]] = {}
        for source in self.sources:
            label, identity = self._source_label(source), self._source_identity(source)
            if known.setdefault(label, identity) != identity:
                raise StudyError(f"sources must differ in network, data or name of recipe (got {label!r} twice)")

    def _tickets(self, arch: ArchSpec) -> Iterator[tuple[Source, PolicyChoice, str]]:
        """Sources, policies and mappings that give a target different tickets; no source is its own target."""
        known = set()
        for source, own in self.sources.items():
            if own == arch and self._made_alike(source):
                continue
            for policy in self.study.policies:
                mapping = self._mapping(own, arch, policy)
                key = json.dumps([self._source_identity(source), mapping, _extras(policy)], sort_keys=True)
                if key not in known:
                    known.add(key)
                    yield source, policy, mapping

    @staticmethod
    def _mapping(source: ArchSpec, target: ArchSpec, policy: PolicyChoice) -> str:
        try:
            return mapping_of(source, target, policy)
        except StretchError as error:
            must = f"policy {policy.name!r} must turn {source.short_name} into {target.short_name}"
            raise StretchError(f"{must}: {error}") from None

    def _made_alike(self, source: Source) -> bool:
        return (
            self._recipe(source) == self.study.recipe and self._data(source).fingerprint == self._data(None).fingerprint
        )

    def _of_target(self, target: Target, sparsity: float, seed: int) -> Iterator[Task]:
        for kind, name in self._wanted():
            arm = ARMS[name]
            if arm.depends_on == "ticket" or self._has_obstacle(name, target, None):
                continue
            identity: dict[str, Any] = {"recipe": self.study.recipe.to_dict()}
            counted = arm.depends_on == "count"
            if counted:
                identity["kept"] = target.kept
            if arm.finds is not None:
                identity["rate"] = self.study.rate
            if arm.lengthened:
                identity["times"] = self.study.dst_multiplier
            place = Place(
                kind=kind, arm=name, target=target.arch.name, seed=seed, sparsity=sparsity if counted else None
            )
            needs: tuple[str, ...] = ()
            if arm.finds is not None:
                key, run = self._run(target.arch, METHODS[arm.finds], seed, None)
                run.counts[target.kept] = None
                needs = (key,)
            yield from self._once(place, identity, target, needs=needs)

    def _of_ticket(
        self, target: Target, sparsity: float, seed: int, source: Source, policy: PolicyChoice, mapping: str
    ) -> Iterator[Task]:
        stages = parse_stage_map(mapping).for_stages(len(target.arch.stages))
        for kind, name in self._wanted():
            if ARMS[name].depends_on != "ticket" or self._has_obstacle(name, target, stages, f" from {source.arch}"):
                continue
            identity = {
                "recipe": self.study.recipe.to_dict(),
                "kept": target.kept,
                "source": self._source_identity(source),
                "mapping": mapping,
                "extras": _extras(policy),
            }
            place = Place(
                kind=kind,
                arm=name,
                target=target.arch.name,
                seed=seed,
                sparsity=sparsity,
                source=self._source_label(source),
                policy=policy.name,
            )
            key, run = self._run(self.sources[source], METHODS["weights"], seed, source)
            run.tickets[target, policy, mapping] = None
            yield from self._once(place, identity, target, source=source, policy=policy, needs=(key,))

    def _wanted(self) -> Iterator[tuple[Kind, str]]:
        for name in self.arms:
            yield "train", name
        for name in self.study.connect:
            yield "connect", name

    def _has_obstacle(self, name: str, target: Target, stages: Stages | None, origin: str = "") -> bool:
        obstacle = ARMS[name].obstacle(target, stages)
        if obstacle:
            self.left_out[f"{name} for {target.arch.short_name}{origin}: there must be {obstacle}"] = None
        return obstacle is not None

    def _run(self, arch: ArchSpec, method: str, seed: int, source: Source | None) -> tuple[str, _Run]:
        """An IMP run and its key; one serves a network that is both pruned for itself and stretched."""
        place = Place(kind="find", arm=method, target=arch.name, seed=seed)
        key = self._file(place, {"recipe": self._recipe(source).to_dict()}, source)
        return key, self.runs.setdefault(key, _Run(place=place, arch=arch, source=source))

    def _once(
        self,
        place: Place,
        identity: dict[str, Any],
        target: Target,
        *,
        source: Source | None = None,
        policy: PolicyChoice | None = None,
        needs: tuple[str, ...] = (),
    ) -> Iterator[Task]:
        if place.kind == "connect":
            identity = {**identity, "points": self.study.points}
        file = self._file(place, {**identity, "start": self.study.start}, None)
        if file in self.seen:
            return
        self.seen.add(file)
        times = self.study.dst_multiplier if ARMS[place.arm].lengthened else 1
        yield Task(
            place=place,
            file=file,
            target=target,
            source=source,
            policy=policy,
            needs=needs,
            steps=self._steps(None) * (2 if place.kind == "connect" else times),
        )

    def _file(self, place: Place, identity: dict[str, Any], source: Source | None) -> str:
        """A file's name: readable, and with a digest of everything that its content depends on."""
        data = self._data(source)
        what = {
            "place": msgspec.to_builtins(place),
            "identity": identity,
            "data": data.fingerprint,
            "ends": [data.num_classes, data.shape[0]],
        }
        if place.policy is not None:  # a policy's name is no part of what it does
            what["place"] = {**what["place"], "policy": None}
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
        parts = [place.arm, place.target, place.source and f"from-{place.source}", place.policy]
        if place.sparsity is not None:
            parts.append(f"{100 * place.sparsity:g}")
        name = "_".join(_safe(part) for part in [*parts, f"s{place.seed}"] if part)
        return f"{place.kind}/{name}_{digest}.json"

    def _source_identity(self, source: Source) -> dict[str, Any]:
        return {
            "arch": self.sources[source].short_name,
            "data": self._data(source).fingerprint,
            "recipe": self._recipe(source).to_dict(),
            "rate": self.study.rate,
        }

    def _source_label(self, source: Source) -> str:
        """A source as reports call it: its network, and its data and recipe where they are not the study's."""
        data, recipe = self._data(source), self._recipe(source)
        label = self.sources[source].short_name
        if data.fingerprint != self._data(None).fingerprint:
            label += f" on {data.name}"
        return label if recipe == self.study.recipe else f"{label} with {recipe.name}"

    def _data(self, source: Source | None) -> ImageData:
        """The data of a source; the study's own without one."""
        return self.load(self.study.data if source is None else self.study.data_of(source))

    def _recipe(self, source: Source | None) -> Recipe:
        return self.study.recipe if source is None else self.study.recipe_of(source)

    def _steps_per_epoch(self, source: Source | None) -> int:
        return max(len(self._data(source).train_labels) // self._recipe(source).batch, 1)

    def _steps(self, source: Source | None) -> int:
        return self._recipe(source).total_steps(self._steps_per_epoch(source))


def _extras(policy: PolicyChoice) -> dict[str, bool]:
    return {"random_copies": policy.random_copies, "rescale": policy.rescale}


def _safe(text: str) -> str:
    return "".join(character if character.isalnum() or character in ".-" else "-" for character in text)
