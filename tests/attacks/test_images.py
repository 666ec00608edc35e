"""Hostile folders of images: what is decoded, what is left out and named, and what is an error, held and streamed.

Pillow takes memory where tracemalloc does not see it, so the largest images are decoded by a process that may not have
more.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import SLOWEST, refused

from ticketkit.data import DataRequest, ImageData, load_data
from ticketkit.data.files import (
    BROKEN,
    MOST_PIXELS,
    NO_FILE,
    OTHER_PIXELS,
    TOO_LARGE,
    UNREADABLE,
    decode_image,
)
from ticketkit.errors import DataError
from ticketkit.torchvision_compat import import_torchvision

SIDE = 8
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["held", "streamed"])
Make = Callable[[Path], object]


def pixels(seed: int = 0, channels: int = 3) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, channels), dtype=np.uint8)


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(pixels(seed))


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, kind)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG of 8 bits a channel, whatever it claims to be: 2 is RGB, 0 grey."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


LEFT_OUT: dict[str, tuple[str, Make, str]] = {
    "empty": ("a.png", content(b""), BROKEN),
    "text": ("a.jpg", content(b"no image"), BROKEN),
    "JPEG cut in the middle": ("a.jpg", content(encoded("JPEG")[:-200]), BROKEN),
    "PNG cut in the middle": ("a.png", content(encoded("PNG")[:60]), BROKEN),
    "PNG with a wrong checksum": ("a.png", content(flipped(encoded("PNG"), 40)), BROKEN),
    "no pixels": ("a.png", content(png(0, 0)), BROKEN),
    "PostScript, which Pillow has a program for": (
        "a.jpg",
        content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"),
        BROKEN,
    ),
    "SVG": ("a.png", content(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), BROKEN),
    "50,000 x 50,000": ("a.png", content(png(50_000, 50_000)), TOO_LARGE),
    "2^31 x 2^31": ("a.png", content(png(2**31 - 1, 2**31 - 1)), TOO_LARGE),
    "one row too many": ("a.png", content(png(8_192, 8_193)), TOO_LARGE),
    "more than Pillow warns of": ("a.png", content(png(10_000, 10_000)), TOO_LARGE),
    "32 bits": ("a.tif", lambda path: Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(path), OTHER_PIXELS),
    "floating point": ("a.tif", lambda path: Image.fromarray(np.ones((8, 8), np.float32)).save(path), OTHER_PIXELS),
    "pipe": ("a.png", os.mkfifo, NO_FILE),
    "device": ("a.png", lambda path: path.symlink_to("/dev/zero"), NO_FILE),
    "link to itself": ("a.png", lambda path: path.symlink_to(path.name), UNREADABLE),
    "link to nowhere": ("a.png", lambda path: path.symlink_to("nowhere"), UNREADABLE),
    "another kind": ("a.txt", content(b"text"), "of another kind"),
    "animation": ("a.gif", lambda path: picture().save(path, save_all=True), "of another kind"),
    "hidden": (".DS_Store", content(b"\0"), "of another kind"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, with two images each to train on and one to test on."""
    seed = 0
    for part, count in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture(seed := seed + 1).save(folder / f"{index}.png")
    return tmp_path / "pets"


def load(root: Path, *, stream: bool, **options: Any) -> tuple[ImageData, list[str]]:
    said: list[str] = []
    request = DataRequest(data_dir=root, cache_dir=root.parent / "cache", stream=stream, on_wait=said.append, **options)
    return load_data("folder", request), said


@STREAM
@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_counted_and_named(name: str, root: Path, *, stream: bool) -> None:
    file, make, reason = LEFT_OUT[name]
    make(root / "train" / "cat" / file)
    start = time.process_time()
    data, said = load(root, stream=stream)
    assert time.process_time() - start < SLOWEST
    assert said == [f"folder:pets: 1 of 7 files was left out: 1 {reason} (train/cat/{file})"]
    assert (len(data.train_images), len(data.test_images)) == (4, 2)


@STREAM
def test_kinds_are_counted_apart_and_the_first_named(root: Path, *, stream: bool) -> None:
    for number in range(5):
        (root / "train" / "dog" / f"x{number}.jpg").write_bytes(b"no image")
    (root / "test" / "cat" / "huge.png").write_bytes(png(50_000, 50_000))
    (root / "test" / "labels.txt").write_text("cat")
    _, said = load(root, stream=stream)
    assert said == [
        "folder:pets: 7 of 13 files were left out: 5 broken (train/dog/x0.jpg, train/dog/x1.jpg, train/dog/x2.jpg, …), "
        "1 in no class's folder (test/labels.txt), 1 of more than 64 megapixels (test/cat/huge.png)"
    ]


@STREAM
def test_a_name_that_is_not_utf_8_is_an_image_like_any_other(root: Path, *, stream: bool) -> None:
    folder = os.fsencode(root / "train" / "cat")
    for name, data in ((b"\xff\xfe.png", encoded("PNG")), (b"\xff\xfd.png", b"no image")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    data, said = load(root, stream=stream)
    assert len(data.train_images) == 5
    broken = "train/cat/\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png"
    assert said == [f"folder:pets: 1 of 8 files was left out: 1 broken ({broken})"]


@STREAM
def test_names_that_could_steer_a_terminal_are_made_harmless(root: Path, *, stream: bool) -> None:
    (root / "train" / "cat" / "a\n\x1b[31m\u202e.png").write_bytes(b"no image")
    _, said = load(root, stream=stream)
    assert said == [
        "folder:pets: 1 of 7 files was left out: 1 broken (train/cat/a \N{REPLACEMENT CHARACTER}[31m"
        "\N{REPLACEMENT CHARACTER}.png)"
    ]


def test_the_folder_s_own_name_fits_into_a_ticket(root: Path) -> None:
    odd = os.fsdecode(b"\xff\n" + b"a" * 240)
    root = root.rename(root.parent / odd)
    data, _ = load(root, stream=False)
    assert data.name.isprintable()
    assert len(data.name.encode()) < 150


@STREAM
def test_a_circle_of_links_is_walked_once(root: Path, *, stream: bool) -> None:
    expected = load(root, stream=stream)[0].fingerprint
    (root / "train" / "cat" / "again").symlink_to("..", target_is_directory=True)
    (root / "test" / "dog" / "itself").symlink_to(".", target_is_directory=True)
    data, said = load(root, stream=stream)
    assert said[0].endswith("2 reached in a circle of links (train/cat/again/cat, test/dog/itself)")
    assert data.fingerprint != expected  # a link to another folder is followed, as torchvision follows it
    assert len(data.test_images) == 2


@STREAM
def test_folders_in_folders_belong_to_the_class(root: Path, *, stream: bool) -> None:
    deep = root / "train" / "cat" / "x.jpg" / "deep"
    deep.mkdir(parents=True)
    picture(9).save(deep / "9.png")
    data, said = load(root, stream=stream)
    assert (data.train_labels.tolist(), said) == ([0, 0, 0, 1, 1], [])


def test_the_order_is_that_of_torchvision(root: Path) -> None:
    for name in ("cat/b/1.png", "cat/b.png", "cat/B.PNG", "cat/a-b/1.png", "cat/a/1.png", "dog/é.png"):
        path = root / "train" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded("PNG"))
    (root / "train" / "dog" / "linked").symlink_to(root / "test" / "dog", target_is_directory=True)
    found = import_torchvision().datasets.ImageFolder(root / "train")
    data, said = load(root, stream=True)
    assert data.files is not None
    assert [*data.files[0].paths] == [path for path, _ in found.samples]
    assert (data.train_labels.tolist(), said) == (found.targets, [])


@STREAM
def test_classes_that_differ_in_case_alone_are_two(root: Path, *, stream: bool) -> None:
    for part in ("train", "test"):
        (root / part / "Cat").mkdir()
        picture().save(root / part / "Cat" / "0.png")
    data, said = load(root, stream=stream)
    assert (data.classes, said) == (("Cat", "cat", "dog"), [])


ERRORS: dict[str, tuple[Callable[[Path], object], str]] = {
    "class without an image": (
        lambda root: [(root / part / "cow").mkdir() for part in ("train", "test")],
        "every class must hold an image (got none for cow): {root}/train",
    ),
    "class whose every image is broken": (
        lambda root: (root / "test" / "cat" / "0.png").write_bytes(b""),
        "every class must hold an image (got none for cat; 1 of 2 files was left out: 1 broken (test/cat/0.png)): "
        "{root}/test",
    ),
    "everything broken": (
        lambda root: [path.write_bytes(b"") for path in root.rglob("*.png")],
        "every class must hold an image (got none for cat, dog; 4 of 4 files were left out: 4 broken "
        "(train/cat/0.png, train/cat/1.png, train/dog/0.png, …)): {root}/train",
    ),
    "class of text alone": (
        lambda root: [
            (root / "train" / "dog" / "a.txt").write_text("a"),
            *((root / "train" / "dog" / f"{number}.png").unlink() for number in range(2)),
        ],
        "every class must hold an image (got none for dog; 1 of 3 files was left out: 1 of another kind "
        "(train/dog/a.txt)): {root}/train",
    ),
    "class in the test set alone": (
        lambda root: (root / "test" / "dog").rename(root / "test" / "fox\x1b[31m"),
        "train and test must have the same classes (only one has dog, fox\N{REPLACEMENT CHARACTER}[31m): {root}",
    ),
    "no class": (
        lambda root: [(root / "train" / name).rename(root / name) for name in ("cat", "dog")],
        "a folder of images must hold a folder for each class (got none): {root}/train",
    ),
    "images of two sizes": (
        lambda root: Image.new("RGB", (9, 8)).save(root / "test" / "dog" / "0.png"),
        "images must have one size, or image_size be given (got 8x8 and 9x8): {root}/test/dog/0.png",
    ),
}


@STREAM
@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_with_the_whole_folder_is_an_error(name: str, root: Path, *, stream: bool) -> None:
    make, line = ERRORS[name]
    make(root)
    assert refused(lambda: load(root, stream=stream), DataError) == line.format(root=root)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda root: root / "none", "a folder data set must hold train/CLASS/ and test/CLASS/, or val/CLASS/: "),
        (lambda root: root / "train" / "cat" / "0.png", "a folder data set must hold train/CLASS/ and test/CLASS/"),
        (lambda root: Path("a\0b"), "data_dir of a folder data set must be a folder (got 'a\\x00b')"),
        (
            lambda root: ((root / "loop").symlink_to("loop"), root / "loop")[1],
            "a folder data set must hold train/CLASS/ and test/CLASS/, or val/CLASS/: ",
        ),
    ],
    ids=["nowhere", "file", "NUL", "link to itself"],
)
def test_what_is_no_folder(make: Callable[[Path], Path], line: str, root: Path) -> None:
    path = make(root)
    assert refused(lambda: load(path, stream=False), DataError).startswith(line)


def test_image_size_has_a_limit() -> None:
    line = refused(lambda: DataRequest(image_size=10**9), DataError)
    assert line == "image_size of a data set must be at most 8,192 pixels (got 1,000,000,000)"


def test_a_strip_is_not_made_huge_by_its_shorter_side(root: Path) -> None:
    strip = root / "train" / "cat" / "strip.png"
    strip.write_bytes(png(1, 60_000, colour=0, data=bytes(120_000)))
    data, said = load(root, stream=False, image_size=2_048)
    assert said == ["folder:pets@2048px: 1 of 7 files was left out: 1 of more than 64 megapixels (train/cat/strip.png)"]
    assert data.shape == (3, 2_048, 2_048)


def test_more_data_than_an_image_has_is_not_unfolded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 8, data=bytes(10**8)))
    start = time.process_time()
    assert not np.any(decode_image(str(path), None))
    assert time.process_time() - start < SLOWEST


def test_the_largest_image_takes_no_more_memory_than_is_said(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5)
    (tmp_path / "a.png").write_bytes(png(side, side, data=bytes(side * (3 * side + 1))))
    script = """
        import resource
        from PIL import Image
        from ticketkit.data.files import decode_image
        Image.init()
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + 768 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        print(decode_image("a.png", None).shape)
    """
    if not Path("/proc/self/statm").exists():  # only Linux counts it there
        return
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert done.stdout == f"({side}, {side}, 3)\n"


CONVERTED: dict[str, tuple[str, Callable[[Path], object], Any]] = {
    "CMYK": ("a.tif", lambda path: picture().convert("CMYK").save(path), picture().convert("CMYK").convert("RGB")),
    "palette": ("a.png", lambda path: picture().convert("P").save(path), picture().convert("P").convert("RGB")),
    "palette with a transparent colour": (
        "a.png",
        lambda path: picture().convert("P").save(path, transparency=0),
        picture().convert("P").convert("RGB"),
    ),
    "palette with transparent colours": (
        "a.png",
        lambda path: picture().convert("P").save(path, transparency=bytes(range(256))),
        picture().convert("P").convert("RGB"),
    ),
    "transparency is dropped": (
        "a.png",
        lambda path: Image.fromarray(np.dstack([pixels(), pixels(1, 1)])).save(path),
        picture(),
    ),
    "grey with transparency": (
        "a.png",
        lambda path: picture().convert("LA").save(path),
        picture().convert("L").convert("RGB"),
    ),
    "1 bit": ("a.png", lambda path: picture().convert("1").save(path), picture().convert("1").convert("RGB")),
    "YCbCr": (
        "a.tif",
        lambda path: picture().convert("YCbCr").save(path),
        picture().convert("YCbCr").convert("RGB"),
    ),
    "16 bits keep the upper 8": (
        "a.png",
        lambda path: Image.fromarray(pixels(0, 1)[..., 0].astype(np.uint16) * 256 + 77).save(path),
        Image.fromarray(pixels(0, 1)[..., 0]),
    ),
    "16 bits in TIFF": (
        "a.tif",
        lambda path: Image.fromarray(pixels(0, 1)[..., 0].astype(np.uint16) * 256 + 77).save(path),
        Image.fromarray(pixels(0, 1)[..., 0]),
    ),
    "16 bits in PGM": (
        "a.pgm",
        lambda path: path.write_bytes(
            b"P5 8 8 65535\n" + (pixels(0, 1)[..., 0].astype(">u2") * 256 + 77).astype(">u2").tobytes()
        ),
        Image.fromarray(pixels(0, 1)[..., 0]),
    ),
    "an animation gives its first frame": (
        "a.webp",
        lambda path: picture().save(path, save_all=True, append_images=[picture(1)], lossless=True),
        picture(),
    ),
    "an animation called JPEG": (
        "a.jpg",
        lambda path: picture().quantize(256).save(path, "GIF", save_all=True, append_images=[picture(1)]),
        picture().quantize(256).convert("RGB"),
    ),
    "EXIF's orientation is not followed": ("a.png", lambda path: picture().save(path, exif=_turned()), picture()),
}


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("name", CONVERTED)
def test_what_becomes_of_other_pixels(name: str, tmp_path: Path) -> None:
    file, make, expected = CONVERTED[name]
    make(tmp_path / file)
    found = decode_image(str(tmp_path / file), None)
    assert np.array_equal(found, np.atleast_3d(np.asarray(expected)))
