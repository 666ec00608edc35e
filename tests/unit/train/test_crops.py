"""Random boxes of streamed images: they follow from seed and epoch alone, whoever decodes the images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ticketkit.arch import parse_arch
from ticketkit.data import DataRequest, ImageData, load_data
from ticketkit.data.framing import random_box
from ticketkit.errors import DataError, RecipeError
from ticketkit.find import find_ticket
from ticketkit.recipe import Recipe, load_recipe
from ticketkit.train import Batches, Compute
from ticketkit.train.batches import EpochPlan
from ticketkit.train.distributed import Group, RankBatches

SIDE = 12

ORDER = [[7, 6, 1, 5], [2, 4, 3, 0]]
SHIFTS = [[[2, 2], [1, 0], [2, 4], [3, 1]], [[1, 2], [1, 2], [2, 3], [1, 3]]]
MIRRORED = [[False, False, True, False], [True, True, False, False]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as ImageNet's: photographs of all sizes, as JPEG, in two classes."""
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 5)):
        for name in ("n01440764", "n01443537"):
            folder = tmp_path / "imagenet" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                width, height = random.integers(14, 60, 2)
                pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.JPEG")
    return tmp_path / "imagenet"


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Callable[..., ImageData]:
    def load(**options: object) -> ImageData:
        sizes = {"image_size": SIDE, "resize": 14}
        return load_data("folder", DataRequest(data_dir=root, cache_dir=tmp_path / "cache", **{**sizes, **options}))

    return load


def make_recipe(**changes: object) -> Recipe:
    return Recipe(**{"name": "r", "epochs": 2, "batch": 6, "lr": 0.01, "flip": True, "resized_crop": 0.08, **changes})


def test_test_images_and_what_is_known_of_the_data_are_of_the_centre(load: Callable[..., ImageData]) -> None:
    held, streamed = load(), load(stream=True)
    assert streamed.name == held.name == "folder:imagenet@14-12px"
    assert (streamed.fingerprint, streamed.mean, streamed.std) == (held.fingerprint, held.mean, held.std)
    plain, cropped = Batches(held, make_recipe(resized_crop=0)), Batches(streamed, make_recipe())
    for one, other in ((plain.test(), cropped.test()), (plain.train_in_order(9), cropped.train_in_order(9))):
        for (images, labels), (same_images, same_labels) in zip(one, other, strict=True):
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)
    assert load(resize=None).name == "folder:imagenet@12px"
    assert len({load(resize=resize).fingerprint for resize in (None, 13, 14)}) == 3


def test_a_training_image_is_its_box_resized_and_then_mirrored(load: Callable[..., ImageData]) -> None:
    data = load(stream=True)
    batches = Batches(data, make_recipe())
    plan = batches.plan(3, 1)
    assert plan.crops is not None
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    seen = 0
    for step, (images, labels) in enumerate(batches.epoch(3, 1)):
        for place, image in enumerate(images):
            position = int(plan.order[step, place])
            with Image.open(data.files[0].paths[position]) as opened:
                box = random_box(opened.size, 0.08, int(plan.crops[step, place]))
                pixels = np.array(opened.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
            if plan.mirrored[step, place]:
                pixels = pixels[:, ::-1]
            wanted = (torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32)) - mean) / std
            assert torch.allclose(image, wanted, atol=1e-5)
            assert int(labels[place]) == data.train_labels[position]
            seen += 1
    assert seen == 36


def test_batches_are_the_same_wherever_they_begin_and_whoever_decodes(load: Callable[..., ImageData]) -> None:
    here, elsewhere = (Batches(load(stream=True, workers=workers), make_recipe()) for workers in (None, 2))
    whole = [images for images, _ in here.epoch(5, 1)]
    for other in (here.epoch(5, 1), elsewhere.epoch(5, 1)):
        assert all(torch.equal(one, same) for one, (same, _) in zip(whole, other, strict=True))
    resumed = [images for images, _ in elsewhere.epoch(5, 1, first=4)]
    assert all(torch.equal(one, same) for one, same in zip(whole[4:], resumed, strict=True))
    next_epoch = [images for images, _ in here.epoch(5, 2)]
    assert not any(torch.equal(one, other) for one, other in zip(whole, next_epoch, strict=True))


def test_ranks_see_the_boxes_that_one_process_would_see(load: Callable[..., ImageData]) -> None:
    whole = Batches(load(stream=True), make_recipe())
    ranks = []
    for rank in range(2):
        group = Group.__new__(Group)
        object.__setattr__(group, "rank", rank)
        object.__setattr__(group, "size", 2)
        ranks.append(RankBatches(whole, group))
    for (images, _), (first, _), (second, _) in zip(*(one.epoch(2, 0) for one in (whole, *ranks)), strict=True):
        assert torch.equal(images, torch.cat([first, second]))


def test_recipes_without_boxes_draw_what_they_drew_before() -> None:
    """The numbers are those of version 0.4."""
    recipe = Recipe(name="r", epochs=1, batch=4, lr=0.1, crop=2, flip=True)
    plan = EpochPlan.draw(7, 3, count=8, steps=2, recipe=recipe)
    assert plan.crops is None
    assert plan.order.tolist() == ORDER
    assert plan.shifts.tolist() == SHIFTS
    assert plan.mirrored.tolist() == MIRRORED
    boxes = EpochPlan.draw(7, 3, count=8, steps=2, recipe=Recipe(name="r", epochs=1, batch=4, lr=0.1, resized_crop=0.5))
    assert boxes.order.tolist() == ORDER
    assert boxes.crops is not None
    assert len(set(boxes.crops.flatten().tolist())) == 8


def test_held_images_have_no_boxes_to_cut_out(load: Callable[..., ImageData]) -> None:
    message = (
        "images must be streamed from a folder for resized_crop, which recipe r has (folder:imagenet@14-12px is held "
        "in memory): --dataset folder without --no-stream, or --set resized_crop=0"
    )
    with pytest.raises(DataError) as caught:
        Batches(load(), make_recipe())
    assert str(caught.value) == message
    batches = Batches(load(stream=True), make_recipe())
    with pytest.raises(DataError, match="must batch and augment images alike"):
        batches.with_recipe(make_recipe(resized_crop=0.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resized_crop": -0.1}, "resized_crop of recipe 'r' must be from 0 (none) to 1 (got -0.1)"),
        ({"resized_crop": 1.5}, "resized_crop of recipe 'r' must be from 0 (none) to 1 (got 1.5)"),
        ({"resized_crop": float("nan")}, "resized_crop of recipe 'r' must be from 0 (none) to 1 (got nan)"),
        ({"crop": 4}, "crop of recipe 'r' must be 0 beside resized_crop (got 4)"),
    ],
)
def test_a_recipe_has_boxes_or_shifts(changes: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_recipe(**changes)
    assert str(caught.value) == message


def test_the_papers_recipe_for_imagenet_cuts_boxes_out() -> None:
    recipe = load_recipe("paper-imagenet")
    assert (recipe.resized_crop, recipe.crop, recipe.flip) == (0.08, 0, True)


def test_a_ticket_found_with_boxes_is_found_again(load: Callable[..., ImageData]) -> None:
    arch = parse_arch("resnet8-w2", num_classes=2, in_channels=3)
    recipe = make_recipe(rewind="1it")
    one, other = (find_ticket(arch, load(stream=True), recipe, seed=1, device=Compute(), levels=1) for _ in range(2))
    assert one.id == other.id
    assert one.provenance.dataset is not None
    assert one.provenance.dataset.name == "folder:imagenet@14-12px"
    assert (one.provenance.recipe or {})["resized_crop"] == 0.08


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"resize": 0}, "resize of a data set must be at least 1 (got 0)"),
        ({"resize": 9_000}, "resize of a data set must be at most 8,192 pixels (got 9,000)"),
        ({"resize": 9}, "resize of a data set must be at least its image_size (got 9 and 12)"),
        ({"image_size": None}, "resize of a data set must be at least its image_size (got 14 and no image_size)"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    load: Callable[..., ImageData], sizes: dict[str, int | None], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(**sizes)
    assert str(caught.value) == message


def test_a_data_set_of_one_size_is_not_resized() -> None:
    with pytest.raises(DataError, match=r"^resize of digits must be 8, or not given \(got 9\)$"):
        load_data("digits", DataRequest(image_size=8, resize=9))
