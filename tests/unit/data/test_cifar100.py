import hashlib
import pickle

import numpy as np
import pytest

from ticketkit.data import DataRequest, load_data
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

FINE, COARSE = {"train": [99, 0, 42, 7], "test": [1, 98]}, {"train": [13, 4, 8, 1], "test": [1, 15]}


def pixels(part):
    return np.random.default_rng(len(part)).integers(0, 256, (len(FINE[part]), 3072), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a tiny CIFAR-100 lies; torchvision is told its sums in place of the real ones."""
    kind = import_torchvision().datasets.CIFAR100
    contents = {part: {"data": pixels(part), "fine_labels": FINE[part], "coarse_labels": COARSE[part]} for part in FINE}
    contents["meta"] = {"fine_label_names": [f"class {number}" for number in range(100)]}
    home = tmp_path / "cifar-100-python"
    home.mkdir()
    sums = {}
    for name, content in contents.items():
        packed = pickle.dumps(content, protocol=2)
        (home / name).write_bytes(packed)
        sums[name] = hashlib.md5(packed).hexdigest()
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["meta"]})
    return tmp_path


def test_reads_the_fine_labels(folder):
    data = load_data("cifar100", DataRequest(data_dir=folder, download=False))
    assert data.name == "cifar100"
    assert data.shape == (3, 32, 32)
    assert np.array_equal(data.train_images.reshape(4, -1), pixels("train"))
    assert np.array_equal(data.test_images.reshape(2, -1), pixels("test"))
    assert data.train_labels.tolist() == FINE["train"]
    assert data.test_labels.tolist() == FINE["test"]


def test_has_a_hundred_classes_in_alphabetical_order(folder):
    classes = load_data("cifar100", DataRequest(data_dir=folder, download=False)).classes
    assert len(set(classes)) == 100
    assert list(classes) == sorted(classes)
    assert (classes[0], classes[42], classes[99]) == ("apple", "leopard", "worm")


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_does_not_read_a_changed_file(name, folder):
    path = folder / "cifar-100-python" / name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="not found or corrupted"):
        load_data("cifar100", DataRequest(data_dir=folder, download=False))


def test_says_how_to_bring_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"^cifar100 must be found in .*: put cifar-100-python or cifar-100-python.tar"):
        load_data("cifar100", DataRequest(data_dir=tmp_path, download=False))


def test_takes_no_other_size(tmp_path):
    with pytest.raises(DataError, match=r"^image_size of cifar100 must be 32, or not given \(got 64\)$"):
        load_data("cifar100", DataRequest(data_dir=tmp_path, image_size=64))
