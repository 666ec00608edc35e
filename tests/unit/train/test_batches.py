import numpy as np
import pytest
import torch

from ticketkit.arch import parse_arch
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, DataError
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, check_fits


def make_data(count: int = 20, size: int = 4, channels: int = 3) -> ImageData:
    numbers = np.arange(count * channels * size * size, dtype=np.uint32) % 251
    images = (numbers.astype(np.uint8) + 1).reshape(count, channels, size, size)
    labels = np.arange(count, dtype=np.int64) % 2
    return ImageData(
        name="made",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        classes=("a", "b"),
    )


def make_recipe(**changes: object) -> Recipe:
    return Recipe(**{"name": "r", "epochs": 2, "batch": 6, "lr": 0.1, **changes})


def denormalised(batches: Batches, images: torch.Tensor) -> np.ndarray:
    data = batches.data
    mean, std = (np.array(value, dtype=np.float32).reshape(1, -1, 1, 1) for value in (data.mean, data.std))
    return np.rint(images.numpy() * std + mean).astype(np.int64)


def test_an_epoch_is_a_shuffle_of_whole_batches():
    data = make_data()
    batches = Batches(data, make_recipe())
    seen = list(batches.epoch(0, 0))
    assert batches.steps_per_epoch == len(seen) == 3
    images = np.concatenate([denormalised(batches, images) for images, _ in seen])
    labels = np.concatenate([labels.numpy() for _, labels in seen])
    originals = {
        image.tobytes(): label
        for image, label in zip(data.train_images.astype(np.int64), data.train_labels, strict=True)
    }
    assert len({image.tobytes() for image in images}) == 18
    assert all(originals[image.tobytes()] == label for image, label in zip(images, labels, strict=True))


def test_batches_follow_from_seed_and_epoch_alone():
    batches = Batches(make_data(), make_recipe(crop=1, flip=True))
    first = [images for images, _ in batches.epoch(3, 1)]
    list(batches.epoch(4, 0))
    again = [images for images, _ in batches.epoch(3, 1)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], next(batches.epoch(3, 2))[0])
    assert not torch.equal(first[0], next(batches.epoch(4, 1))[0])


def test_an_epoch_can_be_taken_up_in_the_middle():
    batches = Batches(make_data(), make_recipe(crop=1, flip=True))
    whole = [images for images, _ in batches.epoch(3, 1)]
    rest = [images for images, _ in batches.epoch(3, 1, first=1)]
    assert len(rest) == 2
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], rest, strict=True))


@pytest.mark.parametrize(("first", "steps", "given"), [(0, 2, [0, 1]), (1, 1, [1]), (1, 9, [1, 2]), (2, 0, [])])
def test_an_epoch_can_be_left_in_the_middle(first: int, steps: int, given: list[int]):
    batches = Batches(make_data(), make_recipe(crop=1, flip=True))
    whole = [images for images, _ in batches.epoch(3, 1)]
    some = [images for images, _ in batches.epoch(3, 1, first, steps=steps)]
    assert len(some) == len(given)
    assert all(torch.equal(image, whole[step]) for image, step in zip(some, given, strict=True))


def test_augmentation_cuts_shifted_and_mirrored_windows_out_of_a_black_border():
    data = make_data()
    batches = Batches(data, make_recipe(crop=1, flip=True))
    padded = np.pad(data.train_images.astype(np.int64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = {}
    for top in range(3):
        for left in range(3):
            window = padded[:, :, top : top + 4, left : left + 4]
            for flipped in (False, True):
                for image in window[..., ::-1] if flipped else window:
                    windows[np.ascontiguousarray(image).tobytes()] = (top, left, flipped)
    seen = []
    for epoch in range(20):
        for images, _ in batches.epoch(0, epoch):
            seen += [windows[image.tobytes()] for image in denormalised(batches, images)]
    assert set(seen) == {(top, left, flip) for top in range(3) for left in range(3) for flip in (False, True)}


def test_training_images_are_normalised_and_channels_last():
    batches = Batches(make_data(), make_recipe(batch=20))
    images, _ = next(batches.epoch(0, 0))
    assert images.dtype == torch.float32
    assert images.shape == (20, 3, 4, 4)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (images.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_the_test_set_comes_whole_and_in_order():
    data = make_data()
    batches = Batches(data, make_recipe(crop=2, flip=True))
    images = np.concatenate([denormalised(batches, images) for images, _ in batches.test()])
    assert np.array_equal(images, data.test_images)


def test_recalibration_sees_plain_images_spread_over_the_set():
    data = make_data()
    batches = Batches(data, make_recipe(crop=2, flip=True))
    images = np.concatenate([denormalised(batches, images) for images, _ in batches.train_in_order(5)])
    assert np.array_equal(images, data.train_images[::4])


def test_images_must_fill_a_batch():
    with pytest.raises(DataError, match=r"training images of made must fill a batch of 64 \(got 20\)"):
        Batches(make_data(), make_recipe(batch=64))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"in_channels": 1}, "in_channels .* must be 3"), ({"num_classes": 7}, "num_classes .* must be 2")],
)
def test_a_network_must_fit_its_data(change: dict[str, int], message: str):
    arch = parse_arch("resnet8-w2", **{"num_classes": 2, "in_channels": 3, **change})
    with pytest.raises(ArchError, match=message):
        check_fits(arch, make_data())


def test_another_schedule_sees_the_same_batches_of_the_same_images():
    batches = Batches(make_data(), make_recipe(crop=1, flip=True))
    longer = batches.with_recipe(make_recipe(crop=1, flip=True, epochs=9, lr=0.2, warmup=1))
    assert (batches.recipe.epochs, longer.recipe.epochs) == (2, 9)
    assert longer.steps_per_epoch == batches.steps_per_epoch
    assert longer.data is batches.data
    for epoch in (0, 7):
        for (images, labels), (same_images, same_labels) in zip(
            batches.epoch(3, epoch), longer.epoch(3, epoch), strict=True
        ):
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)


@pytest.mark.parametrize("change", [{"batch": 5}, {"crop": 2}, {"flip": True}])
def test_a_recipe_that_batches_or_augments_otherwise_cannot_share_them(change: dict[str, object]):
    batches = Batches(make_data(), make_recipe(crop=1))
    with pytest.raises(DataError, match="recipes r and other must batch and augment images alike"):
        batches.with_recipe(make_recipe(**{"name": "other", "crop": 1, **change}))
