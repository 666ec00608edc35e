"""The benchmarks of training run, each in its quick form, and their documents hold what is read from them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FLOOR = {"flops", "bytes", "flop_seconds", "byte_seconds"}


def results_of(tmp_path: Path, script: str, *options: str) -> dict[str, Any]:
    out = tmp_path / "out.json"
    command = [sys.executable, BENCHMARKS / script, "--device", "cpu", *options, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    tables = [line for line in done.stderr.splitlines() if not line.startswith("USDT")]  # torch's own profiler
    assert all(len(line) <= 80 for line in tables), done.stderr
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document.keys() >= {"command", "commit", "versions", "machine", "results"}
    return document["results"]


def test_ours_and_the_plain_loop_have_the_same_losses(tmp_path: Path):
    same = results_of(tmp_path, "train.py", "--quick", "--sections", "same")["same"]
    assert same["within_tolerance"]
    assert same["furthest_apart"].keys() == {"plain", "ours", "stacked"}
    assert len(set(same["losses"]["ours"])) == same["steps"]


def test_training_is_timed_beside_the_plain_loop_and_the_floors(tmp_path: Path):
    results = results_of(tmp_path, "train.py", "--quick", "--sections", "deeper", "parallel")
    ways = {way["way"]: way for way in results["deeper"]["ways"]}
    assert ways.keys() == {"plain fp32", "plain bf16", "ours fp32, eager", "ours bf16, eager"}
    assert ways["plain fp32"]["ratio"] == 1
    for way in ways.values():
        speed = way["images_per_second"]["best"]
        assert way["ratio"] == pytest.approx(speed / ways["plain fp32"]["images_per_second"]["best"])
        assert way["step_ms"] == pytest.approx(1e3 * results["deeper"]["batch"] / speed)
        assert way["floor"].keys() == FLOOR
        assert way["fraction_of_byte_floor"] == pytest.approx(1e3 * way["floor"]["byte_seconds"] / way["step_ms"])
    several = [(way["how"], way["at_once"]) for way in results["parallel"]["ways"]]
    assert several == [("threads", 1), ("one after the other", 1), ("threads", 2), ("stacked", 2)]


def test_a_profile_is_of_the_whole_step(tmp_path: Path):
    profile = results_of(tmp_path, "train.py", "--quick", "--profile")["profile"]
    assert sum(profile["shares"].values()) == pytest.approx(1)
    assert "aten::convolution_backward" in profile["shares"]
    assert profile["floor"].keys() == FLOOR


def test_both_runs_of_find_keep_the_same_number_of_weights(tmp_path: Path):
    results = results_of(tmp_path, "find.py", "--quick")
    assert [level["ours"]["kept"] for level in results["levels"]] == [4964, 3971]
    assert [level["plain"]["kept"] for level in results["levels"]] == [4964, 3971]
    assert results["ratio"] == pytest.approx(results["seconds"]["plain"] / results["seconds"]["ours"])


def test_verifying_several_at_once_moves_no_accuracy_on_the_cpu(tmp_path: Path):
    alone, together = results_of(tmp_path, "verify.py", "--quick", "--parallel", "1", "2")["ways"]
    assert (alone["at_once"], together["at_once"]) == (1, 2)
    assert together["accuracy_moved"] == 0
    assert together["in_trainings"] == pytest.approx(together["seconds"] / alone["one_training"])


def test_scale_draws_each_series(tmp_path: Path):
    series = results_of(tmp_path, "scale.py", "--quick", "--plots", str(tmp_path))["series"]
    assert {name: [point[name] for point in points] for name, points in series.items()} == {
        "depth": [8, 14],
        "width": [2, 4],
        "trainings at once": [1, 2],
        "images": [32, 64],
    }
    assert series["depth"][0].keys() == {"depth", "find", "verify", "stretch"}
    drawn = {path.stem for path in tmp_path.glob("*.svg")}
    assert drawn == {"scale-depth", "scale-width", "scale-trainings-at-once", "scale-images"}


def test_gpu_keeps_each_sections_results_and_what_streaming_waits(tmp_path: Path):
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 2)):
        for index in range(count):
            folder = tmp_path / "images" / part / f"class-{index % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    options = ["--quick", "--sections", "find", "waits", "--image-folder", str(tmp_path / "images")]
    results = results_of(tmp_path, "gpu.py", *options)
    assert results.keys() == {"find", "waits"}
    assert 0 <= results["waits"]["results"]["waited_share"] < 1
    find = results["find"]["results"]
    first, second = find["levels"]
    assert second["plain"] is None  # a level that the plain loop leaves out counts as its last one
    assert find["seconds"]["plain"] == pytest.approx(2 * first["plain"]["seconds"])
    assert str(tmp_path) not in json.dumps(results)


def test_gpu_tells_what_it_had_no_time_for(tmp_path: Path):
    out = tmp_path / "out.json"
    command = [sys.executable, BENCHMARKS / "gpu.py", "--device", "cpu", "--quick", "--seconds", "0", "--out", out]
    done = subprocess.run([*command, "--sections", "train", "scale"], capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    ended = {"ended": "no time was left"}
    assert json.loads(out.read_text(encoding="utf-8"))["results"] == {"train": ended, "scale": ended}
