import subprocess
import sys

import numpy as np
import pytest

import ticketkit.data
from ticketkit.data import DATASETS, DataRequest, ImageData, load_data
from ticketkit.errors import DataError


def make_data(train=12, test=6, channels=3, **replaced):
    rng = np.random.default_rng(7)
    fields = {
        "name": "toy",
        "train_images": rng.integers(0, 256, (train, channels, 4, 5), dtype=np.uint8),
        "train_labels": np.arange(train, dtype=np.int64) % 3,
        "test_images": rng.integers(0, 256, (test, channels, 4, 5), dtype=np.uint8),
        "test_labels": np.arange(test, dtype=np.int64) % 3,
        "classes": ("a", "b", "c"),
    }
    return ImageData(**{**fields, **replaced})


def test_says_what_it_holds():
    data = make_data()
    assert data.shape == (3, 4, 5)
    assert data.num_classes == 3
    assert repr(data) == "ImageData(name='toy', classes=('a', 'b', 'c'))"


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_arrays_cannot_be_written_to(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(make_data(), name)[0] = 0


def test_does_not_change_the_arrays_it_is_given():
    images = np.zeros((12, 3, 4, 5), dtype=np.uint8)
    make_data(train_images=images)
    images[0] = 1


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_std_are_those_of_the_training_images(channels, monkeypatch):
    monkeypatch.setattr("ticketkit.data.images.COUNTED_AT_ONCE", 70)  # several parts, and a last one that is shorter
    data = make_data(train=11, channels=channels)
    pixels = data.train_images.astype(np.float64)
    assert data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), rel=1e-14)
    assert data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), rel=1e-14)
    assert all(isinstance(number, float) for number in data.mean + data.std)


def test_mean_and_std_do_not_depend_on_the_order():
    data = make_data()
    turned = make_data(train_images=data.train_images[::-1])
    assert (turned.mean, turned.std) == (data.mean, data.std)


def test_std_of_a_constant_channel_is_one():
    images = np.full((12, 2, 4, 5), 255, dtype=np.uint8)
    images[0, 1] = 0
    data = make_data(train_images=images, test_images=images[:6])
    assert data.mean[0] == 255
    assert data.std[0] == 1
    assert data.std[1] > 1


def test_moments_and_fingerprint_are_worked_out_once(monkeypatch):
    data = make_data()
    first = (data.mean, data.std, data.fingerprint)
    monkeypatch.setattr("ticketkit.data.images._mean_and_std", None)
    monkeypatch.setattr("ticketkit.data.images._fingerprint", None)
    assert (data.mean, data.std, data.fingerprint) == first


def test_fingerprint_is_of_the_content():
    data = make_data()
    assert data.fingerprint == make_data(name="other").fingerprint
    others = [
        make_data(classes=("a", "b", "d")),
        make_data(train_images=data.train_images[::-1]),
        make_data(train_labels=np.roll(data.train_labels, 1)),
        make_data(test_images=data.test_images[::-1]),
        make_data(test_labels=np.roll(data.test_labels, 1)),
        make_data(
            train_images=data.train_images.reshape(12, 3, 5, 4), test_images=data.test_images.reshape(6, 3, 5, 4)
        ),
    ]
    assert len({other.fingerprint for other in [data, *others]}) == 7


def test_fingerprint_is_stable():
    data = make_data(
        train_images=np.arange(240, dtype=np.uint8).reshape(12, 1, 4, 5),
        test_images=np.arange(120, dtype=np.uint8).reshape(6, 1, 4, 5),
    )
    assert data.fingerprint == "sha256:2d1d4164e73cf99ccbe040f90f6d23010c3bfb0b76c4e54ae5d14f93517a19ff"


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"classes": ()}, "classes must be one or more different names (got none): toy"),
        ({"classes": ("a", "b", "b")}, "classes must be one or more different names (got 'b' more than once): toy"),
        (
            {"train_images": np.zeros((12, 3, 4, 5), dtype=np.float32)},
            "images must be uint8 [N, C, H, W], none of them 0 (got float32 [12, 3, 4, 5]): train set of toy",
        ),
        (
            {"train_images": np.zeros((12, 4, 5), dtype=np.uint8)},
            "images must be uint8 [N, C, H, W], none of them 0 (got uint8 [12, 4, 5]): train set of toy",
        ),
        (
            {"test_images": np.zeros((0, 3, 4, 5), dtype=np.uint8), "test_labels": np.zeros(0, dtype=np.int64)},
            "images must be uint8 [N, C, H, W], none of them 0 (got uint8 [0, 3, 4, 5]): test set of toy",
        ),
        (
            {"test_images": np.zeros((6, 3, 5, 5), dtype=np.uint8)},
            "training and test images must have one shape (got 3x4x5 and 3x5x5): toy",
        ),
        (
            {"train_labels": np.zeros(11, dtype=np.int64)},
            "labels must be int64 [12] (got int64 [11]): train set of toy",
        ),
        (
            {"train_labels": np.zeros(12, dtype=np.int32)},
            "labels must be int64 [12] (got int32 [12]): train set of toy",
        ),
        (
            {"test_labels": np.full(6, 3, dtype=np.int64)},
            "labels must be from 0 to 2 (got 3 to 3): test set of toy",
        ),
        (
            {"test_labels": np.full(6, -1, dtype=np.int64)},
            "labels must be from 0 to 2 (got -1 to -1): test set of toy",
        ),
    ],
)
def test_refuses_what_does_not_hold_together(replaced, message):
    with pytest.raises(DataError) as caught:
        make_data(**replaced)
    assert str(caught.value) == message


def test_limited_keeps_every_class_in_its_share():
    labels = np.repeat(np.arange(3, dtype=np.int64), [60, 30, 10])  # sorted, as a folder's are
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    data = make_data(train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    for train in range(1, 100):
        few = data.limited(train)
        counts = np.bincount(few.train_labels, minlength=3)
        assert counts.sum() == train
        assert np.all(np.abs(counts - train * np.array([0.6, 0.3, 0.1])) < 1)
        kept = few.train_images.ravel()
        assert np.all(np.diff(kept.astype(int)) > 0)
        assert np.array_equal(few.train_labels, labels[kept])
        assert len(few.test_images) == 100


def test_limited_does_not_depend_on_how_the_classes_lie():
    labels = np.arange(90, dtype=np.int64) % 3  # as far from sorted as can be: every third image is of one class
    images = np.arange(90, dtype=np.uint8).reshape(90, 1, 1, 1)
    few = make_data(train_images=images, train_labels=labels, test_images=images[:3], test_labels=labels[:3]).limited(
        30
    )
    assert np.bincount(few.train_labels).tolist() == [10, 10, 10]
    assert np.array_equal(few.train_labels, few.train_images.ravel() % 3)


def test_limited_names_what_it_cut():
    data = make_data()
    assert data.limited(6).name == "toy[:6]"
    assert data.limited(6, 3).name == "toy[:6,:3]"
    assert data.limited(None, 3).name == "toy[:,:3]"
    assert data.limited(12, 7) is data
    assert data.limited(None) is data
    assert data.limited(6).fingerprint == data.limited(6).fingerprint != data.fingerprint


@pytest.mark.parametrize(("limits", "part"), [((0,), "train"), ((None, -1), "test")])
def test_limited_refuses_to_leave_nothing(limits, part):
    with pytest.raises(DataError, match=rf"^limit of {part} images must be at least 1 \(got (0|-1)\): toy$"):
        make_data().limited(*limits)


@pytest.mark.parametrize("field", ["image_size", "workers"])
def test_request_refuses_less_than_one(field):
    with pytest.raises(DataError, match=rf"^{field} of a data set must be at least 1 \(got 0\)$"):
        DataRequest(**{field: 0})


@pytest.mark.parametrize("fraction", [0.01, 0.1, 1 / 3, 0.999, 1])
def test_a_fraction_is_a_limit(fraction):
    data = load_data("digits")
    part = data.fraction(fraction)
    limited = data.limited(round(898 * fraction))
    assert (part.name, part.fingerprint) == (limited.name, limited.fingerprint)
    shares = np.bincount(part.train_labels, minlength=10) - fraction * np.bincount(data.train_labels)
    assert np.all(np.abs(shares) <= 1.5)  # each class keeps its share, to within an image and the rounding of all
    assert len(part.test_labels) == 899


def test_of_a_tiny_fraction_one_image_is_left():
    assert make_data().fraction(1e-9).name == "toy[:1]"


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, float("nan")])
def test_a_fraction_is_in_its_range(fraction):
    with pytest.raises(DataError, match=r"^fraction of training images must be above 0 and at most 1 \(got .+\): toy$"):
        make_data().fraction(fraction)


def test_load_data_knows_its_data_sets():
    assert {"cifar10", "digits", "folder"} <= set(DATASETS)
    with pytest.raises(DataError, match=r"data set must be one of .*\(got 'digit'\); did you mean 'digits'\?"):
        load_data("digit")


def test_exports_are_sorted():
    assert ticketkit.data.__all__ == sorted(ticketkit.data.__all__)


def test_looking_up_data_sets_imports_nothing_heavy():
    script = """if True:
        import sys
        from ticketkit.data import DATASETS, load_data
        list(DATASETS)
        load_data("digits")
        print(sorted({"torch", "torchvision", "PIL"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
