"""Stretching and squeezing at full width: time in memory and from file to file, for every family.

The masks are random at 73.8 % sparsity; a ticket's values do not matter to what is measured. Beside it stands what a
script without ticketkit does with the same content: `torch.load` of dense weights and int32 masks, as the earlier tools
keep them, a copy of each tensor that the target needs, `torch.save`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from record import record

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Weights
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

DENSITY = 0.2621
PAIRS = (
    ("resnet20", "resnet56"),
    ("resnet56", "resnet20"),
    ("imagenet-resnet34", "imagenet-resnet18"),
    ("imagenet-resnet18", "imagenet-resnet34"),
    ("imagenet-resnet50", "imagenet-resnet101"),
    ("vgg13", "vgg19"),
    ("vgg19", "vgg13"),
    ("mobilenetv1", "mobilenetv1-9"),
    ("mlp-784-300-300-100-10", "mlp-784-300-300-300-300-100-10"),
    ("vit-tiny12", "vit-tiny18"),
)


def make(arch: ArchSpec) -> Ticket:
    random = np.random.default_rng(0)
    tensors: dict[str, Array] = {}
    for entry in arch.state():
        if entry.tensor.dtype == "I64":
            tensors[entry.name] = np.array(1, dtype=np.int64)
        else:
            tensors[entry.name] = random.standard_normal(entry.tensor.shape, dtype=np.float32)
    mask = Mask(
        {name: random.random(tensors[name].shape, dtype=np.float32) < DENSITY for name in arch.prunable_names()}
    )
    return Ticket.from_arrays(
        arch, tensors, mask, weights=Weights(role="rewind", step=1), provenance=Provenance(method="benchmark")
    )


def seconds(function: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def plain_script(source: Path, target: Path, origins: dict[str, str]) -> None:
    """Copy by name: ``origins`` says for each target tensor which source tensor it is."""
    found = torch.load(source, weights_only=True)
    weights = {name: found["weights"][origin].clone() for name, origin in origins.items()}
    masks = {name: found["masks"][origin].clone() for name, origin in origins.items() if origin in found["masks"]}
    torch.save({"weights": weights, "masks": masks}, target)


def measure(source_name: str, target_name: str, runs: int) -> dict[str, object]:
    source = make(parse_arch(source_name))
    target = parse_arch(target_name)
    result = stretch_ticket(source, target)
    names = {id(stored): name for name, stored in source.stored.items()}
    origins = {name: names[id(stored)] for name, stored in result.stored.items()}
    with tempfile.TemporaryDirectory() as folder:
        source_path, out = Path(folder, "source.st"), Path(folder, "out.st")
        dense_path, dense_out = Path(folder, "source.pth"), Path(folder, "out.pth")
        save_ticket(source, source_path)
        torch.save(
            {
                "weights": {name: torch.from_numpy(array) for name, array in source.tensors.items()},
                "masks": {name: torch.from_numpy(mask.astype(np.int32)) for name, mask in source.mask.items()},
            },
            dense_path,
        )

        def whole() -> None:
            save_ticket(stretch_ticket(load_ticket(source_path), target), out, overwrite=True)

        times = {
            "stretch_ms": 1e3 * seconds(lambda: stretch_ticket(source, target), runs),
            "load_ms": 1e3 * seconds(lambda: load_ticket(source_path), runs),
            "file_to_file_ms": 1e3 * seconds(whole, runs),
            "plain_script_ms": 1e3 * seconds(lambda: plain_script(dense_path, dense_out, origins), runs),
        }
        sizes = {"file_bytes": out.stat().st_size, "plain_script_bytes": dense_out.stat().st_size}
    return {
        "source": source.arch.name,
        "target": target.name,
        "parameters": [source.arch.parameters, target.parameters],
        "prunable": [source.total, result.total],
        "layers": [len(source.arch.layers()), len(target.layers())],
        **times,
        **sizes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record([measure(source, target, arguments.runs) for source, target in PAIRS], arguments.out)


if __name__ == "__main__":
    main()
