"""Everything that needs a GPU, in eight minutes on any CUDA machine, in one JSON document.

python benchmarks/gpu.py --out benchmarks/results/gpu-h200.json
python benchmarks/gpu.py --data-dir CIFAR-DIR --image-folder IMAGES-DIR --out benchmarks/results/gpu-h200.json

Each section is one of the other scripts, in a process of its own, which a fault of the device or a lack of memory ends
alone, and with a time of its own, the most important first. What is done is written after each section. Without data
the images are made up; accuracies then say nothing, times do. ``pytest -m gpu`` is another matter: it tests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import record
from rounds import Budget

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One script to run.

    Attributes:
        name: What its results are kept under.
        command: The script and its arguments.
        seconds: When it is ended.
    """

    name: str
    command: tuple[str, ...]
    seconds: float


def sections_for(options: argparse.Namespace) -> list[Section]:
    """What is run, most important first.

    Args:
        options: Device, data, and whether to be quick.
    """
    device = ("--device", options.device, *(("--quick",) if options.quick else ()))
    cifar = () if options.data_dir is None else ("--data-dir", str(options.data_dir))
    short = ("--plain-levels", "1") if options.quick else ("--plain-levels", "2", "--epochs", "4")
    found = [
        Section(name="train", command=("train.py", *device, *cifar), seconds=210),
        Section(name="find", command=("find.py", *device, *cifar, *short), seconds=120),
        Section(name="verify", command=("verify.py", *device, *cifar, "--parallel", "1", "auto"), seconds=100),
        Section(name="profile", command=("train.py", *device, *cifar, "--profile"), seconds=40),
        Section(name="scale", command=("scale.py", *device), seconds=120),
    ]
    if options.image_folder is not None:
        waits = ("waits.py", str(options.image_folder), *device[:2])
        small = ("--arch", "cifar-resnet8-w4", "--image-size", "8", "--batch", "4") if options.quick else ()
        found.insert(3, Section(name="waits", command=(*waits, *small), seconds=90))
    return [section for section in found if not options.sections or section.name in options.sections]


def run_section(section: Section, seconds: float) -> dict[str, Any]:
    """Run one section; gives its command, its time, and its results or why there are none.

    Args:
        section: What to run.
        seconds: When it is ended, if that is before its own time.
    """
    began = time.monotonic()
    outcome: dict[str, Any] = {"command": _told(section.command)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        command = [sys.executable, str(HERE / section.command[0]), *section.command[1:], "--out", str(out)]
        try:
            subprocess.run(command, check=True, timeout=min(section.seconds, seconds))
        except subprocess.TimeoutExpired:
            outcome["ended"] = "its time was over"
        except subprocess.CalledProcessError as error:
            outcome["ended"] = f"it failed with exit code {error.returncode}"
        if out.exists():
            # A section that was ended may have kept what it had until then.
            outcome["results"] = json.loads(out.read_text(encoding="utf-8"))["results"]
    outcome["seconds"] = time.monotonic() - began
    return outcome


def _told(command: Sequence[str]) -> str:
    """A command without the folders of this machine."""
    return " ".join(["python", *(Path(part).name if Path(part).is_absolute() else part for part in command)])


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    budget = Budget(options.seconds)
    results: dict[str, Any] = {}
    for section in sections_for(options):
        print(f"\n— {section.name}, {budget.left:.0f} s left", file=sys.stderr, flush=True)
        if budget.spent:
            results[section.name] = {"ended": "no time was left"}
        else:
            results[section.name] = run_section(section, budget.left)
        if options.out is not None:
            record(results, options.out)
    if options.out is None:
        record(results, None)
    return 1 if any("results" not in outcome for outcome in results.values()) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:n, or cpu to try the script out")
    parser.add_argument("--data-dir", type=Path, help="a folder with CIFAR-10; noise of its shape if not given")
    parser.add_argument("--image-folder", type=Path, help="images to stream, train/CLASS and test/CLASS")
    parser.add_argument("--seconds", type=float, default=470, help="for all of it")
    parser.add_argument("--sections", nargs="+", choices=("train", "find", "verify", "waits", "profile", "scale"))
    parser.add_argument("--quick", action="store_true", help="tiny networks, to try the script out")
    parser.add_argument("--out", type=Path, help="where to write the JSON document; standard output if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
