"""``ticketkit data``, and what the data options of the commands that train take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ticketkit.bundle import read_header
from ticketkit.cli.app import application
from ticketkit.cli.training import load_images
from ticketkit.data import DATASETS, DataRequest, load_data
from ticketkit.data.naming import DataName
from ticketkit.errors import DataError
from ticketkit.recipe import load_recipe

RECIPE = ["--set", "epochs=1", "--set", "warmup=0", "--set", "rewind=0it"]
SHORT = ["--arch", "mlp-64-16-10", "--levels", "1", "--threads", "1", *RECIPE]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run, with a folder of images of many sizes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 3)):
        for name in ("cat", "dog"):
            Path("pets", part, name).mkdir(parents=True)
            for index in range(count):
                width, height = random.integers(9, 30, 2)
                pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(Path("pets", part, name, f"{index}.jpg"))
    return tmp_path


def test_all_data_sets_are_listed_within_80_columns(folder: Path) -> None:
    lines = _run("data", "--data-dir", "pets").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split()[1:] for line in lines[1 : len(DATASETS) + 1]}
    assert set(rows) == set(DATASETS)
    assert rows["digits"] == ["embedded", "898", "899", "1×8×8", "10", "0.05"]
    assert rows["cifar10"] == ["no", "50,000", "10,000", "3×32×32", "10"]
    assert rows["folder"][:4] == ["yes", "24", "6", "2"]
    assert "in       pets" in lines
    assert "downloaded when first" in lines[-3]


def test_looking_needs_no_torch_and_makes_no_folder(folder: Path) -> None:
    script = """if True:
        import sys
        from ticketkit.cli.app import application
        application(["data"], standalone_mode=False)
        application(["data", "cifar100"], standalone_mode=False)
        print(sorted({"torch", "torchvision", "PIL"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert not Path("data").exists()


@pytest.mark.parametrize("name", list(DATASETS))
def test_one_is_shown_in_detail(name: str) -> None:
    text = _run("data", name).stdout
    assert text.startswith(f"data set {name}: ")
    assert max(map(len, text.splitlines())) <= 80
    assert ("take flip=false" in text) == (not DATASETS[name].facts.mirrors)


def test_reading_one_tells_what_its_images_are() -> None:
    text = _run("data", "folder", "--data-dir", "pets", "--image-size", 8, "--resize", 10, "--read").stdout
    (document,) = json.loads(
        _run("data", "folder", "--data-dir", "pets", "--image-size", 8, "--resize", 10, "--read", "--json").stdout
    )["datasets"]
    read = document["read"]
    assert (read["name"], read["shape"]) == ("folder:pets@10-8px", [3, 8, 8])
    assert read["fingerprint"] in text
    assert f"by mean {', '.join(f'{value:.2f}' for value in read['mean'])} and" in " ".join(text.split())


def test_reading_never_downloads() -> None:
    with pytest.raises(DataError, match="mnist must be found in data"):
        _run("data", "mnist", "--read")
    assert "--read needs the NAME" in _run("data", "--read").stderr


def test_the_document_says_the_same() -> None:
    document = json.loads(_run("data", "--json").stdout)
    assert document["format"] == {"name": "ticketkit-data", "version": "1.0"}
    assert [one["name"] for one in document["datasets"]] == list(DATASETS)
    page = (Path(__file__).parents[3] / "formats" / "data-v1.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in page for one in document["datasets"] for key in one)
    read = json.loads(_run("data", "digits", "--read", "--json").stdout)["datasets"][0]["read"]
    assert read["fingerprint"] == load_data("digits").fingerprint
    assert all(f"`{key}`" in page for key in read)


def test_a_ticket_of_a_fraction_says_so_and_is_verified_and_made_again_on_the_same_images() -> None:
    found = _run("find", *SHORT, "--fraction", 0.25, "-o", "part.st", "--json")
    assert found.exit_code == 0
    dataset = read_header("part.st").document.provenance.dataset
    assert dataset is not None
    assert (dataset.name, dataset.train) == ("digits[:224]", 224)
    assert dataset.fingerprint == load_data("digits").limited(224).fingerprint
    verify = ["verify", "part.st", "--against", "random", "--seeds", 1, "--threads", 1]
    assert "digits[:224]: 224 training" in _run(*verify).stdout
    assert "digits: 898 training" in _run(*verify, "--fraction", 1).stdout
    assert "digits[:300]: 300 training" in _run(*verify, "--limit", 300).stdout
    assert "digits: 898 training" in _run(*verify, "--dataset", "digits").stdout
    assert "verdict  identical" in _run("reproduce", "part.st", "--threads", 1).stdout


@pytest.mark.parametrize("command", ["find", "verify", "connect", "sweep"])
def test_what_takes_a_limit_takes_a_fraction(command: str) -> None:
    found = application.get_command(click.Context(application), command)
    assert found is not None
    assert {"limit", "fraction"} <= {parameter.name for parameter in found.params}


@pytest.mark.parametrize("command", [["find", *SHORT], ["sweep", "study.toml"]])
def test_a_limit_and_a_fraction_exclude_each_other(command: list[str]) -> None:
    done = _run(*command, "--limit", 3, "--fraction", 0.5)
    assert done.exit_code == 2
    assert "--limit and --fraction exclude each other: give one" in done.stderr


@pytest.mark.parametrize("fraction", ["0", "1.5"])
def test_a_fraction_is_in_its_range(fraction: str) -> None:
    assert _run("find", *SHORT, "--fraction", fraction).exit_code == 2


@pytest.mark.parametrize(
    "command", [["find", "--arch", "resnet8", "--dataset", "folder"], ["data", "folder", "--read"]]
)
def test_a_folder_must_be_given_before_anything_is_loaded(command: list[str]) -> None:
    done = _run(*command)
    assert done.exit_code == 2
    assert "data set folder needs --data-dir" in done.stderr


def test_sizes_need_images_that_are_read() -> None:
    done = _run("data", "folder", "--data-dir", "pets", "--image-size", 8)
    assert done.exit_code == 2
    assert "--image-size and --resize need --read" in done.stderr


@pytest.mark.parametrize(
    ("device", "cuda", "processes", "workers"),
    [("auto", True, 1, 6), ("cuda:0", True, 2, 3), ("cpu", True, 1, None), ("auto", False, 1, None)],
)
def test_a_gpu_waits_for_no_single_decoder(
    device: str, cuda: bool, processes: int, workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[DataRequest] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("ticketkit.train.memory_budget", lambda _device: 1 << 30)
    monkeypatch.setattr("ticketkit.train.compute.cores", lambda: 6)
    monkeypatch.setattr("ticketkit.data.load_data", lambda _name, request: requests.append(request))
    sizes = {"data_dir": Path("pets"), "image_size": 8, "resize": None, "stream": True}
    recipe = load_recipe("quick")
    load_images(DataName(loader="folder"), **sizes, recipe=recipe, device=device, processes=processes)
    assert [request.workers for request in requests] == [workers]


def test_mirroring_digits_is_warned_of_once() -> None:
    line = "note: recipe quick mirrors half of the images, and those of digits mean something else then"
    assert _run("find", *SHORT, "--set", "flip=true", "-o", "a.st").stderr.count(line) == 1
    assert line not in _run("find", *SHORT, "-o", "b.st").stderr


def test_images_of_a_folder_are_cut_out_at_random_and_found_again() -> None:
    sizes = ["--image-size", 8, "--resize", 10]
    recipe = ["--set", "crop=0", "--set", "resized_crop=0.3", "--set", "batch=8"]
    where = ["--dataset", "folder", "--data-dir", "pets"]
    arch = ["--arch", "mlp-192-16-2", *SHORT[2:]]
    done = _run("find", *arch, *where, *sizes, "--recipe", "quick", *recipe, "-o", "boxes.st")
    assert "data     folder:pets@10-8px: 24 training" in done.stdout
    assert "verdict  identical" in _run("reproduce", "boxes.st", "--data-dir", "pets", "--threads", 1).stdout
    with pytest.raises(DataError, match=r"^images must be streamed .* recipe quick has \(folder is held in memory\)"):
        _run("find", *arch, *where, *sizes, "--recipe", "quick", *recipe, "--no-stream", "-o", "other.st")
    with pytest.raises(DataError, match=r"\(cifar10 is held in memory\)"):
        _run("find", *arch, "--dataset", "cifar10", "--recipe", "quick", *recipe, "-o", "other.st")
    assert not Path("data").exists()
