import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ticketkit.arch import parse_arch
from ticketkit.data import DataRequest, ImageData, files, load_data
from ticketkit.errors import DataError, RunError
from ticketkit.find import find_ticket
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, memory_budget, streaming

Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, with twenty images each to train on and five to test on."""
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 5)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "pets"


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Callable[..., ImageData]:
    def load(**options: object) -> ImageData:
        return load_data("folder", DataRequest(data_dir=root, cache_dir=tmp_path / "cache", **options))

    return load


def make_recipe(**changes: object) -> Recipe:
    return Recipe(**{"name": "r", "epochs": 2, "batch": 6, "lr": 0.1, "crop": 1, "flip": True, **changes})


def assert_same(one: Iterator[Batch], other: Iterator[Batch]) -> None:
    for (images, labels), (same_images, same_labels) in zip(one, other, strict=True):
        assert torch.equal(images, same_images)
        assert images.stride() == same_images.stride()
        assert torch.equal(labels, same_labels)


def workers_of_this_process() -> list[int]:
    return sorted(process.pid for process in multiprocessing.active_children())


@pytest.mark.parametrize("piece", [1, 4, 32])
@pytest.mark.parametrize("augmentation", [{}, {"crop": 0}, {"flip": False}, {"crop": 0, "flip": False}])
def test_streamed_batches_are_those_of_held_images(
    load: Callable[..., ImageData], monkeypatch: pytest.MonkeyPatch, piece: int, augmentation: dict[str, object]
):
    monkeypatch.setattr(streaming, "PIECE", piece)
    monkeypatch.setattr("ticketkit.train.sources.EVALUATION_BATCH", 7)
    monkeypatch.setattr("ticketkit.train.batches.EVALUATION_BATCH", 7)
    monkeypatch.setattr("ticketkit.train.streaming.EVALUATION_BATCH", 7)
    recipe = make_recipe(**augmentation)
    held, streamed = Batches(load(), recipe), Batches(load(stream=True), recipe)
    assert (held.streamed, streamed.streamed) == (False, True)
    assert held.steps_per_epoch == streamed.steps_per_epoch == 6
    for epoch in range(2):
        assert_same(held.epoch(3, epoch), streamed.epoch(3, epoch))
    assert_same(held.epoch(3, 0, first=4), streamed.epoch(3, 0, first=4))
    assert_same(held.epoch(3, 0, steps=2), streamed.epoch(3, 0, steps=2))
    assert_same(held.test(), streamed.test())
    assert_same(held.train_in_order(15), streamed.train_in_order(15))


def test_processes_stream_the_same_batches_and_stay_for_the_next_epoch(load: Callable[..., ImageData]):
    recipe = make_recipe()
    held, streamed = Batches(load(), recipe), Batches(load(stream=True, workers=1), recipe)
    assert workers_of_this_process() == []
    assert_same(held.epoch(3, 0), streamed.epoch(3, 0))
    (worker,) = workers_of_this_process()
    given_up = streamed.epoch(5, 0)
    next(given_up)
    del given_up
    assert_same(held.test(), streamed.test())
    longer = streamed.with_recipe(make_recipe(epochs=5))
    assert_same(held.epoch(3, 4), longer.epoch(3, 4))
    assert workers_of_this_process() == [worker]
    del streamed, longer
    gc.collect()
    assert workers_of_this_process() == []


def test_a_killed_process_ends_the_epoch_with_one_line(load: Callable[..., ImageData], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streaming, "AHEAD", 1)
    # The loader looks after its processes whenever it has waited for so many seconds: five, if not for this line.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))
    handler = signal.getsignal(signal.SIGCHLD)
    batches = Batches(load(stream=True, workers=1), make_recipe())
    epoch = batches.epoch(3, 0)
    next(epoch)
    (worker,) = workers_of_this_process()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(RunError, match=r"^the processes that decode images must go on to the end \(.+\); [^\n]+$"):
        list(epoch)
    assert signal.getsignal(signal.SIGCHLD) is handler  # so nothing is raised in the middle of a step
    assert workers_of_this_process() == []


def test_epochs_at_the_same_time_do_not_disturb_each_other(load: Callable[..., ImageData]):
    recipe = make_recipe()
    held, streamed = Batches(load(), recipe), Batches(load(stream=True), recipe)
    one, other = streamed.epoch(3, 0), streamed.epoch(4, 1)
    mixed = [batch for pair in zip(one, other, strict=True) for batch in pair]
    assert_same(held.epoch(3, 0), iter(mixed[::2]))
    assert_same(held.epoch(4, 1), iter(mixed[1::2]))


def test_an_epoch_whose_last_batch_was_taken_holds_no_process(load: Callable[..., ImageData]):
    streamed = Batches(load(stream=True, workers=1), make_recipe())
    epoch = streamed.epoch(3, 0, steps=2)
    next(epoch)
    (worker,) = workers_of_this_process()
    next(epoch)
    list(streamed.test())
    assert workers_of_this_process() == [worker]
    assert next(epoch, None) is None


def test_threads_may_train_on_the_same_images(load: Callable[..., ImageData]):
    recipe = make_recipe()
    held, streamed = Batches(load(), recipe), Batches(load(stream=True), recipe)
    given: dict[int, list[Batch]] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: given.update({seed: [*streamed.epoch(seed, 0)]})) for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        assert_same(held.epoch(seed, 0), iter(given[seed]))


def test_a_ticket_does_not_depend_on_how_its_data_were_held(load: Callable[..., ImageData]):
    arch = parse_arch("resnet8-w2", num_classes=2, in_channels=3)
    recipe = make_recipe(rewind="1it")
    held, streamed = (
        find_ticket(arch, load(stream=stream), recipe, seed=1, device="cpu", levels=1) for stream in (False, True)
    )
    assert streamed.id == held.id


def test_streaming_leaves_the_global_random_numbers_alone(load: Callable[..., ImageData]):
    batches = Batches(load(stream=True), make_recipe())
    before = torch.get_rng_state()
    list(batches.epoch(0, 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("content", [b"no image", None])
def test_an_image_that_has_changed_is_named(load: Callable[..., ImageData], root: Path, content: bytes | None):
    batches = Batches(load(stream=True), make_recipe(batch=40))
    changed = root / "train" / "dog" / "7.png"
    if content is None:
        changed.unlink()
    else:
        changed.write_bytes(content)
    kind = "unreadable" if content is None else "broken"
    with pytest.raises(DataError) as caught:
        list(batches.epoch(0, 0))
    expected = f"a streamed image must stay as it was when the data set was loaded: {changed} ({kind})"
    assert str(caught.value) == expected


def test_images_that_must_be_chosen_on_the_device_cannot_be_streamed(load: Callable[..., ImageData]):
    batches = Batches(load(stream=True), make_recipe())
    plan = batches.plan(0, 0)
    with pytest.raises(RunError, match=r"^images must be held on the device .*: folder:pets$"):
        batches.batch(plan.order[0], plan.shifts[0], plan.mirrored[0])


def test_batches_count_how_long_they_were_waited_for(load: Callable[..., ImageData], monkeypatch: pytest.MonkeyPatch):
    held, streamed = Batches(load(), make_recipe()), Batches(load(stream=True), make_recipe())
    real = files.decode_image

    def slow(path: str, image_size: int | None) -> object:
        time.sleep(0.002)
        return real(path, image_size)

    monkeypatch.setattr(files, "decode_image", slow)
    for batches in (held, streamed):
        list(batches.epoch(0, 0))
    assert held.waited == 0
    assert streamed.waited >= 36 * 0.002
    before = streamed.waited
    for _ in streamed.epoch(0, 0, first=5):
        time.sleep(0.3)  # a step's own time does not count
    assert 6 * 0.002 <= streamed.waited - before < 0.3


def test_few_images_are_decoded_in_the_process_that_trains_unless_others_are_asked_for(
    load: Callable[..., ImageData], monkeypatch: pytest.MonkeyPatch
):
    train, _ = load(stream=True).files
    assert streaming._workers(train) == 0
    monkeypatch.setattr(streaming, "IN_PROCESS", 39)
    assert streaming._workers(train) == files.processors()
    train, _ = load(stream=True, workers=3).files
    assert streaming._workers(train) == 3


def test_the_memory_budget_is_a_part_of_what_there_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(streaming, "_machine_memory", lambda: 1_000)
    assert {memory_budget(device) for device in ("auto", "cpu", "cuda")} == {250}
    properties = type("Properties", (), {"total_memory": 300})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert [memory_budget(device) for device in ("auto", "cpu", "cuda:0")] == [150, 250, 150]


def test_the_memory_of_the_machine_is_known():
    assert 1 << 26 < streaming._machine_memory() < 1 << 50
