import gzip
import hashlib
import io
import struct
import urllib.error

import numpy as np
import pytest

from ticketkit.data import DataRequest, load_data
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

TRAIN_LABELS, TEST_LABELS = [*range(10)] * 2, [9, 0, 5]


def idx(array):
    """A file of unsigned bytes as the MNIST page describes it: two zeros, type 8, axes, their lengths, the bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def pixels(count):
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)


@pytest.fixture
def files():
    """The four files of a tiny MNIST by name."""
    return {
        "train-images-idx3-ubyte": idx(pixels(20)),
        "train-labels-idx1-ubyte": idx(np.array(TRAIN_LABELS, dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx(pixels(3)),
        "t10k-labels-idx1-ubyte": idx(np.array(TEST_LABELS, dtype=np.uint8)),
    }


@pytest.fixture
def no_network(monkeypatch):
    def refuse(request, *_args, **_kwargs):
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write(root, files):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_reads_the_files_as_they_are(tmp_path, files, no_network):
    write(tmp_path, files)
    said = []
    data = load_data("mnist", DataRequest(data_dir=tmp_path, on_wait=said.append))
    assert data.name == "mnist"
    assert data.classes == tuple("0123456789")
    assert data.shape == (1, 28, 28)
    assert np.array_equal(data.train_images[:, 0], pixels(20))
    assert np.array_equal(data.test_images[:, 0], pixels(3))
    assert data.train_labels.tolist() == TRAIN_LABELS
    assert data.test_labels.tolist() == TEST_LABELS
    assert said == []


def test_reads_data_beside_the_caller_by_default(tmp_path, files, no_network, monkeypatch):
    write(tmp_path / "data", files)
    monkeypatch.chdir(tmp_path)
    assert len(load_data("mnist").test_images) == 3


def test_downloads_with_one_line_said_and_none_shown(tmp_path, files, monkeypatch, capfd):
    mnist = import_torchvision().datasets.MNIST
    packed = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    monkeypatch.setattr(mnist, "resources", [(name, hashlib.md5(packed[name]).hexdigest()) for name in packed])

    class Response(io.BytesIO):
        url = None

        @property
        def length(self):
            return len(self.getvalue())

    monkeypatch.setattr(
        "urllib.request.urlopen",
        lambda request, *_args, **_kwargs: Response(packed[request.full_url.rsplit("/", 1)[1]]),
    )
    said = []
    data = load_data("mnist", DataRequest(data_dir=tmp_path, on_wait=said.append))
    assert np.array_equal(data.train_images[:, 0], pixels(20))
    assert said == [f"mnist is not in {tmp_path}: downloading 12 MB"]
    assert capfd.readouterr() == ("", "")


def test_says_how_to_bring_what_cannot_be_downloaded(tmp_path, no_network, capfd):
    with pytest.raises(DataError) as caught:
        load_data("mnist", DataRequest(data_dir=tmp_path))
    message = str(caught.value)
    assert message.startswith(f"mnist must be found or downloaded in {tmp_path} (")
    assert "no route to host" in message
    assert "into MNIST/raw there, or use --dataset folder" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_does_not_download_when_told_not_to(missing, tmp_path, files, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    write(tmp_path, {name: content for name, content in files.items() if name != missing})
    with pytest.raises(DataError, match=r"^mnist must be found in .*: put train-images-idx3-ubyte"):
        load_data("mnist", DataRequest(data_dir=tmp_path, download=False))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("kept", [0, 3, 9, -1])
def test_says_that_a_file_was_cut_off(name, kept, tmp_path, files):
    write(tmp_path, {**files, name: files[name][:kept]})
    with pytest.raises(DataError, match=r"^mnist must be found in .* \(a file of the (training|test) set is damaged"):
        load_data("mnist", DataRequest(data_dir=tmp_path, download=False))


@pytest.mark.parametrize("wrong", [np.zeros((3, 32, 32), dtype=np.uint8), np.zeros((4, 28, 28), dtype=np.uint8)])
def test_takes_only_28_by_28_pixels_and_an_image_a_label(wrong, tmp_path, files):
    write(tmp_path, {**files, "t10k-images-idx3-ubyte": idx(wrong)})
    shape = "x".join(map(str, wrong.shape))
    with pytest.raises(DataError, match=rf"\(the test set must be 3x28x28, as it has 3 labels, and is {shape}\)"):
        load_data("mnist", DataRequest(data_dir=tmp_path, download=False))


def test_takes_no_other_size(tmp_path):
    with pytest.raises(DataError, match=r"^image_size of mnist must be 28, or not given \(got 32\)$"):
        load_data("mnist", DataRequest(data_dir=tmp_path, image_size=32))


def test_what_torchvision_would_read_in_place_of_the_files_is_not(tmp_path, files):
    write(tmp_path, files)
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(b"anything")
    with pytest.raises(DataError, match=r"processed holds files of an old torchvision, which are not read; delete it"):
        load_data("mnist", DataRequest(data_dir=tmp_path, download=False))


def test_a_file_that_is_far_too_long_is_not_read(tmp_path, files):
    write(tmp_path, files)
    with (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").open("ab") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(DataError, match=r"ubyte must have at most 67,108,864 bytes and has 67,108,865"):
        load_data("mnist", DataRequest(data_dir=tmp_path, download=False))
