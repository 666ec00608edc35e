import hashlib
import io
import sys
import urllib.error

import numpy as np
import pytest
import scipy.io

from ticketkit.data import DataRequest, load_data
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

STORED = {"train": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "test": [10, 1, 9]}
"""Labels as the files hold them: 10 is the digit 0."""


def pixels(part):
    """Images [N, C, H, W] of a part."""
    count = len(STORED[part])
    return np.random.default_rng(count).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def files(monkeypatch):
    """The files of a tiny SVHN by name; torchvision is told their sums in place of the real ones."""
    files, splits = {}, {}
    svhn = import_torchvision().datasets.SVHN
    for part, labels in STORED.items():
        buffer = io.BytesIO()
        arrays = {"X": pixels(part).transpose(2, 3, 1, 0), "y": np.array(labels, dtype=np.uint8)[:, np.newaxis]}
        scipy.io.savemat(buffer, arrays, format="5", do_compression=True)
        url, name, _ = svhn.split_list[part]
        files[name] = buffer.getvalue()
        splits[part] = [url, name, hashlib.md5(files[name]).hexdigest()]
    monkeypatch.setattr(svhn, "split_list", splits)
    return files


@pytest.fixture
def no_network(monkeypatch):
    def refuse(request, *_args, **_kwargs):
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_reads_the_files_with_10_as_the_digit_0(tmp_path, files, no_network):
    write(tmp_path, files)
    said = []
    data = load_data("svhn", DataRequest(data_dir=tmp_path, on_wait=said.append))
    assert data.name == "svhn"
    assert data.classes == tuple("0123456789")
    assert data.shape == (3, 32, 32)
    assert np.array_equal(data.train_images, pixels("train"))
    assert np.array_equal(data.test_images, pixels("test"))
    assert data.train_labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert data.test_labels.tolist() == [0, 1, 9]
    assert said == []


def test_reads_data_beside_the_caller_by_default(tmp_path, files, no_network, monkeypatch):
    write(tmp_path / "data", files)
    monkeypatch.chdir(tmp_path)
    assert len(load_data("svhn").test_images) == 3


@pytest.mark.parametrize(
    ("there", "megabytes"), [([], 246), (["train_32x32.mat"], 64), (["test_32x32.mat"], 182)], ids=str
)
def test_downloads_what_is_missing_and_never_extra(there, megabytes, tmp_path, files, monkeypatch, capfd):
    write(tmp_path, {name: files[name] for name in there})
    asked = set()

    class Response(io.BytesIO):
        url = None

        @property
        def length(self):
            return len(self.getvalue())

    def answer(request, *_args, **_kwargs):
        name = request.full_url.removeprefix("http://ufldl.stanford.edu/housenumbers/")
        asked.add(name)
        return Response(files[name])

    monkeypatch.setattr("urllib.request.urlopen", answer)
    said = []
    data = load_data("svhn", DataRequest(data_dir=tmp_path, on_wait=said.append))
    assert np.array_equal(data.train_images, pixels("train"))
    assert asked == {"train_32x32.mat", "test_32x32.mat"} - {*there}
    assert said == [f"svhn is not in {tmp_path}: downloading {megabytes} MB"]
    assert capfd.readouterr() == ("", "")


def test_says_how_to_bring_what_cannot_be_downloaded(tmp_path, no_network, capfd):
    with pytest.raises(DataError) as caught:
        load_data("svhn", DataRequest(data_dir=tmp_path))
    message = str(caught.value)
    assert message.startswith(f"svhn must be found or downloaded in {tmp_path} (<urlopen error no route to host>): ")
    assert "put train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers there" in message
    assert "--dataset folder" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_does_not_download_when_told_not_to(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    with pytest.raises(DataError, match=r"^svhn must be found in .*: put train_32x32.mat"):
        load_data("svhn", DataRequest(data_dir=tmp_path, download=False))


@pytest.mark.parametrize("name", ["train_32x32.mat", "test_32x32.mat"])
def test_does_not_read_a_changed_file(name, tmp_path, files):
    write(tmp_path, {**files, name: files[name] + b"\0"})
    with pytest.raises(DataError, match="not found or corrupted"):
        load_data("svhn", DataRequest(data_dir=tmp_path, download=False))


def test_says_how_to_install_scipy_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    monkeypatch.setattr("urllib.request.urlopen", None)
    with pytest.raises(DataError, match=r"^svhn needs scipy: pip install 'ticketkit\[svhn\]'$"):
        load_data("svhn", DataRequest(data_dir=tmp_path))


def test_takes_no_other_size(tmp_path):
    with pytest.raises(DataError, match=r"^image_size of svhn must be 32, or not given \(got 28\)$"):
        load_data("svhn", DataRequest(data_dir=tmp_path, image_size=28))
