"""What there is to do for a study: IMP runs first, then every cell, each with the file that says it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ticketkit.arch import ArchSpec
from ticketkit.data import ImageData
from ticketkit.errors import StudyError
from ticketkit.find import METHODS, levels_for
from ticketkit.report.cells import CellEntry, Kind, Place, StudyIndex
from ticketkit.report.comparison import TICKET
from ticketkit.stretch import plan_stretch, resolve_target
from ticketkit.stretch.stage_map import parse_stage_map
from ticketkit.sweep.networks import network
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source, Study
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
        source: The source that a ticket comes from, if it depends on one; for an IMP run, if tickets are to come.
        policy: How the ticket is stretched, if it depends on one.
        needs: Files of the IMP runs that must be done before.
        counts: For an IMP run on a target, how many weights are to be kept for arms of its own.
        steps: Optimiser steps that it takes, about.
    """

    place: Place
    file: str
    target: Target
    source: Source | None = None
    policy: PolicyChoice | None = None
    needs: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a study consists of.

    Attributes:
        finds: IMP runs, on sources and on targets; independent of each other.
        cells: Trainings and lines; independent of each other once the runs they need are done.
        left_out: Arms that some target or ticket has an obstacle to, one line each.
    """

    finds: tuple[Task, ...]
    cells: tuple[Task, ...]
    left_out: tuple[str, ...]

    def index(self, study: Study, command: str) -> StudyIndex:
        """The study's contents as its folder's ``study.json`` lists them."""
        arms = dict.fromkeys(task.place.arm for task in self.cells if task.place.kind == "train")
        return StudyIndex(
            title=study.title,
            arms=tuple(arms),
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
        TicketkitError: If there is no such arm.
        StudyError: If nothing would be trained.
    """
    planner = _Planner(study, load)
    cells = tuple(planner.cells())
    if not cells:
        raise StudyError("a study must have a source that is not its own target (got none)")
    return Plan(finds=tuple(planner.finds.values()), cells=cells, left_out=tuple(planner.left_out))


class _Planner:
    def __init__(self, study: Study, load: LoadData) -> None:
        self.study = study
        self.load = load
        self.finds: dict[str, Task] = {}
        self.left_out: dict[str, None] = {}
        self.seen: set[str] = set()
        self.targets = [network(name, load(study.data)) for name in study.targets]
        everything = study.arms == ("all",)
        self.arms = [TICKET, *(name for name in ARMS if name != TICKET)] if everything else list(study.arms)

    def cells(self) -> Iterator[Task]:
        """The cells, each once, by target and sparsity; arms that depend on no ticket before those that do."""
        for arch in self.targets:
            for sparsity in self.study.sparsities:
                target = Target.at(arch, sparsity)
                for seed in self.study.seeds:
                    yield from self._of_target(target, sparsity, seed)
                    for source, policy in self._tickets(arch):
                        yield from self._of_ticket(target, sparsity, seed, source, policy)

    def _tickets(self, arch: ArchSpec) -> Iterator[tuple[Source, PolicyChoice]]:
        """Sources and policies that give a target different tickets; none where it would be its own source."""
        known = set()
        for source in self.study.sources:
            own = network(source.arch, self.load(self.study.data_of(source)))
            if own == arch and self._made_alike(source):
                continue
            for policy in self.study.policies:
                key = self._source_identity(source), self._mapping(own, arch, policy), _extras(policy)
                if (text := json.dumps(key, sort_keys=True)) not in known:
                    known.add(text)
                    yield source, policy

    def _made_alike(self, source: Source) -> bool:
        return (
            self.study.recipe_of(source) == self.study.recipe
            and self.load(self.study.data_of(source)).fingerprint == self.load(self.study.data).fingerprint
        )

    def _mapping(self, source: ArchSpec, target: ArchSpec, policy: PolicyChoice) -> str:
        within = resolve_target(source, str(target.depth)) if source.family == target.family else target
        if policy.mapping is not None:
            return str(parse_stage_map(policy.mapping))
        return str(plan_stretch(source, within, order=policy.order, units=policy.units, drop=policy.drop))

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
            counts = tuple(Target.at(target.arch, each).kept for each in self.study.sparsities)
            needs = () if arm.finds is None else (self._find(target.arch, METHODS[arm.finds], seed, counts=counts),)
            yield from self._once(place, identity, target, needs=needs)

    def _of_ticket(
        self, target: Target, sparsity: float, seed: int, source: Source, policy: PolicyChoice
    ) -> Iterator[Task]:
        own = network(source.arch, self.load(self.study.data_of(source)))
        mapping = self._mapping(own, target.arch, policy)
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
            needs = (self._find(own, METHODS["weights"], seed, source=source),)
            yield from self._once(place, identity, target, source=source, policy=policy, needs=needs)

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

    def _find(
        self, arch: ArchSpec, method: str, seed: int, source: Source | None = None, counts: tuple[int, ...] = ()
    ) -> str:
        """Ask for an IMP run; one serves a network that is both pruned for itself and stretched.

        Returns:
            The file that says it is done, for everything that this study wants of it.
        """
        recipe = self.study.recipe if source is None else self.study.recipe_of(source)
        wanted = {
            "recipe": recipe.to_dict(),
            "rate": self.study.rate,
            "targets": self.study.targets,
            "sparsities": self.study.sparsities,
            "policies": msgspec.to_builtins(self.study.policies),
        }
        place = Place(kind="find", arm=method, target=arch.name, seed=seed)
        file = self._file(place, wanted, source)
        if file in self.finds:
            known = self.finds[file]
            self.finds[file] = replace(known, source=known.source or source, counts=known.counts or counts)
        else:
            levels = 2 + levels_for(max(self.study.sparsities), self.study.rate)
            self.finds[file] = Task(
                place=place,
                file=file,
                target=Target.at(arch, max(self.study.sparsities)),
                source=source,
                counts=counts,
                steps=levels * self._steps(source),
            )
        return file

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
        data = self.load(self.study.data if source is None else self.study.data_of(source))
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
            "arch": source.arch,
            "data": self.load(self.study.data_of(source)).fingerprint,
            "recipe": self.study.recipe_of(source).to_dict(),
            "rate": self.study.rate,
        }

    def _source_label(self, source: Source) -> str:
        """A source as reports call it: its network, and its data where they are not the study's."""
        data = self.load(self.study.data_of(source))
        name = network(source.arch, data).short_name
        return name if data.fingerprint == self.load(self.study.data).fingerprint else f"{name} on {data.name}"

    def _steps(self, source: Source | None) -> int:
        recipe = self.study.recipe if source is None else self.study.recipe_of(source)
        data = self.load(self.study.data if source is None else self.study.data_of(source))
        return recipe.total_steps(max(len(data.train_labels) // recipe.batch, 1))


def _extras(policy: PolicyChoice) -> dict[str, bool]:
    return {"random_copies": policy.random_copies, "rescale": policy.rescale}


def _safe(text: str) -> str:
    return "".join(character if character.isalnum() or character in ".-" else "-" for character in text)
