"""Whatever is drawn follows from a seed derived by name: read off the code, so that new code keeps to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import ticketkit
from ticketkit.arch import parse_arch
from ticketkit.data import ImageData
from ticketkit.find import find_ticket
from ticketkit.recipe import Recipe
from ticketkit.train import Compute

PACKAGE = Path(ticketkit.__file__).parent

SHARED = {
    # A criterion draws from its arm's own seed, and ``permuted`` from that of the arm that permutes: an arm has one.
    "mask": {"prune/erk.py", "verify/arm.py"},
}
"""Names of randomness that more than one module uses, and why they never draw the same."""

DRAWING = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
"""Functions of torch that draw; ``torch.nn.init`` has names of its own."""


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the package: its module, what is called as it is written, and the call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func), node


CALLS = list(calls())
DERIVED = [(module, call) for module, name, call in CALLS if name == "derive_seed"]


OTHERS_CONSTRUCTORS = {"models/own.py"}
"""What builds a user's own network: its constructor draws from the process's generator, seeded and put back."""


def uses_of(module: str) -> list[str]:
    names = [call.args[1] for own, call in DERIVED if own == module]
    return [name.value for name in names if isinstance(name, ast.Constant)]


def test_there_are_seeds_to_look_at() -> None:
    assert len(DERIVED) > 10
    assert set(uses_of("train/batches.py")) == {"data order", "augmentation"}
    assert set(uses_of("models/build.py")) == {"initialisation"}
    assert set(uses_of("verify/training.py")) == {"verify", "arm", "network"}


def test_every_seed_is_derived_under_a_name_that_the_code_spells_out() -> None:
    for module, call in DERIVED:
        name = call.args[1]
        assert isinstance(name, ast.Constant), f"{module}:{call.lineno}"
        assert isinstance(name.value, str), f"{module}:{call.lineno}"


def test_no_two_uses_of_randomness_share_a_name() -> None:
    homes: dict[str, set[str]] = {}
    for module, call in DERIVED:
        name = call.args[1]
        assert isinstance(name, ast.Constant)
        homes.setdefault(str(name.value), set()).add(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == SHARED


def test_nothing_is_drawn_from_a_generator_that_others_share() -> None:
    for module, name, call in CALLS:
        where = f"{module}:{call.lineno}: {name}"
        given = {keyword.arg for keyword in call.keywords}
        last = name.rpartition(".")[2]
        if name.startswith("np.random."):
            assert name.startswith("np.random.default_rng"), where
            assert last != "default_rng" or call.args, where
        if (name.startswith("torch.") and last in DRAWING) or (name.startswith("nn.init.") and _draws(last)):
            assert "generator" in given, where
        if last in {"manual_seed", "manual_seed_all"} and module not in OTHERS_CONSTRUCTORS:
            assert name == "torch.Generator().manual_seed", where
        assert not name.startswith("random."), where


def _draws(initialiser: str) -> bool:
    return any(word in initialiser for word in ("normal", "uniform", "orthogonal", "sparse"))


@pytest.fixture
def dealt() -> Iterator[None]:
    """The process's own random state, put back."""
    before = torch.get_rng_state(), np.random.get_state()
    yield
    torch.set_rng_state(before[0])
    np.random.set_state(before[1])


@pytest.mark.usefixtures("dealt")
def test_the_random_state_of_the_process_is_neither_used_nor_moved(stripes: ImageData) -> None:
    arch = parse_arch("resnet8-w2", in_channels=1, num_classes=2)
    recipe = Recipe(name="tiny", epochs=1, batch=16, lr=0.05, crop=1, flip=True)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        found.append(find_ticket(arch, stripes, recipe, levels=1, device=Compute()))
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])
    assert found[0] == found[1]
