"""Bringing images to one size, compared with torchvision pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ticketkit.data.framing import LEAST_ASPECT, MOST_ASPECT, CentreCrop, ResizedCrop, random_box
from ticketkit.torchvision_compat import import_torchvision

SIZES = [(40, 30), (31, 57), (24, 24), (200, 17), (9, 9)]


def make_image(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    width, height = size
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture(scope="module")
def transforms() -> Any:
    import_torchvision()
    from torchvision import transforms

    return transforms


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize", "side"), [(32, 28), (16, 16), (None, 20), (25, 8)])
def test_evaluation_resizes_and_crops_as_torchvision_does(
    transforms: Any, size: tuple[int, int], resize: int | None, side: int
) -> None:
    image = make_image(size)
    theirs = transforms.Compose([transforms.Resize(resize or side), transforms.CenterCrop(side)])(image)
    ours = CentreCrop(size=side, resize=resize)(image)
    assert ours is not None
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", SIZES)
def test_a_box_is_cut_out_and_resized_as_torchvision_does(transforms: Any, size: tuple[int, int], mode: str) -> None:
    image = make_image(size, mode)
    for seed in range(20):
        left, top, right, bottom = random_box(size, 0.08, seed)
        theirs = transforms.functional.resized_crop(image, top, left, bottom - top, right - left, [14, 18])
        ours = ResizedCrop(size=(18, 14), least=0.08, seed=seed)(image)
        assert ours is not None
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


class Drawn:
    """What torchvision draws a box from, in place of torch's generator: rows of four uniform numbers."""

    def __init__(self, seed: int) -> None:
        self._rows = iter(np.random.default_rng(seed).random((10, 4)).tolist())
        self._row: list[float] = []
        self._asked = 0

    def uniform_(self, low: float, high: float) -> torch.Tensor:
        """A try's area, and then the logarithm of its aspect ratio, of which the lower bound is below 0."""
        if low > 0:
            self._row = next(self._rows)
        share = self._row[0 if low > 0 else 1]
        return torch.tensor([low + (high - low) * share], dtype=torch.float64)

    def randint(self, low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        """The first row of the box, and then its first column."""
        assert size == (1,)
        self._asked += 1
        return torch.tensor([low + math.floor(self._row[4 - self._asked] * (high - low))])


@pytest.mark.parametrize("size", SIZES)
def test_boxes_follow_torchvisions_rule(
    transforms: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same uniform numbers, given to torchvision's own code, make the same boxes."""
    for seed in range(60):
        drawn = Drawn(seed)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "empty", lambda *_, drawn=drawn: drawn)
            patch.setattr(torch, "randint", drawn.randint)
            patch.setattr(torch, "log", lambda values: torch.tensor([math.log(value) for value in values.tolist()]))
            patch.setattr(torch, "exp", lambda value: value.double().exp())
            top, left, high, wide = transforms.RandomResizedCrop.get_params(
                make_image(size), [0.08, 1.0], [LEAST_ASPECT, MOST_ASPECT]
            )
        assert random_box(size, 0.08, seed) == (left, top, left + wide, top + high)


def test_boxes_are_inside_and_of_the_areas_and_aspects_asked_for() -> None:
    boxes = np.array([random_box((500, 400), 0.25, seed) for seed in range(2_000)])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 500
    assert bottom.max() <= 400
    areas = (right - left) * (bottom - top) / (500 * 400)
    aspects = (right - left) / (bottom - top)
    assert 0.24 < areas.min() < 0.27
    assert 0.95 < areas.max() <= 1
    assert 0.74 < aspects.min() < 0.76
    assert 1.32 < aspects.max() < 1.35
    # Large boxes fit at fewer aspect ratios and are drawn again, so the mean is below the 0.625 of a uniform area.
    assert 0.52 < areas.mean() < 0.57
    # Every place that a box may have is as likely as another.
    free = (400 - (bottom - top)) > 50
    assert np.mean(top[free] / (400 - (bottom - top))[free]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("size", "box"), [((400, 10), (193, 0, 206, 10)), ((10, 400), (0, 193, 10, 206))])
def test_of_a_strip_the_centre_is_taken(size: tuple[int, int], box: tuple[int, ...]) -> None:
    found = {random_box(size, 1.0, seed) for seed in range(10)}
    assert found == {box}


def test_a_box_follows_from_its_seed() -> None:
    assert random_box((500, 375), 0.08, 3) == random_box((500, 375), 0.08, 3)
    assert len({random_box((500, 375), 0.08, seed) for seed in range(50)}) == 50
    assert random_box((500, 375), 0.08, 2**62 - 1) == (244, 84, 394, 267)


def test_a_strip_that_would_grow_beyond_all_bounds_is_refused() -> None:
    assert CentreCrop(size=8_000)(make_image((3_000, 1), "L")) is None
