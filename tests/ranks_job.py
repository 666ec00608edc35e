"""What tests of several ranks have each rank do: ``python ranks_job.py FOLDER cpu|cuda``, in torchrun's environment.

Each rank pickles what it came to as ``FOLDER/rank-0.pickle`` and so on. The functions take the group that does it, so
that a test can compare with one process alone.
"""

import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ticketkit.arch import parse_arch
from ticketkit.data import load_data
from ticketkit.errors import TicketkitError
from ticketkit.find import find_ticket
from ticketkit.models import initialise
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute, train
from ticketkit.train.distributed import Group, joined, part_of
from ticketkit.train.steps import EagerSteps
from ticketkit.train.synchronised import synchronise

ARCHS = ("resnet8-w4", "mlp-64-20-10", "vit2-w16-p2-i8")
RECIPE = Recipe(name="tiny", epochs=2, batch=64, lr=0.05, nesterov=True, weight_decay=1e-3, crop=1, rewind="2it")
STEPS = 3


def normalise(group: Group, device: str = "cpu", dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """One forward and backward pass of a batch normalisation, on this rank's half of a batch; its inputs are uneven."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 4, 4, generator=random, dtype=dtype) * torch.arange(1, 9)[:, None, None, None] + 5
    weights = torch.randn(8, 3, 4, 4, generator=random, dtype=dtype)
    norm = nn.Sequential(nn.BatchNorm2d(3, dtype=dtype))
    nn.init.uniform_(norm[0].weight, generator=random)
    norm = synchronise(norm.to(device), group).train()
    share = slice(group.rank * 8 // group.size, (group.rank + 1) * 8 // group.size)
    mine = images[share].to(device).requires_grad_()
    given = norm(mine)
    (given * weights[share].to(device)).sum().backward()
    found = {"given": given.detach(), "gradient": mine.grad}
    found |= {f"{name} gradient": parameter.grad for name, parameter in norm.named_parameters()}
    found |= dict(norm.named_buffers())
    return {name: tensor.cpu() for name, tensor in found.items()}


def take_steps(group: Group, name: str, compute: Compute) -> dict[str, Any]:
    """The gradients of the first step, and where a few steps lead."""
    data = load_data("digits")
    arch = parse_arch(name, in_channels=data.shape[0], num_classes=10)
    batches = Batches(data, RECIPE, compute.device)
    with compute.applied():
        steps = EagerSteps(arch, part_of(batches, group), compute, group)
        steps.start(initialise(arch, 0), None)
        steps.begin_epoch(0, 0, 0, [0.05] * (STEPS + 1))
        steps.gradients()
        gradients = steps.flat.gradients.clone()
        for _ in range(STEPS):
            steps.step()
        group.average(steps.losses)
    return {
        "gradients": gradients.cpu().numpy(),
        "values": steps.flat.values.detach().cpu().numpy(),
        "buffers": {name: buffer.cpu().numpy() for name, buffer in steps.model.named_buffers()},
        "names": list(steps.model.state_dict()),
        "loss": float(steps.losses),
    }


def find(group: Group, name: str, compute: Compute, run_dir: Path | None = None) -> dict[str, Any]:
    """A whole run of two levels."""
    data = load_data("digits").limited(256)
    arch = parse_arch(name, in_channels=data.shape[0], num_classes=10)
    losses: list[float] = []
    ticket = find_ticket(
        arch,
        data,
        RECIPE,
        levels=2,
        rate=0.4,
        device=compute,
        run_dir=run_dir,
        resume=run_dir is not None and run_dir.exists(),
        on_epoch=lambda _, progress: losses.append(progress.loss),
        group=group,
    )
    return {
        "id": ticket.id,
        "mask": dict(ticket.mask),
        "accuracies": [level.accuracy for level in ticket.results.levels],
        "environment": dict(ticket.provenance.environment),
        "losses": losses,
    }


def refused(action: Callable[[], object]) -> str:
    """The line in which something is refused."""
    try:
        action()
    except TicketkitError as error:
        return str(error)
    return ""


def train_apart(group: Group, compute: Compute) -> object:
    """A training that every rank begins with other weights."""
    data = load_data("digits").limited(64)
    arch = parse_arch("mlp-64-20-10", in_channels=data.shape[0], num_classes=10)
    return train(
        arch,
        initialise(arch, group.rank),
        None,
        Batches(data, RECIPE, compute.device),
        seed=0,
        compute=compute,
        group=group,
    )


def work(group: Group, folder: Path, compute: Compute) -> dict[str, Any]:
    """Everything, in an order that all ranks share."""
    mean = torch.full((2,), float(group.rank), device=compute.device)
    group.average(mean)
    odd = Recipe(name="odd", epochs=1, batch=33, lr=0.1)
    own = folder / f"run-{group.rank}"
    found = {name: find(group, name, compute) for name in ARCHS[:2]}
    return {
        "mean": mean.tolist(),
        "gathered": group.gathered(torch.tensor([group.rank, 7])).tolist(),
        "of first": group.of_first(lambda: {"made by": group.rank}),
        "alike": refused(lambda: group.check_alike("thing", {"a": np.arange(3)})),
        "not alike": refused(lambda: group.check_alike("thing", str(min(group.rank, 1)).encode())),
        "apart": refused(lambda: train_apart(group, compute)),
        "odd": refused(lambda: part_of(Batches(load_data("digits"), odd, compute.device), group)),
        "normalised": normalise(group, compute.device, torch.float32 if compute.is_cuda else torch.float64),
        "steps": {name: take_steps(group, name, compute) for name in ARCHS},
        "found": found,
        "kept": find(group, "mlp-64-20-10", compute, own)["id"],
        "resumed": find(group, "mlp-64-20-10", compute, own)["losses"],
        "claims": group.claim(),
    }


def main() -> None:
    """Join the ranks and do the work."""
    torch.set_num_threads(1)
    folder, device = Path(sys.argv[1]), sys.argv[2]
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    else:
        warnings.simplefilter("error")
    with joined(device) as group:
        done = work(group, folder, Compute(device=device))
    (folder / f"rank-{group.rank}.pickle").write_bytes(pickle.dumps(done))


if __name__ == "__main__":
    main()
