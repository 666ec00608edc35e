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
from random_tickets import random_ticket
from record import record

from ticketkit.arch import parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.stretch import stretch_ticket

SPARSITY = 0.7379
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
    source = random_ticket(parse_arch(source_name), SPARSITY)
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
