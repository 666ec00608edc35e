import hashlib
from importlib import resources

import numpy as np
import pytest

from ticketkit.data import DataRequest, load_data
from ticketkit.errors import DataError


def test_is_the_same_everywhere():
    data = load_data("digits")
    assert data.fingerprint == "sha256:eafc7deefe7b078fbf89070c68b1b340f69bde56e818e995b236b4a485764a0d"
    assert data.mean == (pytest.approx(4.867900890868597, rel=1e-15),)
    assert data.std == (pytest.approx(6.012041762208054, rel=1e-15),)


def test_is_split_half_and_half_in_every_class():
    data = load_data("digits")
    train, test = np.bincount(data.train_labels), np.bincount(data.test_labels)
    assert train.tolist() == [89, 91, 88, 92, 90, 91, 91, 89, 87, 90]
    assert test.tolist() == [89, 91, 89, 91, 91, 91, 90, 90, 87, 90]
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as the source counts them
    assert data.train_images.shape == (898, 1, 8, 8)
    assert data.test_images.shape == (899, 1, 8, 8)
    assert data.classes == tuple("0123456789")


def test_has_values_from_0_to_16():
    data = load_data("digits")
    for images in (data.train_images, data.test_images):
        assert (images.min(), images.max()) == (0, 16)


def test_is_shuffled():
    labels = load_data("digits").train_labels
    assert 0.05 < np.mean(labels[1:] == labels[:-1]) < 0.15


def test_halves_do_not_overlap_and_images_fit_their_labels():
    data = load_data("digits")
    train, test = (images.reshape(len(images), -1).astype(float) for images in (data.train_images, data.test_images))
    distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    assert distances.min() > 0
    right = data.train_labels[distances.argmin(1)] == data.test_labels
    assert right.mean() > 0.97  # the nearest neighbour knows these digits


def test_attribution_ships_with_the_file_it_is_about():
    folder = resources.files("ticketkit.data")
    file, licence = (folder / "digits.npz").read_bytes(), (folder / "digits.LICENSE.md").read_text("utf-8")
    assert len(file) < 100_000
    for needed in (hashlib.sha256(file).hexdigest(), "10.24432/C50P49", "CC BY 4.0", "Alpaydin", "Kaynak", "Changes"):
        assert needed in licence


def test_takes_no_other_size():
    assert load_data("digits", DataRequest(image_size=8)).shape == (1, 8, 8)
    with pytest.raises(DataError, match=r"^image_size of digits must be 8, or not given \(got 16\)$"):
        load_data("digits", DataRequest(image_size=16))


def test_rotated_digits_are_the_digits_turned_by_a_quarter():
    data, rotated = load_data("digits"), load_data("digits-rotated")
    assert rotated.name == "digits-rotated"
    assert rotated.classes == data.classes
    for part in ("train", "test"):
        images, turned = getattr(data, f"{part}_images"), getattr(rotated, f"{part}_images")
        assert turned.shape == images.shape
        for row in range(8):
            for column in range(8):  # anticlockwise: the last column becomes the first row
                assert np.array_equal(turned[:, 0, row, column], images[:, 0, column, 7 - row])
        assert np.array_equal(getattr(rotated, f"{part}_labels"), getattr(data, f"{part}_labels"))


def test_rotated_digits_are_other_data_than_the_digits():
    data, rotated = load_data("digits"), load_data("digits-rotated")
    assert rotated.fingerprint != data.fingerprint
    assert (rotated.mean, rotated.std) == (data.mean, data.std)


def test_rotated_digits_take_no_other_size():
    with pytest.raises(DataError, match=r"^image_size of digits-rotated must be 8, or not given \(got 16\)$"):
        load_data("digits-rotated", DataRequest(image_size=16))
