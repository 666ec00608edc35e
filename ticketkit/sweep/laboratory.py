"""Doing a study's tasks, in one process: what a task gives follows from the study and the task alone."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ticketkit.arch import ArchSpec
from ticketkit.atomic import write_text
from ticketkit.connect import connect
from ticketkit.data import DataRequest, ImageData, load_data
from ticketkit.errors import StretchError, StudyError, TicketkitError
from ticketkit.find import METHODS, Rewinding
from ticketkit.recipe import Recipe
from ticketkit.report.cells import CellResult, Level, TicketInfo, read_cell
from ticketkit.sweep.elastic import Elastic, elastic_ticket
from ticketkit.sweep.plan import Plan, Task
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source, Study
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, Progress, choose_compute, memory_budget
from ticketkit.train.checkpoint import DEFAULT_INTERVAL
from ticketkit.train.parallel import Parallel, how_many
from ticketkit.train.setting import describe_setting, network_for
from ticketkit.verify import ARMS, Bench, run_arm
from ticketkit.verify.run import layer_densities, origin_of
from ticketkit.verify.training import context_of, network_seed

OnEpoch = Callable[[str, Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A data set, and who is told how far its loading is, which makes it no other."""

    choice: DataChoice
    on_progress: Callable[[int, int], None] | None = field(default=None, compare=False)


def data_of(choice: DataChoice, on_progress: Callable[[int, int], None] | None = None) -> ImageData:
    """Load a data set; the same one at each call, since studies ask for it all the time.

    Args:
        choice: Which.
        on_progress: Is told how many images are read, and how many there are, if they are read now.
    """
    return loaded(_Wanted(choice=choice, on_progress=on_progress))


@lru_cache(maxsize=4)
def loaded(wanted: _Wanted) -> ImageData:
    """The data sets in memory; see :func:`data_of`."""
    choice = wanted.choice
    request = DataRequest(
        data_dir=None if choice.data_dir is None else Path(choice.data_dir),
        image_size=choice.image_size,
        resize=choice.resize,
        stream=choice.stream,
        memory_budget=memory_budget(),
        on_progress=wanted.on_progress,
    )
    data = load_data(choice.dataset, request)
    return data.limited(choice.limit) if choice.fraction is None else data.fraction(choice.fraction)


class Laboratory:
    """Does tasks of one study, and keeps what they share in memory and in the study's folder.

    Its ``on_wait`` may be set to what is called with a line that says so, again and again, while another process makes
    an IMP run that is needed here.

    Args:
        study: The study.
        folder: Its folder; other processes may work in it at the same time, on other tasks.
        device: Where to compute; see :func:`ticketkit.train.choose_compute`.
        precision: Of convolutions and linear layers; the device's default if None.
        threads: Threads on the CPU; the default if None.
        most_threads: The most that the default may be, where a process has a part of the machine; no limit if None.
        compiled: Whether to fuse a network's operators by ``torch.compile``.
        graphs: Whether a step is captured as a CUDA graph.
        deterministic: Whether CUDA computes with deterministic algorithms alone.
        checkpoint_seconds: Least time between two checkpoints inside a level of an IMP run.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        *,
        device: str = "auto",
        precision: Any = None,
        threads: int | None = None,
        most_threads: int | None = None,
        compiled: bool = False,
        graphs: bool = True,
        deterministic: bool = False,
        checkpoint_seconds: float = DEFAULT_INTERVAL,
    ) -> None:
        self.study = study
        self.folder = folder
        self._device = device
        self._precision = precision
        self._threads = threads
        self._most_threads = most_threads
        self._compiled = compiled
        self._graphs = graphs
        self._deterministic = deterministic
        self._checkpoint_seconds = checkpoint_seconds
        self.on_wait: Callable[[str], None] | None = None
        self._alone = True
        self._batches: dict[tuple[DataChoice, Recipe], Batches] = {}
        self._batches_lock = threading.Lock()
        self._benches: dict[tuple[ArchSpec, DataChoice, Recipe, int], Bench] = {}
        self._elastic: tuple[object, Elastic] | None = None

    @property
    def compute(self) -> Compute:
        """Where and how this study's own networks are trained."""
        return self._compute(self.study.data)

    def beside(self) -> Laboratory:
        """Another one that does tasks of the same study at the same time, in another thread, with the same images."""
        other = copy(self)
        other._alone = False
        other._benches = {}
        other._elastic = None
        return other

    def at_once(self, parallel: Parallel, plan: Plan) -> int:
        """How many of a plan's tasks to do at once; see :func:`ticketkit.train.parallel.how_many`."""
        tasks = (*plan.finds, *plan.cells)
        archs = {task.target.arch for task in tasks} | {
            network_for(task.source.arch, data_of(self.study.data_of(task.source))) for task in tasks if task.source
        }
        if not archs:
            return 1
        largest = max(archs, key=lambda arch: arch.parameters)
        shape = data_of(self.study.data).shape
        return how_many(parallel, len(tasks), self.compute, largest, shape, self.study.recipe.batch)

    def do(self, task: Task, on_epoch: OnEpoch | None = None) -> CellResult:
        """Do a task and write its file, or read it if it is done.

        Raises:
            TicketkitError: If a training breaks, or the folder cannot be written.
        """
        path = self.folder / task.file
        if path.exists():
            return read_cell(path)
        began = time.perf_counter()
        result = {"find": self._find, "train": self._train, "connect": self._connect}[task.place.kind](task, on_epoch)
        result = replace(result, seconds=time.perf_counter() - began)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n", overwrite=True)
        except OSError as error:
            raise StudyError(f"a study's folder must be writable ({error.strerror or error}): {path}") from None
        return result

    def _find(self, task: Task, on_epoch: OnEpoch | None) -> CellResult:
        """Make the IMP runs that cells need: on a target down to each count, on a source for each ticket."""
        if task.source is None:
            bench = self._bench(task.target.arch, self.study.data, self.study.recipe, task.place.seed, on_epoch)
        else:
            bench = self._source_bench(task.source, task.place.seed, on_epoch)
        rewinding: Rewinding = next(way for way, method in METHODS.items() if method == task.place.arm)
        levels = [bench.level(0, rewinding)]
        levels += [bench.level_above(kept, rewinding) for kept in task.counts]
        for target, policy in task.tickets:
            with contextlib.suppress(StretchError):  # its own cells will say so; it holds up no other
                found = elastic_ticket(bench, target.arch, policy, target.kept, seed=task.place.seed)
                levels.append(bench.level((found.source.provenance.level or 1) - 1))
        last = max(levels, key=lambda ticket: ticket.provenance.level or 0)
        results = last.results.levels if last.results is not None else ()
        return CellResult(
            place=task.place,
            setting=describe_setting(bench.batches.data, bench.batches.recipe, bench.compute),
            summary=f"levels of {task.place.arm} on {task.target.arch.short_name}",
            total=task.target.total,
            levels=tuple(Level(level=r.level, kept=r.kept, accuracy=r.accuracy) for r in results),
        )

    def _train(self, task: Task, on_epoch: OnEpoch | None) -> CellResult:
        bench, elastic = self._prepared(task, on_epoch)
        outcome = run_arm(
            task.place.arm,
            ARMS[task.place.arm],
            target=task.target,
            ticket=None if elastic is None else elastic.ticket,
            bench=bench,
            seed=task.place.seed,
            first_step=self._first_step(bench),
            dense=None if elastic is None else elastic.dense,
            dst_multiplier=self.study.dst_multiplier,
            alone=self._alone,
            on_epoch=_labelled(on_epoch, task.place.arm),
        )
        own = outcome.architecture
        return replace(
            self._result(task, bench, elastic),
            kept=outcome.kept,
            architecture=None if own == task.target.arch.name else own,
            run=outcome.run,
        )

    def _connect(self, task: Task, on_epoch: OnEpoch | None) -> CellResult:
        bench, elastic = self._prepared(task, on_epoch)
        context = context_of(
            task.place.arm,
            target=task.target,
            ticket=None if elastic is None else elastic.ticket,
            bench=bench,
            seed=task.place.seed,
            dense=None if elastic is None else elastic.dense,
        )
        begin = ARMS[task.place.arm].start(context)
        if begin.rewiring is not None or begin.recipe is not None:
            raise TicketkitError(f"an arm must train as all others do to be connected (got {task.place.arm})")
        arm = task.place.arm
        curve = connect(
            begin.arch or task.target.arch,
            begin.tensors,
            begin.mask,
            bench.batches,
            seed=task.place.seed,
            compute=bench.compute,
            first_step=self._first_step(bench) if begin.first_step is None else begin.first_step,
            points=self.study.points,
            on_epoch=None if on_epoch is None else lambda end, progress: on_epoch(f"{arm}, end {end + 1}", progress),
        )
        return replace(
            self._result(task, bench, elastic),
            kept=task.target.total if begin.mask is None else begin.mask.kept,
            curve=curve,
        )

    def _prepared(self, task: Task, on_epoch: OnEpoch | None) -> tuple[Bench, Elastic | None]:
        bench = self._bench(task.target.arch, self.study.data, self.study.recipe, task.place.seed, on_epoch)
        if task.source is None or task.policy is None:
            return bench, None
        return bench, self._elastic_ticket(task, task.source, task.policy, on_epoch)

    def _elastic_ticket(self, task: Task, source: Source, policy: PolicyChoice, on_epoch: OnEpoch | None) -> Elastic:
        """The task's ticket; kept for the next task, which often has the same."""
        key = source, policy, task.target, task.place.seed
        if self._elastic is None or self._elastic[0] != key:
            bench = self._source_bench(source, task.place.seed, on_epoch)
            found = elastic_ticket(bench, task.target.arch, policy, task.target.kept, seed=task.place.seed)
            self._elastic = key, found
        return self._elastic[1]

    def _result(self, task: Task, bench: Bench, elastic: Elastic | None) -> CellResult:
        return CellResult(
            place=task.place,
            setting=describe_setting(bench.batches.data, bench.batches.recipe, bench.compute),
            summary=ARMS[task.place.arm].summary,
            start_step=self._first_step(bench),
            total=task.target.total,
            ticket=None if elastic is None else _ticket_info(elastic, task.place.policy or ""),
        )

    def _first_step(self, bench: Bench) -> int:
        return 0 if self.study.start == "0" else bench.rewind_step

    def _source_bench(self, source: Source, seed: int, on_epoch: OnEpoch | None) -> Bench:
        data = self.study.data_of(source)
        arch = network_for(source.arch, data_of(data))
        return self._bench(arch, data, self.study.recipe_of(source), seed, on_epoch)

    def _bench(self, arch: ArchSpec, data: DataChoice, recipe: Recipe, seed: int, on_epoch: OnEpoch | None) -> Bench:
        key = arch, data, recipe, seed
        if key not in self._benches:
            self._benches.clear()  # one holds a network's weights; tasks come in an order that seldom goes back
            batches = self._batches_of(data, recipe)
            self._benches[key] = Bench(
                arch=arch,
                prunable=arch.prunable_names(),
                batches=batches,
                compute=self._compute(data),
                seed=network_seed(seed),
                rewind_step=recipe.rewind_step(batches.steps_per_epoch),
                rate=self.study.rate,
                runs=self.folder / "runs",
                checkpoint_seconds=self._checkpoint_seconds,
            )
        bench = self._benches[key]
        bench.on_epoch, bench.on_wait = on_epoch, self.on_wait
        return bench

    def _batches_of(self, data: DataChoice, recipe: Recipe) -> Batches:
        with self._batches_lock:
            if (data, recipe) not in self._batches:
                self._batches[data, recipe] = Batches(data_of(data), recipe, self._compute(data).device)
            return self._batches[data, recipe]

    def _compute(self, data: DataChoice) -> Compute:
        compute = choose_compute(
            self._device,
            image_size=max(data_of(data).shape[1:]),
            precision=self._precision,
            threads=self._threads,
            compiled=self._compiled,
            graphs=self._graphs,
            deterministic=self._deterministic,
        )
        if self._threads is None and self._most_threads is not None:
            return replace(compute, threads=min(compute.threads, self._most_threads))
        return compute


def _labelled(on_epoch: OnEpoch | None, label: str) -> Callable[[Progress], None] | None:
    return None if on_epoch is None else lambda progress: on_epoch(label, progress)


def _ticket_info(elastic: Elastic, policy: str) -> TicketInfo:
    ticket: Ticket = elastic.ticket
    origin = origin_of(ticket, elastic.source, policy)
    if origin is None:
        raise TicketkitError("a study's ticket must have been stretched (it was not)")
    flops = elastic.source.provenance.flops
    return TicketInfo(
        id=ticket.id,
        sparsity=ticket.sparsity,
        origin=origin,
        layers=layer_densities(ticket),
        find_flops=None if flops is None else flops.sparse,
    )
