import os
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticketkit.data import DataRequest, files, folder, load_data
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision


def pixels(seed, size=(6, 6), mode="RGB"):
    width, height = size
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, seed, size=(6, 6), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, size, mode)).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Two classes, with three images each to train on and two to test on."""
    for part, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for index in range(count):
                save(tmp_path / "pets" / part / name / f"{index}.png", seed=100 * count + 10 * label + index)
    return tmp_path / "pets"


@pytest.fixture
def load(root, tmp_path):
    def load(**options):
        return load_data("folder", DataRequest(data_dir=root, cache_dir=tmp_path / "cache", **options))

    return load


@pytest.fixture
def decoded(monkeypatch):
    """Counts the images that are decoded in this process."""
    paths = []
    real = files.decode_image
    for module in (files, folder):
        monkeypatch.setattr(module, "decode_image", lambda path, size: (paths.append(path), real(path, size))[1])
    return paths


def cache_file(tmp_path):
    (file,) = (tmp_path / "cache").iterdir()
    return file


def test_reads_images_in_the_order_of_their_classes_and_names(load):
    data = load()
    assert data.name == "folder:pets"
    assert data.classes == ("cat", "dog")
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_labels.tolist() == [0, 0, 1, 1]
    for image, seed in zip(data.train_images, (300, 301, 302, 310, 311, 312), strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), pixels(seed))
    for image, seed in zip(data.test_images, (200, 201, 210, 211), strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), pixels(seed))


def test_takes_val_where_there_is_no_test(root, load):
    expected = load().fingerprint
    (root / "test").rename(root / "val")
    assert load().fingerprint == expected


def test_prefers_test_to_val(root, load):
    expected = load().fingerprint
    save(root / "val" / "cow" / "0.png", 1)
    assert load().fingerprint == expected


def test_grey_images_keep_one_channel(root, load):
    for index, path in enumerate(sorted(root.rglob("*.png"))):
        save(path, index, mode="L")
    data = load()
    assert data.shape == (1, 6, 6)
    assert np.array_equal(data.test_images[0, 0], pixels(0, mode="L"))


@pytest.mark.parametrize("colour", [0, 4, 9])
def test_one_colour_image_makes_all_colour(root, load, colour):
    paths = sorted(root.rglob("*.png"))  # test before train
    for index, path in enumerate(paths):
        save(path, index, mode="RGB" if index == colour else "L")
    data = load()
    images = np.concatenate([data.test_images, data.train_images])
    assert images.shape == (10, 3, 6, 6)
    for index, image in enumerate(images):
        expected = pixels(index) if index == colour else np.stack([pixels(index, mode="L")] * 3, axis=-1)
        assert np.array_equal(image.transpose(1, 2, 0), expected)


def test_other_modes_become_colour(root, load):
    Image.fromarray(pixels(0, mode="L")).convert("1").save(root / "train" / "cat" / "0.png")
    Image.fromarray(pixels(5)).convert("RGBA").save(root / "train" / "cat" / "1.png")
    data = load()
    assert data.shape == (3, 6, 6)
    assert set(np.unique(data.train_images[0])) == {0, 255}
    assert np.array_equal(data.train_images[1].transpose(1, 2, 0), pixels(5))


def test_images_must_have_one_size(root, load):
    odd = save(root / "train" / "dog" / "1.png", 1, size=(8, 6))
    with pytest.raises(DataError) as caught:
        load()
    assert str(caught.value) == f"images must have one size, or image_size be given (got 6x6 and 8x6): {odd}"


@pytest.mark.parametrize("size", [(9, 30), (31, 10), (5, 4), (6, 6), (7, 7), (6, 11)])
def test_image_size_does_what_torchvision_does(root, load, size):
    path = save(root / "train" / "cat" / "0.png", 1, size=size)
    transforms = import_torchvision().transforms
    with Image.open(path) as image:
        expected = transforms.CenterCrop(6)(transforms.Resize(6)(image))
    data = load(image_size=6)
    assert data.shape == (3, 6, 6)
    assert np.array_equal(data.train_images[0].transpose(1, 2, 0), np.asarray(expected))


def break_images(root):
    """Four images that cannot be read, and what is said of them."""
    broken = sorted((root / "train").rglob("*.png"))[1:5]
    broken[0].write_bytes(b"")
    broken[1].write_bytes(b"no image")
    broken[2].write_bytes(broken[2].read_bytes()[:60])
    broken[3].unlink()
    broken[3].symlink_to(root / "nowhere.png")
    return (
        "folder:pets: 4 of 10 files were left out: 3 broken (train/cat/1.png, train/cat/2.png, train/dog/0.png), "
        "1 unreadable (train/dog/1.png)"
    )


@pytest.mark.parametrize("stream", [False, True])
def test_broken_images_are_left_out_counted_and_named(root, load, stream):
    expected = [pixels(seed) for seed in (300, 312)]
    line = break_images(root)
    said = []
    data = load(stream=stream, on_wait=said.append)
    assert said == [line]
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 1], [0, 0, 1, 1])
    images = data.train_images if data.files is None else next(data.files[0].parts()).images
    for image, wanted in zip(images, expected, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), wanted)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_left_out_of_a_kept_folder_is_said_again(root, load, decoded, tmp_path, stream):
    (root / "train" / "cat" / "1.png").write_bytes(b"no image")
    (root / "test" / "dog" / "notes.txt").write_text("of another kind")
    said = []
    first = load(stream=stream, on_wait=said.append)
    before = len(decoded)
    again = load(stream=stream, on_wait=said.append)
    assert facts(again) == facts(first)
    assert len(decoded) == before
    line = "2 of 11 files were left out: 1 broken (train/cat/1.png), 1 of another kind (test/dog/notes.txt)"
    assert said == [f"folder:pets: {line}"] * 2
    assert cache_file(tmp_path)


def test_what_cannot_be_read_is_tried_again(root, load):
    path = root / "train" / "cat" / "1.png"
    elsewhere = path.rename(root / "1.png")
    path.symlink_to(root / "nowhere.png")
    said = []
    assert len(load(on_wait=said.append).train_images) == 5
    path.unlink()
    elsewhere.rename(path)
    assert len(load(on_wait=said.append).train_images) == 6
    assert said == ["folder:pets: 1 of 10 files was left out: 1 unreadable (train/cat/1.png)"]


def test_without_a_listener_what_is_left_out_is_a_warning(root, load):
    line = break_images(root)
    with pytest.warns(UserWarning, match="left out") as caught:
        load()
    assert [str(warning.message) for warning in caught] == [line]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("stream", [False, True])
def test_every_broken_image_is_an_error_not_an_empty_set(root, load, tmp_path, stream):
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(stream=stream)
    assert str(caught.value) == (
        "every class must hold an image (got none for cat, dog; 6 of 6 files were left out: 6 broken "
        f"(train/cat/0.png, train/cat/1.png, train/cat/2.png, …)): {root / 'train'}"
    )
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("stream", [False, True])
def test_a_class_whose_every_image_is_broken_is_an_error(root, load, stream):
    for path in (root / "test" / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(stream=stream)
    assert str(caught.value) == (
        "every class must hold an image (got none for dog; 2 of 4 files were left out: 2 broken "
        f"(test/dog/0.png, test/dog/1.png)): {root / 'test'}"
    )


def test_train_and_test_must_have_the_same_classes(root, load):
    (root / "test" / "dog").rename(root / "test" / "fox")
    with pytest.raises(DataError) as caught:
        load()
    assert str(caught.value) == f"train and test must have the same classes (only one has dog, fox): {root}"


def test_a_class_must_hold_an_image(root, load):
    (root / "train" / "cow").mkdir()
    with pytest.raises(DataError, match=r"^every class must hold an image \(got none for cow\): .*train$"):
        load()


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_folder_must_have_both_parts(root, load, missing):
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"must hold train/CLASS/ and test/CLASS/, or val/CLASS/: .*pets$"):
        load()


def test_data_dir_must_be_given():
    with pytest.raises(DataError, match=r"^data_dir of a folder data set must be given \(got none\)$"):
        load_data("folder")


def test_decodes_once(load, decoded, tmp_path):
    first = load()
    assert len(decoded) == 10
    calls = []
    again = load(on_progress=lambda *numbers: calls.append(numbers))
    assert len(decoded) == 10
    assert calls == []
    assert again.fingerprint == first.fingerprint
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [cache_file(tmp_path).name]


def touch(root):
    path = root / "train" / "cat" / "0.png"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def rename(root):
    (root / "train" / "cat" / "2.png").rename(root / "train" / "cat" / "3.png")


def add(root):
    save(root / "test" / "dog" / "9.png", 9)


@pytest.mark.parametrize("change", [touch, rename, add])
def test_decodes_again_when_an_image_changes(root, load, decoded, tmp_path, change):
    load()
    before = len(decoded)
    change(root)
    load()
    assert len(decoded) - before >= 10
    assert cache_file(tmp_path)  # one file: the old one is replaced


def test_each_image_size_has_its_cache(load, decoded, tmp_path):
    sizes = [load(image_size=size).shape for size in (4, 5, 4)]
    assert sizes == [(3, 4, 4), (3, 5, 5), (3, 4, 4)]
    assert len(decoded) == 20
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_a_damaged_cache_is_rebuilt(load, decoded, tmp_path, where):
    expected = load().fingerprint
    file = cache_file(tmp_path)
    sound = file.read_bytes()
    for damaged in (b"", sound[: int(where * len(sound))], b"\x00" * len(sound)):
        file.write_bytes(damaged)
        assert load().fingerprint == expected
        assert file.read_bytes() == sound
    assert len(decoded) == 40


def test_a_flipped_bit_in_the_cache_is_noticed(load, decoded, tmp_path):
    expected = load()
    file = cache_file(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(expected.train_images[3].tobytes()) + 7] ^= 1
    file.write_bytes(content)
    assert load().fingerprint == expected.fingerprint
    assert len(decoded) == 20


def test_a_cache_that_cannot_be_written_is_no_error(load, decoded, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert load().fingerprint == load().fingerprint
    assert len(decoded) == 20


def test_the_cache_lies_in_the_users_cache_folder(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    load_data("folder", DataRequest(data_dir=root))
    assert len(list((tmp_path / "xdg" / "ticketkit").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    load_data("folder", DataRequest(data_dir=root))
    assert len(list((tmp_path / "home" / ".cache" / "ticketkit").iterdir())) == 1


def test_a_user_without_a_home_has_no_cache(root, decoded, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    for _ in range(2):
        load_data("folder", DataRequest(data_dir=root))
    assert len(decoded) == 20


def test_reports_progress_in_the_calling_thread(load, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 4)
    calls = []
    load(on_progress=lambda done, total: calls.append((done, total, threading.get_ident())))
    here = threading.get_ident()
    assert calls == [(4, 10, here), (8, 10, here), (10, 10, here)]


def test_processes_decode_the_same_images(root, load, decoded, monkeypatch, tmp_path):
    save(root / "train" / "dog" / "1.png", 1, size=(9, 14), mode="L")
    expected = load(image_size=5, workers=1)
    assert len(decoded) == 10
    cache_file(tmp_path).unlink()
    monkeypatch.setattr(files, "CHUNK", 3)
    monkeypatch.setattr(files, "IN_PROCESS", 5)
    calls = []
    here = threading.get_ident()
    data = load(image_size=5, workers=2, on_progress=lambda *call: calls.append((*call, threading.get_ident())))
    assert data.fingerprint == expected.fingerprint
    assert calls == [(done, 10, here) for done in (3, 6, 9, 10)]
    assert len(decoded) == 10  # none of them here


@pytest.mark.parametrize("survived", [0, 2])
def test_goes_on_alone_when_a_process_dies(load, decoded, monkeypatch, survived):
    class DyingPool:
        def __init__(self, workers, mp_context):
            assert (workers, mp_context.get_start_method()) == (2, "spawn")
            self.done = 0

        def submit(self, function, chunk):
            future = Future()
            if self.done < survived:
                future.set_result(function(chunk))
            else:
                future.set_exception(BrokenProcessPool("a process was killed"))
            self.done += 1
            return future

        def shutdown(self, cancel_futures):
            assert cancel_futures

    expected = load(workers=1, image_size=6).fingerprint
    monkeypatch.setattr(files, "CHUNK", 3)
    monkeypatch.setattr(files, "IN_PROCESS", 5)
    monkeypatch.setattr(files, "ProcessPoolExecutor", DyingPool)
    assert load(workers=2).fingerprint == expected
    assert len(decoded) == 20
    assert len(set(decoded)) == 10


@pytest.mark.parametrize("why", [KeyboardInterrupt, DataError])
def test_whatever_ends_the_decoding_stops_the_processes(root, load, monkeypatch, why):
    stopped = []

    class Pool:
        def __init__(self, workers, mp_context):
            pass

        def submit(self, function, chunk):
            future = Future()
            future.set_result(function(chunk))
            return future

        def shutdown(self, cancel_futures):
            stopped.append(cancel_futures)

    def interrupt(_done, _total):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "CHUNK", 3)
    monkeypatch.setattr(files, "IN_PROCESS", 5)
    monkeypatch.setattr(files, "ProcessPoolExecutor", Pool)
    if why is DataError:
        save(root / "train" / "cat" / "1.png", 1, size=(5, 5))
    with pytest.raises(why) as caught:  # holds the frames: nothing is stopped by chance, with the last reference
        load(workers=2, on_progress=interrupt if why is KeyboardInterrupt else None)
    assert caught.tb is not None
    assert stopped == [True]


def facts(data):
    """All that a streamed data set must share with the same one held."""
    counts = (len(data.train_images), len(data.test_images))
    labels = (data.train_labels.tolist(), data.test_labels.tolist())
    return data.name, data.shape, data.classes, labels, counts, data.mean, data.std, data.fingerprint


@pytest.mark.parametrize("colour", [range(10), [], [0], [9]], ids=["colour", "grey", "first", "last"])
def test_a_streamed_folder_is_the_held_one(root, load, colour):
    paths = sorted((root / "train").rglob("*.png")) + sorted((root / "test").rglob("*.png"))
    for index, path in enumerate(paths):
        save(path, index, mode="RGB" if index in colour else "L")
    held, streamed = load(), load(stream=True)
    assert (held.files, len(streamed.files)) == (None, 2)
    assert facts(streamed) == facts(held)
    for files_, images in zip(streamed.files, held.arrays, strict=True):
        assert np.array_equal(np.concatenate([part.images for part in files_.parts()]), images)


def test_a_streamed_folder_is_brought_to_its_size(root, load):
    save(root / "train" / "dog" / "1.png", 1, size=(9, 14), mode="L")
    assert facts(load(image_size=5, stream=True)) == facts(load(image_size=5))


@pytest.mark.parametrize("limits", [(4,), (None, 2), (3, 3), (6, 4)])
def test_a_streamed_folder_can_be_limited(load, limits):
    held, streamed = load().limited(*limits), load(stream=True).limited(*limits)
    assert facts(streamed) == facts(held)
    assert streamed.files is not None


def test_a_folder_is_streamed_where_it_takes_more_than_its_budget(load):
    size = 10 * 3 * 6 * 6
    assert load(memory_budget=size).files is None
    assert load(memory_budget=size - 1).files is not None
    assert load(memory_budget=1, stream=False).files is None
    assert load(memory_budget=size, stream=True).files is not None


def test_a_pass_over_a_streamed_folder_is_made_once(load, decoded, tmp_path):
    calls = []
    first = load(stream=True, on_progress=lambda *numbers: calls.append(numbers))
    assert len(decoded) == 11  # the first image tells the shape
    assert calls == [(6, 10), (10, 10)]
    again = load(stream=True, on_progress=lambda *numbers: calls.append(numbers))
    assert facts(again) == facts(first)
    assert (len(decoded), len(calls)) == (11, 2)
    assert cache_file(tmp_path).suffix == ".json"


@pytest.mark.parametrize("change", [touch, rename, add])
def test_a_pass_is_made_again_when_an_image_changes(root, load, decoded, tmp_path, change):
    load(stream=True)
    before = len(decoded)
    change(root)
    load(stream=True)
    assert len(decoded) - before >= 10
    assert cache_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": "", "survey": {}}', b"[]"])
def test_a_damaged_survey_is_made_again(load, decoded, tmp_path, content):
    expected = facts(load(stream=True))
    file = cache_file(tmp_path)
    sound = file.read_bytes()
    file.write_bytes(content)
    assert facts(load(stream=True)) == expected
    assert file.read_bytes() == sound
    assert len(decoded) == 22


@pytest.mark.parametrize("broken", [[0], [3, 9], [1, 2, 4, 5, 6, 8]])
def test_a_streamed_folder_leaves_out_what_a_held_one_does(root, load, tmp_path, broken):
    paths = sorted((root / "train").rglob("*.png")) + sorted((root / "test").rglob("*.png"))
    for index in broken:
        paths[index].write_bytes(b"no image")
    said = []
    held, streamed = (load(stream=stream, on_wait=said.append) for stream in (False, True))
    assert facts(streamed) == facts(held)
    assert said[0] == said[1]
    assert f"{len(broken)} of 10 files" in said[0]


@pytest.mark.parametrize("stream", [False, True])
def test_broken_images_and_the_first_colour_one_in_one_folder(root, load, stream):
    paths = sorted((root / "train").rglob("*.png")) + sorted((root / "test").rglob("*.png"))
    for index, path in enumerate(paths):
        save(path, index, mode="RGB" if index == 4 else "L")
    paths[1].write_bytes(b"no image")
    data = load(stream=stream, on_wait=lambda line: None)
    assert (data.shape, len(data.train_images)) == ((3, 6, 6), 5)


def test_images_of_a_streamed_folder_must_have_one_size(root, load):
    odd = save(root / "train" / "dog" / "1.png", 1, size=(8, 6))
    with pytest.raises(DataError) as caught:
        load(stream=True)
    assert str(caught.value) == f"images must have one size, or image_size be given (got 6x6 and 8x6): {odd}"


def test_processes_survey_the_same_images(load, decoded, monkeypatch, tmp_path):
    expected = facts(load(stream=True))
    cache_file(tmp_path).unlink()
    monkeypatch.setattr(files, "CHUNK", 2)
    monkeypatch.setattr(files, "IN_PROCESS", 5)
    before = len(decoded)
    data = load(stream=True, workers=2)
    assert facts(data) == expected
    assert len(decoded) - before == 1 + 4  # the first image, and the test images, which are few enough
