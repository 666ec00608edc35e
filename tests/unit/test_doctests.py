"""Every public name has an example that runs, and prints what it says."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ticketkit
from ticketkit.arch import FAMILIES
from ticketkit.models import MODELS
from ticketkit.ticket import Ticket


@pytest.fixture(scope="module")
def folder(make_ticket: Callable[..., Ticket], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples begin with: the README's ticket, of other weights."""
    path = tmp_path_factory.mktemp("examples")
    ticketkit.save_ticket(make_ticket("resnet20", density=0.044), path / "resnet20.st")
    return path


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Forget the networks that examples register."""
    before = set(FAMILIES)
    yield
    for name in FAMILIES.keys() - before:
        del FAMILIES._values[name], MODELS._values[name]


@pytest.mark.parametrize("name", [name for name in ticketkit.__all__ if not name.startswith("__")])
def test_its_examples_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    public = getattr(ticketkit, name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = finder.find(public, name, module=inspect.getmodule(public), globs={"ticketkit": ticketkit})
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.REPORT_NDIFF)
    results = [runner.run(test, out=said.append) for test in tests]
    assert sum(result.attempted for result in results), f"{name} has no example"
    assert not sum(result.failed for result in results), "".join(said)
