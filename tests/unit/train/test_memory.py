from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from ticketkit.train import Compute
from ticketkit.train import memory as module
from ticketkit.train.memory import PeakMemory, peak_memory

SIZE = 200 * 1_000_000
CPU = Compute()


def measured(size: int) -> PeakMemory:
    with peak_memory(CPU) as peak:
        assert peak.bytes is None, "nothing is known before the end"
        torch.ones(size, dtype=torch.uint8)
    return peak


def test_what_a_block_allocates_raises_its_peak_and_no_other_blocks() -> None:
    peaks = [measured(size).bytes for size in (1, SIZE, 1)]
    before, during, after = (peak or 0 for peak in peaks)
    assert 0.9 * SIZE < during - before < 1.1 * SIZE
    if os.access(module._RESET, os.W_OK):
        assert during - after > 0.9 * SIZE, "the peak is forgotten at the start of a block"


def test_an_error_still_leaves_the_measurement() -> None:
    measurements = []

    def break_inside() -> None:
        with peak_memory(CPU) as peak:
            measurements.append(peak)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_inside()
    assert measurements[0].bytes is not None


@pytest.mark.parametrize(("platform", "factor"), [("linux", 1_024), ("darwin", 1)])
def test_without_proc_it_is_the_processs_peak(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, factor: int
) -> None:
    class Resource:
        RUSAGE_SELF = 0
        ru_maxrss = 5_000

        def getrusage(self, _: int) -> Resource:
            return self

    monkeypatch.setattr(module, "_RESET", tmp_path / "missing" / "clear_refs")
    monkeypatch.setattr(module, "_STATUS", tmp_path / "missing" / "status")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setitem(sys.modules, "resource", Resource())
    assert measured(1).bytes == 5_000 * factor


def test_nothing_tells_on_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_RESET", tmp_path / "missing" / "clear_refs")
    monkeypatch.setattr(module, "_STATUS", tmp_path / "missing" / "status")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert measured(1).bytes is None


def test_on_a_gpu_it_is_what_was_allocated_there(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "init", lambda: calls.append(("init", "")))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: calls.append(("reset", device)))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: calls.append(("read", device)) or 77)
    with peak_memory(Compute(device="cuda:1")) as peak:
        calls.append(("block", ""))
    assert peak.bytes == 77
    assert calls == [("init", ""), ("reset", "cuda:1"), ("block", ""), ("read", "cuda:1")]
