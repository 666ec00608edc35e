"""Kill commands at random moments, go on with them, and compare with what nobody killed.

```
python tests/crashes/run.py --kills 50 --command all --seed 1
python tests/crashes/run.py --kills 10 --signal TERM
```

A small job is run once in peace. Then it is started again and again and killed at a moment drawn from its duration, and
so is, every other time, the run that goes on with it. After each kill every file under a final name must be whole, and
what the job found must be as it was; after the last, the job is gone on with to its end, and must come to the same
files: tickets byte for byte, JSON but for what clocks say. With ``--signal`` the job is asked to stop, by SIGTERM or
SIGINT, and must also say so in a last line and leave no temporary file.

Processes are forked from this one, which has imported what they need and computed nothing, so that a kill hits work and
not an import.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy: a process that is to be forked must have no other threads
os.environ["TICKETKIT_COMMIT"] = ""  # or a commit that is made meanwhile is another version
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from jobs import FIND, Job, content, contents, jobs, temporary  # noqa: E402

from ticketkit.cli import main  # noqa: E402

for module in (
    *(f"ticketkit.cli.commands.{name}" for name in ("find", "sweep", "verify")),
    *(f"ticketkit.{name}" for name in ("find", "recipes", "sweep.laboratory", "torchvision_compat", "verify")),
    *("numpy.random", "rich.progress", "torch._dynamo"),  # torch imports the last when it makes an optimiser
):
    importlib.import_module(module)

AGAIN = 0.5
"""How often the run that goes on is killed too."""

REPLACING = 0.5
"""How often a job has to replace a file that is there."""

LONGEST = 120.0
"""Seconds after which a process hangs."""

STOPPED = "ticketkit: stopped; nothing half-written is left behind; go on with --resume"
PARSING = 0.1
"""Seconds in which a command may still be reading its arguments, and not know whether it can be gone on with."""

NUMBERS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT}


def tell(line: str) -> None:
    """Say a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Failed(Exception):  # noqa: N818 - what the harness is looking for
    """Something that must hold did not."""


@dataclass
class Tally:
    """What came of one command's kills."""

    kills: int = 0
    recoveries: int = 0
    late: int = 0
    places: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def start(arguments: tuple[str, ...], folder: Path) -> int:
    """Fork a process that runs the command in a folder; its output goes to files beside the folder."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise SystemExit("a process that is forked must have one thread (it has more)")
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            descriptor = os.open(folder.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, number)
        sys.argv = ["ticketkit", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # the parent reads it in the file
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, seconds: float) -> int | None:
    """A process's exit code, the negative of the signal that ended it; None if it has not ended by then."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(min(0.005, max(deadline - time.monotonic(), 0.0)))


def finish(arguments: tuple[str, ...], folder: Path) -> None:
    """Run a command to its end."""
    pid = start(arguments, folder)
    code = wait(pid, LONGEST)
    if code is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if code != 0:
        raise Failed(f"it must come to its end (code {code}): {said(folder)}")


def said(folder: Path) -> str:
    """The last line of what a command said on standard error."""
    lines = folder.with_suffix(".err").read_text(encoding="utf-8").splitlines()
    return lines[-1] if lines else ""


def interrupted(arguments: tuple[str, ...], folder: Path, moment: float, number: signal.Signals) -> bool:
    """Run a command until a moment; says whether it was still at work then."""
    pid = start(arguments, folder)
    code = wait(pid, moment)
    if code is None:
        os.kill(pid, number)
        code = wait(pid, LONGEST)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Failed(f"it must end when it is asked to (it goes on for {LONGEST:.0f} s)")
    if code == 0:
        return False
    # Asked to stop before the command has begun, it ends by the signal itself, or by one that Python raises on.
    if number != signal.SIGKILL and code not in (-number, -signal.SIGINT):
        known = {STOPPED, STOPPED.rpartition(";")[0]} if moment < PARSING else {STOPPED}
        if code != 130 or said(folder) not in known:
            raise Failed(f"it must say that it was stopped (code {code}): {said(folder)!r}")
        if left := temporary(folder):
            raise Failed(f"nothing half-written must be left behind (found {left})")
    elif code != -number and number == signal.SIGKILL:
        raise Failed(f"it must not end by itself (code {code}): {said(folder)}")
    return True


def check(
    folder: Path, expected: dict[str, bytes | str], *, old: tuple[str, bytes | str] | None = None, whole: bool = False
) -> None:
    """Check that the files that are there are those of the run in peace, and at the end that all are.

    A file has its content from the beginning or not at all; but for the one, if any, that an old one is there of.
    """
    found = contents(folder)
    for name, held in found.items():
        if expected.get(name) != held and (whole or (name, held) != old):
            raise Failed(f"a file must be what the run in peace made (it differs): {name}")
    if whole and (missing := sorted({*expected} - {*found})):
        raise Failed(f"all files must be there at the end (missing: {missing})")
    left = [path.name for path in folder.rglob("*.safetensors")] + [
        name for name in temporary(folder) if "/" in name and not name.startswith("runs/verify/")
    ]
    if whole and left:
        raise Failed(f"nothing must be left in a run's folder at the end (found {left})")


def attack(job: Job, kills: int, number: signal.Signals, root: Path, drawn: random.Random) -> Tally:
    """Kill one command so many times."""
    peace = root / f"{job.name}-peace"
    peace.mkdir()
    job.prepare(peace)
    finish(job.arguments, peace)
    expected = contents(peace)
    again = root / f"{job.name}-again"
    again.mkdir()
    job.prepare(again)
    began = time.monotonic()
    finish(job.arguments, again)
    duration = time.monotonic() - began
    if contents(again) != expected:
        raise SystemExit(f"{job.name} must give the same again (it does not): {root}")
    tally = Tally()
    began = time.monotonic()
    tell(f"{job.name}: {duration:.1f} s in peace, {len(expected)} files")
    for trial in itertools.count():
        if tally.kills >= kills:
            return tally
        folder = root / f"{job.name}-{trial:04d}"
        folder.mkdir()
        job.prepare(folder)
        try:
            _once(job, folder, duration, number, drawn, tally, expected, kills)
        except Exception as error:
            tally.failures.append(f"{job.name}, kill {tally.kills}: {error} ({folder})")
            tell(f"  FAILED  {tally.failures[-1]}")
        else:
            shutil.rmtree(folder)
        left = (time.monotonic() - began) / max(tally.kills, 1) * (kills - tally.kills)
        tell(f"  {tally.kills}/{kills} kills, {len(tally.failures)} failures, {left:.0f} s left")
    raise AssertionError("a count has no end")


def _once(
    job: Job,
    folder: Path,
    duration: float,
    number: signal.Signals,
    drawn: random.Random,
    tally: Tally,
    expected: dict[str, bytes | str],
    kills: int,
) -> None:
    old = None
    arguments = job.arguments
    if job.result is not None and drawn.random() < REPLACING:
        (folder / job.result).write_bytes(job.old)
        old = job.result, content(folder / job.result)
        arguments = (*arguments, "--force")
    fresh = arguments
    while True:
        if not interrupted(arguments, folder, drawn.uniform(0.001, duration), number):
            tally.late += 1
            break
        tally.kills += 1
        tally.places[_place(job, folder, expected)] += 1
        check(folder, expected, old=old)
        arguments = (*fresh, "--resume")
        if tally.kills >= kills or drawn.random() >= AGAIN:
            finish(arguments, folder)
            tally.recoveries += 1
            break
    check(folder, expected, whole=True)


def _place(job: Job, folder: Path, expected: dict[str, bytes | str]) -> str:
    if job.result is not None and (path := folder / job.result).exists() and content(path) == expected[job.result]:
        return "result written"
    return job.place(folder)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5, help="of each command (default: 5)")
    parser.add_argument("--command", choices=["find", "verify", "sweep", "all"], default="all")
    parser.add_argument("--signal", choices=list(NUMBERS), default="KILL")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--keep", action="store_true", help="keep the folders; those of failures are kept in any case")
    return parser.parse_args()


def run() -> int:
    """Kill what the command line says, and say what came of it."""
    options = parse()
    root = Path(tempfile.mkdtemp(prefix="ticketkit-crashes-"))
    began = time.monotonic()
    start_folder = root / "start"
    start_folder.mkdir()
    finish((*FIND, "--seed", "7"), start_folder)
    known = jobs(start_folder / "ticket.st")
    names = list(known) if options.command == "all" else [options.command]
    drawn = random.Random(options.seed)
    tallies = {name: attack(known[name], options.kills, NUMBERS[options.signal], root, drawn) for name in names}
    for name, tally in tallies.items():
        tell(
            f"{name}: {tally.kills} kills, {tally.recoveries} recoveries, {tally.late} too late, "
            f"{len(tally.failures)} failures"
        )
        for place, count in sorted(tally.places.items()):
            tell(f"  {count:>4}  {place}")
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    tell(f"{len(failures)} failures in {time.monotonic() - began:.0f} s")
    for failure in failures:
        tell(failure)
    if not failures and not options.keep:
        shutil.rmtree(root)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(run())
