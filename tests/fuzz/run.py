"""The scheduled fuzzing run: many inputs, a table and a JSON summary at the end, exit 1 if any broke a contract.

    python tests/fuzz/run.py --inputs 1000000 --jobs 2 --seed 1
    python tests/fuzz/run.py --inputs 300000 --engine atheris --corpus fuzz-corpus
    python tests/fuzz/run.py --inputs 1000000 --target mapping

The engine ``mutations`` makes every input from the seed and its number, so that any can be made again, whatever the
number of jobs. The engine ``atheris`` (``pip install atheris``, Linux) follows coverage: an input that reaches a new
branch of ticketkit becomes one to mutate, and is kept in the corpus for the next run.

What breaks a contract (``contracts.py``) is saved as ``crash-SHA256.st`` in the folder of ``--out``. Once mended, give
it a name and put it into ``tests/fuzz/regressions``, which is read again in every test run.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import click

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: one thread a job

import corpus
from campaign import Session, memory_folder, run_range
from tally import Failure, Tally

_AT_ONCE = 1_000
_MOST_MEMORY = 8 * 2**30
"""Bytes of address space that a job may have; far above what it needs, so that a runaway ends it, not the machine."""
_A_PROCESS = 25_000
"""Inputs that one process of atheris tries: instrumented code keeps about 40 kB of each, until the process ends."""
_SHOWN_EVERY = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit status is 1 if an input broke a contract, or a process died."""
    options = _options(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ticketkit-fuzz-", dir=memory_folder()) as folder:
        total = _guided(options, Path(folder)) if options.engine == "atheris" else _mutations(options, Path(folder))
    seconds = time.monotonic() - started
    settings = {name: getattr(options, name) for name in ("target", "engine", "seed", "jobs")}
    options.out.mkdir(parents=True, exist_ok=True)
    total.write(options.out / "summary.json", **settings, seconds=round(seconds, 1))
    click.echo(total.table(seconds))
    click.echo(f"summary: {options.out / 'summary.json'}")
    return 1 if total.failures else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=("bundle", "mapping"), default="bundle")
    parser.add_argument("--engine", choices=("mutations", "atheris"), default="mutations")
    parser.add_argument("--inputs", type=int, default=20_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--corpus", type=Path, help="more files to start from; atheris adds what it finds")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"), help="where failures and the summary go")
    return parser.parse_args(arguments)


# --- inputs made by mutation ------------------------------------------------------------------------------------------

_SEEDS: list[Any] = []


def _begin(target: str, extra: Path | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    _SEEDS[:] = corpus.bundles(extra) if target == "bundle" else corpus.mappings(extra)


def _work(target: str, seed: int, start: int, stop: int, folder: Path, out: Path) -> Tally:
    session = Session(target=target, folder=folder / str(os.getpid()), out=out)
    return run_range(session, seed, range(start, stop), _SEEDS)


def _mutations(options: argparse.Namespace, folder: Path) -> Tally:
    total, progress = Tally(), _Progress(options.inputs)
    context = multiprocessing.get_context("spawn")
    arguments = (options.target, options.corpus)
    with ProcessPoolExecutor(options.jobs, mp_context=context, initializer=_begin, initargs=arguments) as pool:
        starts = range(0, options.inputs, _AT_ONCE)
        waiting = {
            pool.submit(
                _work, options.target, options.seed, at, min(at + _AT_ONCE, options.inputs), folder, options.out
            )
            for at in starts
        }
        try:
            for future in as_completed(waiting):
                total.add(future.result())
                progress.show(total)
        except BrokenProcessPool:  # one of the files that the processes had last ended its process
            total.failures += saved_inputs(folder, options.out)
    return total


def saved_inputs(folder: Path, out: Path) -> list[Failure]:
    """Save the last input of every process: one of them ended its process."""
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for number, path in enumerate(sorted(folder.glob("*/input.*"))):
        name = f"crash-process-{number}{path.suffix}"
        shutil.copy(path, out / name)
        found.append(Failure("a process died; this is the last input of one of them", f"process {number}", name))
    return found or [Failure("a process died before its first input", "", "")]


# --- coverage-guided --------------------------------------------------------------------------------------------------


def _guided(options: argparse.Namespace, folder: Path) -> Tally:
    kept = options.corpus or folder / "corpus"
    options.out.mkdir(parents=True, exist_ok=True)
    already = set(options.out.iterdir())
    each = min(_A_PROCESS, math.ceil(options.inputs / options.jobs))
    waiting = [min(each, options.inputs - at) for at in range(0, options.inputs, each)]
    running: list[subprocess.Popen[bytes]] = []
    ended: list[int] = []
    progress = _Progress(options.inputs)
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                number = len(ended) + len(running)
                running.append(_start(options, folder / str(number), kept, number, waiting.pop(0)))
            time.sleep(0.2)
            ended += [process.returncode for process in running if process.poll() is not None]
            running = [process for process in running if process.returncode is None]
            progress.show(_sum(folder))
    finally:
        for process in running:
            process.kill()
            process.wait()
    total = _sum(folder)
    known = {failure.file for failure in total.failures}
    for path in sorted(set(options.out.iterdir()) - already):
        if path.name.startswith(("crash-", "oom-", "timeout-")) and path.name not in known:
            total.failures.append(Failure(f"libFuzzer: {path.name.split('-')[0]}", "atheris", path.name))
    if any(ended) and not total.failures:
        total.failures.append(Failure(f"a process ended with status {max(ended, key=abs)}", "atheris", "atheris.log"))
    return total


def _start(options: argparse.Namespace, folder: Path, kept: Path, number: int, inputs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).with_name("guided.py")), "--target", options.target]
    command += ["--inputs", str(inputs), "--seed", str(1000 * options.seed + number), "--corpus", str(kept.resolve())]
    command += ["--out", str(options.out.resolve()), "--folder", str(folder), "--tally", str(folder / "tally.json")]
    with (options.out / "atheris.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _sum(folder: Path) -> Tally:
    total = Tally()
    for path in sorted(folder.glob("*/tally.json")):
        total.add(Tally.read(path))
    return total


class _Progress:
    """A line now and then: how far it is, and when it will be done."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self._started = self._shown = time.monotonic()

    def show(self, total: Tally) -> None:
        now = time.monotonic()
        if now - self._shown < _SHOWN_EVERY or not total.inputs:
            return
        self._shown = now
        rate = total.inputs / (now - self._started)
        left = (self._inputs - total.inputs) / rate
        click.echo(
            f"{total.inputs:,} of {self._inputs:,} ({total.inputs / self._inputs:.0%}), {rate:,.0f} a second, "
            f"about {left / 60:.1f} min left, {len(total.failures)} failures"
        )


if __name__ == "__main__":
    sys.exit(main())
