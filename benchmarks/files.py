"""Tickets as files: time, speed, memory and bytes of saving, loading, stretching and inspecting them.

For ResNet-20 and -110 and ImageNet's ResNet-50 and -152, with random masks; a ticket's values do not matter to what is
measured. Beside each stands what a script without ticketkit does with the same content: `torch.save` and `torch.load`
of dense weights and int32 masks, as the earlier tools keep them. Beside stretching stand a copy in memory and a plain
write of the bytes that it writes, which say what memory and disk cost. Commands are whole processes, beside
`import numpy` and `import torch`.

Every operation runs in a process of its own. Memory is what it needs beyond what that process held before, as Linux
counts it: `private` is the process's own, `mapped` are pages of files, which the system takes back when it needs them,
each at its peak, sampled; `peak` is the highest sum of both. Times are the least and the median of all runs; every file
is in the system's cache, and what is written is flushed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from random_tickets import random_ticket
from record import record

from ticketkit.arch import parse_arch
from ticketkit.bundle import load_tensors, load_ticket, read_header, save_ticket
from ticketkit.encoding import Bitmask
from ticketkit.report.sparsity import SparsityReport
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

Operation = Callable[[], object]

TARGETS = {
    "cifar-resnet20": "cifar-resnet110",
    "cifar-resnet110": "cifar-resnet20",
    "imagenet-resnet50": "imagenet-resnet152",
    "imagenet-resnet152": "imagenet-resnet50",
}
"""The networks, and what each is stretched or squeezed to."""
SPARSITIES = (0.8, 0.95)
COMMANDS = {
    "ticketkit --help": "--help",
    "inspect resnet20": "inspect cifar-resnet20.st",
    "inspect resnet110": "inspect cifar-resnet110.st",
    "inspect imagenet-resnet50": "inspect imagenet-resnet50.st",
    "inspect imagenet-resnet152": "inspect imagenet-resnet152.st",
    "check resnet110": "check cifar-resnet110.st",
    "check imagenet-resnet152": "check imagenet-resnet152.st",
    "diff resnet110": "diff cifar-resnet110.st other.st",
    "stretch resnet20 to resnet56": "stretch cifar-resnet20.st --to 56 --force -o out.st",
    "stretch resnet20 to resnet110": "stretch cifar-resnet20.st --to 110 --force -o out.st",
    "stretch imagenet-resnet50 to 152": "stretch imagenet-resnet50.st --to 152 --force -o out.st",
}


def save_plainly(ticket: Ticket, path: Path) -> None:
    import torch

    weights = {name: torch.from_numpy(array) for name, array in ticket.tensors.items()}
    masks = {name: torch.from_numpy(mask.astype(np.int32)) for name, mask in ticket.mask.items()}
    torch.save({"weights": weights, "masks": masks}, path)


def flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write(content: memoryview, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        done = 0
        while done < len(content):
            done += file.write(content[done:])
        os.fsync(file.fileno())


def operations(network: str, folder: Path) -> dict[str, Operation]:
    """What is measured of one network, without torch."""
    path, out, target = folder / f"{network}.st", folder / "out.st", parse_arch(TARGETS[network])
    tickets: list[Ticket] = []

    def save() -> None:
        tickets[:] = tickets or [load_ticket(path)]  # at the first run, which is for warming up
        save_ticket(tickets[0], out)

    def stretch(*, mapped: bool) -> None:
        save_ticket(stretch_ticket(load_ticket(path, mapped=mapped), target), out)

    def inspect() -> SparsityReport:
        header = read_header(path)
        return SparsityReport.of(load_tensors(header, mapped=True), header)

    def dense() -> object:
        ticket = load_ticket(path)
        return dict(ticket.tensors), ticket.mask

    return {
        "save": save,
        "load": lambda: load_ticket(path),
        "load, mapped": lambda: load_ticket(path, mapped=True),
        "load to dense arrays": lambda: dict(load_ticket(path).tensors),
        "load to dense arrays and masks": dense,
        "stretch": lambda: stretch(mapped=True),
        "stretch, read": lambda: stretch(mapped=False),
        "inspect": inspect,
    }


def plain_operations(network: str, folder: Path) -> dict[str, Operation]:
    """What stands beside it."""
    import torch
    from families import plain_script

    torch.set_num_threads(1)
    path, out, target = folder / f"{network}.pth", folder / "out.st", parse_arch(TARGETS[network])
    origins: dict[str, str] = {}
    contents: list[object] = []

    def save(*, flushed: bool) -> None:
        contents[:] = contents or [torch.load(path, weights_only=True)]
        torch.save(contents[0], out)
        if flushed:
            flush(out)

    def touch() -> int:
        """Read one byte of every page of every tensor, so that all of a mapped file is there."""
        groups = torch.load(path, weights_only=True, mmap=True).values()
        tensors = [tensor.numpy().reshape(-1).view(np.uint8)[::4096] for group in groups for tensor in group.values()]
        return sum(int(pages.sum(dtype=np.int64)) for pages in tensors)

    def stretch() -> None:
        if not origins:
            ticket = load_ticket(folder / f"{network}.st")
            names = {id(stored): name for name, stored in ticket.stored.items()}
            result = stretch_ticket(ticket, target)
            origins.update({name: names[id(stored)] for name, stored in result.stored.items()})
        plain_script(path, out, origins)
        flush(out)

    def inspect() -> list[tuple[int, int]]:
        masks = torch.load(path, weights_only=True)["masks"].values()
        return [(int(mask.sum()), mask.numel()) for mask in masks]

    return {
        "plain save": lambda: save(flushed=True),
        "plain save, not flushed": lambda: save(flushed=False),
        "plain load": lambda: torch.load(path, weights_only=True),
        "plain load, mapped and touched": touch,
        "plain stretch": stretch,
        "plain inspect": inspect,
    }


PLAIN = ("save", "save, not flushed", "load", "load, mapped and touched", "stretch", "inspect")
OURS = (
    "save",
    "load",
    "load, mapped",
    "load to dense arrays",
    "load to dense arrays and masks",
    "stretch",
    "stretch, read",
    "inspect",
)


def measured(name: str, network: str, folder: Path, runs: int) -> dict[str, Any]:
    """One operation on one network, in this process."""
    out, plain = folder / "out.st", name.startswith("plain")
    make_operations = plain_operations if plain else operations
    make_operations("cifar-resnet20", folder)[name]()  # imports and the like are not the operation's
    operation = make_operations(network, folder)[name]
    if "save" in name:
        out.unlink(missing_ok=True)
        operation()
    out.unlink(missing_ok=True)
    needed = memory(operation)
    row: dict[str, Any] = timed(operation, out, runs)
    length = (out if out.exists() else folder / f"{network}{'.pth' if plain else '.st'}").stat().st_size
    out.unlink(missing_ok=True)
    return row | {"bytes": length, "gb_per_s": length / row["least_s"] / 1e9} | needed


def timed(operation: Operation, out: Path, runs: int) -> dict[str, float]:
    times = []
    for _ in range(runs):
        out.unlink(missing_ok=True)  # every run writes a new file, as the first one does
        began = time.perf_counter()
        kept = operation()
        times.append(time.perf_counter() - began)
        del kept
    return {"least_s": min(times), "median_s": statistics.median(times)}


def all_operations(network: str, folder: Path, runs: int) -> dict[str, Any]:
    """Each operation in a process of its own, so that none profits from what another has allocated or imported."""
    rows = {}
    for name in (*OURS, *(f"plain {name}" for name in PLAIN)):
        arguments = ["--operation", name, "--network", network, "--folder", str(folder), "--runs", str(runs)]
        done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
        rows[name] = json.loads(done.stdout)
    return rows


def floors(path: Path, folder: Path, runs: int) -> dict[str, Any]:
    """What a copy in memory, and a plain write to the same folder, of one file's bytes take."""
    content, out = memoryview(path.read_bytes()), folder / "out.st"
    rows = {
        "copy in memory": timed(lambda: bytearray(content), out, runs),
        "plain write, flushed": timed(lambda: write(content, out), out, runs),
    }
    return {name: row | {"gb_per_s": len(content) / row["least_s"] / 1e9} for name, row in rows.items()}


def memory(operation: Operation) -> dict[str, float | None]:
    """What an operation needs beyond what the process holds, in bytes; None where the system does not say."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return {"peak_bytes": None, "private_bytes": None, "mapped_bytes": None}

    def read() -> dict[str, int]:
        lines = (line.split() for line in status.read_text(encoding="ascii").splitlines())
        return {
            line[0].rstrip(":"): 1024 * int(line[1]) for line in lines if line[0].startswith(("Rss", "VmRSS", "VmHWM"))
        }

    ended, samples = threading.Event(), []

    def sample() -> None:
        while not ended.wait(0.0005):
            samples.append(read())

    reset.write_text("5", encoding="ascii")  # the peak so far is forgotten
    before = read()
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    kept = operation()
    samples.append(read())
    ended.set()
    thread.join()
    del kept
    after = read()
    return {
        "peak_bytes": after["VmHWM"] - before["VmRSS"],
        "private_bytes": max(found["RssAnon"] for found in samples) - before["RssAnon"],
        "mapped_bytes": max(found["RssFile"] for found in samples) - before["RssFile"],
    }


def sizes(path: Path, dense_path: Path) -> dict[str, Any]:
    ticket = load_ticket(path)
    masked = [stored for stored in ticket.stored.values() if isinstance(stored, Bitmask)]
    bits, values = sum(stored.bits.nbytes for stored in masked), sum(stored.values.nbytes for stored in masked)
    rest = sum(stored.data.nbytes for stored in ticket.stored.values() if not isinstance(stored, Bitmask))
    file, dense = path.stat().st_size, rest + 8 * ticket.total  # float32 and int32 of each prunable weight
    return {
        "network": ticket.arch.name,
        "sparsity": ticket.sparsity,
        "file_bytes": file,
        "one_bit_a_weight": bits,
        "four_bytes_a_kept_weight": values,
        "other_tensors": rest,
        "header_bytes": file - bits - values - rest,
        "file_over_bits_values_rest": file / (bits + values + rest),
        "dense_and_masks_bytes": dense,
        "dense_and_masks_over_file": dense / file,
        "dense_and_masks_over_floor": dense / (bits + values + rest),
        "torch_file_bytes": dense_path.stat().st_size,
    }


def all_sizes(folder: Path) -> Iterator[dict[str, Any]]:
    for sparsity in SPARSITIES:
        for network in TARGETS:
            path, dense = folder / "sized.st", folder / "sized.pth"
            ticket = random_ticket(parse_arch(network), sparsity)
            save_ticket(ticket, path, overwrite=True)
            save_plainly(ticket, dense)
            yield sizes(path, dense)
            path.unlink()
            dense.unlink()


def all_commands(folder: Path, runs: int) -> dict[str, Any]:
    python = [sys.executable]
    lines = {name: [*python, "-m", "ticketkit", *line.split()] for name, line in COMMANDS.items()}
    lines |= {name: [*python, "-c", name] for name in ("import numpy", "import torch")}
    return {
        name: timed(
            lambda line=line: subprocess.run(line, check=True, capture_output=True, cwd=folder), folder / "out.st", runs
        )
        for name, line in lines.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folder", type=Path, help="where to write files; a temporary folder if not given")
    parser.add_argument("--operation", help="measure this one only, on what lies in --folder")
    parser.add_argument("--network", help="the network of that operation")
    arguments = parser.parse_args()
    if arguments.operation:
        print(json.dumps(measured(arguments.operation, arguments.network, arguments.folder, arguments.runs)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for network in TARGETS:
            ticket = random_ticket(parse_arch(network), SPARSITIES[0])
            save_ticket(ticket, folder / f"{network}.st")
            save_plainly(ticket, folder / f"{network}.pth")
        save_ticket(random_ticket(parse_arch("cifar-resnet110"), SPARSITIES[0], seed=1), folder / "other.st")
        deep = folder / "deep.st"
        save_ticket(stretch_ticket(load_ticket(folder / "imagenet-resnet50.st"), "imagenet-resnet152"), deep)
        results = {
            "sparsity": SPARSITIES[0],
            "operations": {network: all_operations(network, folder, arguments.runs) for network in TARGETS},
            "floors of the stretch imagenet-resnet50 to 152": floors(deep, folder, arguments.runs),
            "commands": all_commands(folder, arguments.runs),
            "sizes": list(all_sizes(folder)),
        }
    record(results, arguments.out)


if __name__ == "__main__":
    main()
