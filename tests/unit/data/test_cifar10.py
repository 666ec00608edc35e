import hashlib
import io
import pickle
import tarfile
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from ticketkit.data import DataRequest, load_data
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FOLDER = "cifar-10-batches-py"


def old_pickle(value):
    """As Python 2 and the numpy of 2009 wrote it, with an integer for a boolean.

    The real files hold (0, 1), of which numpy 2.4.0 to 2.4.4 warn; of (0,) later ones warn too.
    """
    data = pickle.dumps(value, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    return data.replace(b"\x89\x88\x87", b"K\x00\x86")


@pytest.fixture
def batches(monkeypatch):
    """The files of a tiny CIFAR-10 by name; torchvision is told their sums in place of the real ones."""
    cifar = import_torchvision().datasets.CIFAR10
    rng = np.random.default_rng(3)
    files = {}
    lists = {"train_list": ["data_batch_1", "data_batch_2"], "test_list": ["test_batch"]}
    for names in lists.values():
        for name in names:
            pixels = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
            files[name] = old_pickle({"data": pixels, "labels": [index % 10 for index in range(20)]})
    files["batches.meta"] = old_pickle({"label_names": CLASSES})
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    for attribute, names in lists.items():
        monkeypatch.setattr(cifar, attribute, [[name, sums[name]] for name in names])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": sums["batches.meta"]})
    return files


@pytest.fixture
def no_network(monkeypatch):
    def refuse(request, *_args, **_kwargs):
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def pack(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_reads_the_batches_as_they_are(tmp_path, batches, no_network):
    write(tmp_path / FOLDER, batches)
    data = load_data("cifar10", DataRequest(data_dir=tmp_path))
    assert data.name == "cifar10"
    assert data.classes == tuple(CLASSES)
    assert data.train_images.shape == (40, 3, 32, 32)
    assert data.test_images.shape == (20, 3, 32, 32)
    stored = np.frombuffer(np.random.default_rng(3).integers(0, 256, (20, 3072), dtype=np.uint8), dtype=np.uint8)
    assert np.array_equal(data.train_images[:20].ravel(), stored)  # planes of red, green and blue, row by row
    assert data.train_labels.tolist() == [*range(10)] * 4
    assert data.test_labels.tolist() == [*range(10)] * 2


def test_reads_data_beside_the_caller_by_default(tmp_path, batches, no_network, monkeypatch):
    write(tmp_path / "data" / FOLDER, batches)
    monkeypatch.chdir(tmp_path)
    assert len(load_data("cifar10").test_images) == 20


def test_downloads_without_a_word(tmp_path, batches, monkeypatch, capfd):
    archive = pack(batches)
    asked = []

    class Response(io.BytesIO):
        length = len(archive)
        url = import_torchvision().datasets.CIFAR10.url

    def answer(request, *_args, **_kwargs):
        asked.append(request.full_url)
        return Response(archive)

    cifar = import_torchvision().datasets.CIFAR10
    monkeypatch.setattr(cifar, "tgz_md5", hashlib.md5(archive).hexdigest())
    monkeypatch.setattr("urllib.request.urlopen", answer)
    assert len(load_data("cifar10", DataRequest(data_dir=tmp_path)).train_images) == 40
    assert set(asked) == {"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"}
    assert capfd.readouterr() == ("", "")


def test_unpacks_an_archive_that_was_brought(tmp_path, batches, no_network, monkeypatch):
    archive = pack(batches)
    monkeypatch.setattr(import_torchvision().datasets.CIFAR10, "tgz_md5", hashlib.md5(archive).hexdigest())
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(archive)
    assert len(load_data("cifar10", DataRequest(data_dir=tmp_path)).train_images) == 40


def test_says_how_to_bring_what_cannot_be_downloaded(tmp_path, no_network, capfd):
    with pytest.raises(DataError) as caught:
        load_data("cifar10", DataRequest(data_dir=tmp_path))
    message = str(caught.value)
    assert message.startswith(f"cifar10 must be found or downloaded in {tmp_path} (<urlopen error no route to host>): ")
    assert "put cifar-10-batches-py or cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/" in message
    assert "--dataset folder" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_does_not_download_when_told_not_to(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    with pytest.raises(DataError, match=r"^cifar10 must be found in .*: put cifar-10-batches-py"):
        load_data("cifar10", DataRequest(data_dir=tmp_path, download=False))


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_does_not_read_a_changed_file(name, tmp_path, batches):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a file with the wrong sum was unpickled",))

    write(tmp_path / FOLDER, {**batches, name: pickle.dumps(Bomb())})
    with pytest.raises(DataError, match="not found or corrupted"):
        load_data("cifar10", DataRequest(data_dir=tmp_path, download=False))


def test_takes_no_other_size(tmp_path):
    with pytest.raises(DataError, match=r"^image_size of cifar10 must be 32, or not given \(got 64\)$"):
        load_data("cifar10", DataRequest(data_dir=tmp_path, image_size=64))


def test_a_download_is_announced_and_a_present_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("ticketkit.data.cifar10._read", fail)
    said: list[str] = []
    for _ in range(2):
        with pytest.raises(DataError):
            load_data("cifar10", DataRequest(data_dir=tmp_path, on_wait=said.append))
        (tmp_path / "cifar-10-batches-py").mkdir(exist_ok=True)
    with pytest.raises(DataError):
        load_data("cifar10", DataRequest(data_dir=tmp_path / "other", download=False, on_wait=said.append))
    assert said == [f"cifar10 is not in {tmp_path}: downloading 170 MB"]
