import threading
import time
from contextlib import closing

import pytest
import torch

from ticketkit.arch import parse_arch
from ticketkit.errors import RunError
from ticketkit.models import build_model
from ticketkit.train import Compute
from ticketkit.train.memory import WORKSPACE, training_bytes
from ticketkit.train.parallel import MOST_ON_A_GPU, Stop, StoppedError, how_many, together

CPU = Compute()
ARCH = parse_arch("resnet20")
SHAPE = (3, 32, 32)


def test_every_job_is_done_once_and_known_by_its_number():
    for parallel in (1, 2, 3):
        jobs = [lambda number=number: number * number for number in range(7)]
        assert dict(together(jobs, parallel, CPU, Stop())) == {number: number * number for number in range(7)}


def test_so_many_run_at_once_and_no_more():
    running, most = 0, 0
    lock, both = threading.Lock(), threading.Barrier(2, timeout=10)

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()  # is passed by two at a time, so two do run at once
        with lock:
            running -= 1

    list(together([job] * 6, 2, CPU, Stop()))
    assert most == 2


def test_one_at_a_time_stays_in_the_calling_thread():
    here = threading.get_ident()
    assert {found for _, found in together([threading.get_ident] * 3, 1, CPU, Stop())} == {here}
    assert here not in {found for _, found in together([threading.get_ident] * 3, 2, CPU, Stop())}


def test_every_thread_has_the_threads_of_its_setting():
    before = torch.get_num_threads()
    found = {count for _, count in together([torch.get_num_threads] * 4, 2, Compute(threads=1), Stop())}
    assert found == {1}
    assert torch.get_num_threads() == before


class Endless:
    """A job that ends when it is told to."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.begun = threading.Event()
        self.stopped = False

    def __call__(self) -> None:
        self.begun.set()
        try:
            while True:
                time.sleep(0.005)
                self.stop.check()
        except StoppedError:
            self.stopped = True
            raise


def test_an_error_ends_the_others_and_is_the_one_that_is_told():
    stop = Stop()
    endless = Endless(stop)

    def broken() -> None:
        assert endless.begun.wait(10)
        raise RunError("the loss must stay finite")

    with pytest.raises(RunError, match="finite"):
        list(together([endless, broken, Endless(stop)], 2, CPU, stop))
    assert endless.stopped


def test_leaving_early_ends_those_that_run():
    stop = Stop()
    endless = Endless(stop)
    with closing(together([lambda: endless.begun.wait(10), endless], 2, CPU, stop)) as results:
        assert next(results) == (0, True)
    assert endless.stopped


# --- how many


def test_the_cpu_runs_as_many_as_have_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ticketkit.train.parallel.cores", lambda: 12)
    chosen = [how_many("auto", 40, Compute(threads=threads), ARCH, SHAPE, 128) for threads in (1, 5, 12, 24)]
    assert chosen == [12, 2, 1, 1]
    assert how_many("auto", 3, Compute(threads=1), ARCH, SHAPE, 128) == 3, "no more than there are"


def test_a_number_is_taken_at_its_word():
    assert how_many(5, 40, CPU, ARCH, SHAPE, 128) == 5
    assert how_many(5, 2, CPU, ARCH, SHAPE, 128) == 2
    for number in (0, -1):
        with pytest.raises(RunError, match=rf"must be auto, or 1 or more \(got {number}\)"):
            how_many(number, 2, CPU, ARCH, SHAPE, 128)


def test_a_gpu_runs_as_many_as_have_room(monkeypatch: pytest.MonkeyPatch):
    need = training_bytes(ARCH, SHAPE, 128, "bf16")
    for free, expected in ((0.5 * need, 1), (2.6 * need, 2), (1000 * need, MOST_ON_A_GPU)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda _device, free=free: (int(free), 0))
        cuda = Compute(device="cuda:0", precision="bf16")
        assert how_many("auto", 40, cuda, ARCH, SHAPE, 128) == expected


@pytest.mark.parametrize(
    ("name", "shape", "batch"), [("resnet20", (3, 32, 32), 16), ("mlp-64-32-10", (1, 8, 8), 64), ("vgg11", SHAPE, 4)]
)
def test_the_estimate_of_memory_is_above_what_autograd_keeps_but_not_far(
    name: str, shape: tuple[int, int, int], batch: int
):
    arch = parse_arch(name, in_channels=shape[0]) if shape[0] == 3 else parse_arch(name)
    model = build_model(arch).train()
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(torch.randn(batch, *shape)).sum()
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    estimate = training_bytes(arch, shape, batch) - WORKSPACE
    saved = sum(kept.values())
    assert estimate > saved
    assert estimate < 4 * saved + 6 * weights
