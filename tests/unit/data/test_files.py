import operator
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ticketkit.data import files
from ticketkit.data.files import Decoder, ImageFiles, chunked, in_processes, interrupts_blocked


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return str(path)


def make_pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_a_decoder_names_each_image_that_is_not_what_it_must_be(tmp_path):
    grey, other = make_pixels(0, 4, 5), make_pixels(1, 4, 5)
    paths = [
        save(tmp_path / "a.png", grey),
        save(tmp_path / "b.png", make_pixels(2, 5, 5)),
        save(tmp_path / "c.png", make_pixels(3, 4, 5, 3)),
        str(tmp_path / "none.png"),
        save(tmp_path / "e.png", other),
    ]
    images, faults = Decoder(shape=(1, 4, 5))(paths)
    assert images.shape == (5, 4, 5, 1)
    assert np.array_equal(images[0, ..., 0], grey)
    assert np.array_equal(images[4, ..., 0], other)
    assert not images[1:4].any()
    assert [*map(str, faults)] == [
        f"{paths[1]} (5x5)",
        f"{paths[2]} (in colour)",
        f"{paths[3]} (unreadable)",
    ]


def test_sums_of_a_part_are_those_of_its_pixels(tmp_path):
    pixels = [np.full((300, 300, 3), 255, dtype=np.uint8), make_pixels(1, 300, 300, 3)]  # squares pass 2**32
    paths = tuple(save(tmp_path / f"{index}.png", image) for index, image in enumerate(pixels))
    (part,) = ImageFiles(paths=paths, decoder=Decoder(shape=(3, 300, 300))).parts()
    whole = np.stack(pixels).astype(np.int64)
    assert np.array_equal(part.images, whole.transpose(0, 3, 1, 2))
    assert np.array_equal(part.sums, [whole.sum(axis=(0, 1, 2)), (whole**2).sum(axis=(0, 1, 2))])


def test_files_are_chosen_as_an_array_chooses():
    decoder = Decoder(shape=(3, 2, 2))
    images = ImageFiles(paths=tuple("abcdef"), decoder=decoder, workers=3)
    assert images.shape == (6, 3, 2, 2)
    assert images[2:].paths == tuple("cdef")
    chosen = images[np.array([0, 5, 1])]
    assert (chosen.paths, chosen.decoder, chosen.workers) == (("a", "f", "b"), decoder, 3)


@pytest.mark.parametrize(("image_bytes", "size"), [(0, 256), (100, 256), (1 << 20, 16), (1 << 30, 1)])
def test_chunks_of_large_images_are_small(image_bytes, size):
    chunks = chunked([str(index) for index in range(300)], image_bytes=image_bytes)
    assert len(chunks[0]) == size
    assert [path for chunk in chunks for path in chunk] == [str(index) for index in range(300)]


def test_processes_are_never_far_ahead(monkeypatch):
    asked = []
    submit = files.ProcessPoolExecutor.submit
    monkeypatch.setattr(
        files.ProcessPoolExecutor, "submit", lambda self, *call: (asked.append(call), submit(self, *call))[1]
    )
    results = []
    for result in in_processes(operator.neg, range(30), 2):
        results.append(result)
        assert len(asked) <= len(results) + 2 * files.QUEUED
    assert results == [-number for number in range(30)]
    assert len(asked) == 30


def test_ctrl_c_does_not_reach_processes_started_inside_the_block():
    script = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"

    def blocked_in_a_child():
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()

    assert blocked_in_a_child() == "False"
    with interrupts_blocked():
        assert blocked_in_a_child() == "True"
    assert blocked_in_a_child() == "False"
