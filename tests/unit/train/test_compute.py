import os
from typing import Any

import pytest
import torch

import ticketkit
from ticketkit.errors import RunError
from ticketkit.train import Compute, choose_compute
from ticketkit.train.compute import WORKSPACE_VARIABLE


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


# --- deterministic algorithms

GPU = {"device": "cuda:0", "precision": "bf16"}


@pytest.fixture
def no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of cuBLAS's workspace, before and after."""
    monkeypatch.setenv(WORKSPACE_VARIABLE, "to be restored")
    monkeypatch.delenv(WORKSPACE_VARIABLE)


def settings() -> tuple[object, ...]:
    memory: Any = torch.utils.deterministic
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        memory.fill_uninitialized_memory,
    )


@pytest.mark.usefixtures("no_workspace")
def test_deterministic_algorithms_are_chosen_inside_the_block_alone():
    before = settings()
    with Compute(deterministic=True, **GPU).applied():
        assert settings() == (True, False, True, False, False)
        assert os.environ[WORKSPACE_VARIABLE] == ":4096:8"
    assert settings() == before


@pytest.mark.usefixtures("no_workspace")
def test_without_them_cudnn_looks_for_the_fastest_kernels():
    with Compute(**GPU).applied():
        assert settings() == (False, False, False, True, True)
    assert WORKSPACE_VARIABLE not in os.environ


@pytest.mark.usefixtures("no_workspace")
def test_blocks_of_equal_settings_lie_inside_each_other_as_threads_need():
    compute = Compute(deterministic=True, **GPU)
    before = settings()
    with compute.applied():
        with compute.applied():
            pass
        assert settings() == (True, False, True, False, False)
    assert settings() == before


@pytest.mark.usefixtures("no_workspace")
def test_an_operator_without_a_deterministic_algorithm_is_told_in_a_line():
    before = settings()
    reason = "avg_pool3d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_…'. You can"
    compute = Compute(deterministic=True, **GPU)
    told = r"\(avg_pool3d_backward_cuda does not have a deterministic implementation\); train without it"
    with pytest.raises(RunError, match=told), compute.applied():
        raise RuntimeError(reason)
    with pytest.raises(RuntimeError, match="out of memory"), compute.applied():
        raise RuntimeError("out of memory")
    assert settings() == before


def test_a_workspace_that_does_not_repeat_itself_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv(WORKSPACE_VARIABLE, ":0:0")
    with pytest.raises(RunError, match=r"CUBLAS_WORKSPACE_CONFIG must be :4096:8 or :16:8, or not set \(got ':0:0'\)"):
        choose_compute("cuda", image_size=8, deterministic=True)
    assert not choose_compute("cuda", image_size=8).deterministic
    monkeypatch.setenv(WORKSPACE_VARIABLE, ":16:8")
    assert choose_compute("cuda", image_size=8, deterministic=True).deterministic


def test_fused_operators_are_not_deterministic_on_cuda():
    with pytest.raises(RunError, match=r"must not be compiled"):
        Compute(deterministic=True, compiled=True, **GPU)
    assert Compute(deterministic=True, compiled=True).compiled, "the CPU is deterministic in any case"


def test_what_made_a_result_is_described(monkeypatch: pytest.MonkeyPatch):
    plain = Compute(threads=2).describe()
    assert plain == {
        "ticketkit": ticketkit.__version__,
        "torch": str(torch.__version__),
        "device": "cpu",
        "precision": "fp32",
        "threads": 2,
    }
    assert Compute(threads=2, deterministic=True).describe() == plain, "no result on the CPU depends on it"
    assert Compute(threads=2, deterministic=True).summary == "cpu, 2 threads, fp32"
    monkeypatch.setenv("TICKETKIT_COMMIT", "abcdef1")
    assert Compute(threads=2).describe() == plain | {"commit": "abcdef1"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA X")
    there = Compute(deterministic=True, **GPU)
    assert there.describe()["deterministic"] is True
    assert "threads" not in there.describe()
    assert there.summary == "NVIDIA X (cuda:0), bf16, deterministic"
    assert "deterministic" not in Compute(**GPU).describe()
