import pytest
import torch

from ticketkit.errors import RunError
from ticketkit.train import Compute, choose_compute


def test_small_images_take_one_thread_and_large_ones_every_core(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert choose_compute("cpu", image_size=8) == Compute(device="cpu", precision="fp32", threads=1)
    assert choose_compute("cpu", image_size=9).threads == 3
    assert choose_compute("cpu", image_size=32, threads=2, precision="bf16") == Compute(threads=2, precision="bf16")


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_compute(image_size=8).device == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = choose_compute(image_size=8)
    assert (found.device, found.precision, found.is_cuda) == ("cuda:0", "bf16", True)
    assert choose_compute("cuda:1", image_size=8).device == "cuda:1"
    with pytest.raises(RunError, match=r"must be one of 2 \(got cuda:2\)"):
        choose_compute("cuda:2", image_size=8)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "gpu:0", ""])
def test_an_unknown_device_is_refused(device: str):
    with pytest.raises(RunError, match=r"must be auto, cpu, cuda or cuda:n"):
        choose_compute(device, image_size=8)


def test_cuda_where_there_is_none_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match=r"CUDA must be available for device cuda:0"):
        choose_compute("cuda", image_size=8)


def test_threads_are_set_inside_the_block_alone():
    before = torch.get_num_threads()
    with Compute(threads=before + 1).applied():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
