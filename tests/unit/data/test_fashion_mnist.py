import struct

import numpy as np
import pytest

from ticketkit.data import DataRequest, load_data
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

LABELS = {"train": [*range(10)], "t10k": [9, 0, 5]}


def idx(array):
    """A file of unsigned bytes in MNIST's format: two zeros, type 8, axes, their lengths, the bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def pixels(part):
    return np.random.default_rng(len(part)).integers(0, 256, (len(LABELS[part]), 28, 28), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Where a tiny Fashion-MNIST lies."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, labels in LABELS.items():
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels(part)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.array(labels, dtype=np.uint8)))
    return tmp_path


def test_reads_the_files_as_they_are(folder):
    said = []
    data = load_data("fashion-mnist", DataRequest(data_dir=folder, on_wait=said.append))
    assert data.name == "fashion-mnist"
    assert data.shape == (1, 28, 28)
    assert np.array_equal(data.train_images[:, 0], pixels("train"))
    assert np.array_equal(data.test_images[:, 0], pixels("t10k"))
    assert data.train_labels.tolist() == LABELS["train"]
    assert data.test_labels.tolist() == LABELS["t10k"]
    assert said == []


def test_names_the_classes_as_torchvision_does(folder):
    classes = load_data("fashion-mnist", DataRequest(data_dir=folder)).classes
    assert list(classes) == import_torchvision().datasets.FashionMNIST.classes


def test_does_not_take_mnist_for_it(folder):
    (folder / "FashionMNIST").rename(folder / "MNIST")
    with pytest.raises(DataError, match=r"^fashion-mnist must be found in .* into FashionMNIST/raw there"):
        load_data("fashion-mnist", DataRequest(data_dir=folder, download=False))


def test_says_that_a_file_was_cut_off(folder):
    path = folder / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"^fashion-mnist must be found in .* \(a file of the test set is damaged"):
        load_data("fashion-mnist", DataRequest(data_dir=folder, download=False))
