"""``--deterministic`` reaches what computes, from every command that trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ticketkit import train
from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.sweep import laboratory
from ticketkit.ticket import Ticket


class Reached(Exception):  # noqa: N818 - not an error of ours
    pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the commands ask of the function that chooses where and how to compute, which ends them."""
    seen: list[bool] = []

    def choose(*_: object, **settings: Any) -> None:
        seen.append(settings["deterministic"])
        raise Reached

    monkeypatch.setattr(laboratory, "choose_compute", choose)
    monkeypatch.setattr(train, "choose_compute", choose)
    return seen


@pytest.mark.parametrize(
    "arguments",
    [
        "find --arch resnet8-w2 -o found.st",
        "verify a.st --dataset digits --recipe quick",
        "connect a.st --dataset digits --recipe quick",
        "sweep study.toml -o out",
    ],
)
def test_every_command_that_trains_passes_it_on(
    make_ticket: Callable[..., Ticket],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[bool],
    arguments: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_ticket(make_ticket("resnet8-w2", in_channels=1), "a.st")
    Path("study.toml").write_text('sources = ["resnet14-w2"]\ntargets = ["resnet20-w2"]\nsparsities = [0.5]\n')
    for option in ([], ["--deterministic"]):
        with pytest.raises(Reached):
            CliRunner().invoke(application, [*arguments.split(), *option], catch_exceptions=False)
    assert asked == [False, True]
