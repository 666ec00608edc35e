"""The main job through the real command: find, inspect, stretch, verify, squeeze; small, but nothing is stubbed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ticketkit.bundle import load_ticket

STOPPED = "ticketkit: stopped; nothing half-written is left behind; go on with --resume"

SMALL = [
    "--set",
    "epochs=3",
    "--set",
    "warmup=1",
    "--rewind",
    "2it",
    "--limit",
    "256",
    "--rate",
    "0.4",
    "--levels",
    "2",
]


def ticketkit(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ticketkit", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "the run ended before it was to be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("job")
    done = ticketkit("find", "--arch", "resnet14-w4", "--keep-levels", *SMALL, cwd=folder)
    return folder, done


def test_find_says_what_it_does_and_writes_the_ticket(found: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, done = found
    assert "embedded" in done.stdout
    assert "--dataset cifar10 --recipe paper-cifar" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    ticket = load_ticket(folder / "resnet14-w4.st")
    assert ticket.kept == round(0.6 * round(0.6 * ticket.total))
    assert ticket.id in done.stdout
    assert len(done.stderr.splitlines()) == 3, "off a terminal: one line a level, no bar"


def test_levels_are_kept(found: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, _ = found
    assert sorted(path.name for path in folder.glob("*-L*.st")) == ["resnet14-w4-L01.st", "resnet14-w4-L02.st"]
    assert load_ticket(folder / "resnet14-w4-L02.st") == load_ticket(folder / "resnet14-w4.st")


def test_find_does_not_overwrite(found: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, _ = found
    before = (folder / "resnet14-w4.st").read_bytes()
    done = ticketkit("find", "--arch", "resnet14-w4", *SMALL, cwd=folder, code=1)
    assert done.stderr.count("\n") == 1
    assert "--force" in done.stderr
    assert (folder / "resnet14-w4.st").read_bytes() == before


def test_the_same_command_gives_the_same_bytes(found: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path):
    folder, _ = found
    done = ticketkit("find", "--arch", "resnet14", "--width", "4", *SMALL, "-o", "again.st", "--json", cwd=tmp_path)
    assert (tmp_path / "again.st").read_bytes() == (folder / "resnet14-w4.st").read_bytes()
    document = json.loads(done.stdout)
    assert document["id"] == load_ticket(tmp_path / "again.st").id
    assert [level["level"] for level in document["levels"]] == [0, 1, 2]


def test_stretch_verify_and_squeeze(found: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, _ = found
    ticketkit("stretch", "resnet14-w4.st", "--to", "resnet20", cwd=folder)
    stretched = folder / "resnet14-w4-to-resnet20-w4.st"
    assert load_ticket(stretched).provenance.parent == load_ticket(folder / "resnet14-w4.st").id
    inspected = json.loads(ticketkit("inspect", stretched, "--json", cwd=folder).stdout)
    assert inspected["id"] == load_ticket(stretched).id
    done = ticketkit("verify", stretched, "--limit", "256", "--seeds", "2", "-o", "report.json", cwd=folder)
    assert max(map(len, done.stdout.splitlines())) <= 80
    report = json.loads((folder / "report.json").read_text())
    assert [arm["name"] for arm in report["arms"]] == ["ticket", "dense", "random", "reinit"]
    assert report["recipe"]["epochs"] == 3, "the recipe is the one the ticket was found with"
    assert report["verdict"] in done.stdout
    ticketkit("squeeze", stretched, "--to", "14", "-o", "back.st", cwd=folder)
    assert load_ticket(folder / "back.st").mask == load_ticket(folder / "resnet14-w4.st").mask


def test_an_expectation_that_does_not_hold_exits_with_3(found: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, _ = found
    # A ticket cannot beat itself: every paired difference is exactly zero.
    (folder / "twin.st").write_bytes((folder / "resnet14-w4.st").read_bytes())
    arguments = ["verify", "resnet14-w4.st", "--against", "twin.st", "--seeds", "2", "--limit", "256"]
    done = ticketkit(*arguments, "--expect", "better-than=twin", cwd=folder, code=3)
    assert "Not held: better-than=twin" in done.stderr


def test_a_killed_run_goes_on_to_the_same_bytes(found: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path):
    folder, _ = found
    command = [sys.executable, "-m", "ticketkit", "find", "--arch", "resnet14-w4", *SMALL, "--run-dir", "run"]
    command += ["--keep-levels"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "run" / "level-01.st", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "resnet14-w4.st").exists()
    done = ticketkit(*command[3:], "--resume", cwd=tmp_path)
    assert "from the run folder" in done.stderr
    assert (tmp_path / "resnet14-w4-L01.st").read_bytes() == (folder / "resnet14-w4-L01.st").read_bytes()
    assert (tmp_path / "resnet14-w4.st").read_bytes() == (folder / "resnet14-w4.st").read_bytes()


def test_a_terminated_run_says_so_in_one_line(tmp_path: Path):
    command = [sys.executable, "-m", "ticketkit", "find", "--arch", "resnet14-w4", *SMALL, "--run-dir", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "run.json", process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == STOPPED
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_run_that_collapses_keeps_its_last_finished_level(tmp_path: Path):
    arguments = ["find", "--arch", "resnet8-w2", *SMALL, "--levels", "12", "--rate", "0.6"]
    done = ticketkit(*arguments, cwd=tmp_path, code=1)
    *_, kept, reason = done.stderr.splitlines()
    path = kept.removeprefix("the ticket of the last finished level is kept: ")
    level = load_ticket(tmp_path / path).provenance.level
    assert path == f"resnet8-w2-L{level:02d}.st"
    assert f"(level {level + 1} prunes all" in reason
    assert not (tmp_path / "resnet8-w2.st").exists()
    again = ticketkit(*arguments, cwd=tmp_path, code=1)
    assert kept in again.stderr, "the same ticket is no obstacle"
    (tmp_path / path).write_bytes(b"another")
    again = ticketkit(*arguments, cwd=tmp_path, code=1)
    assert "could not be kept: a ticket must not be overwritten unasked" in again.stderr
    ticketkit(*arguments, "--allow-collapse", cwd=tmp_path)
    assert load_ticket(tmp_path / "resnet8-w2.st").provenance.level == 12


def test_find_runs_on_a_folder_of_images(tmp_path: Path):
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 8)):
        for name, stripe in (("down", np.s_[:, ::2]), ("across", np.s_[::2, :])):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 60, (8, 8, 3), dtype=np.uint8)
                pixels[stripe] += 150
                Image.fromarray(pixels).save(folder / f"{number}.png")
    options = ["--dataset", "folder", "--data-dir", "images", "--recipe", "small.toml"]
    (tmp_path / "small.toml").write_text('base = "quick"\nbatch = 16\nepochs = 4\nrewind = "2it"\n')
    done = ticketkit("find", "--arch", "resnet8-w4", *options, "--levels", "1", "-o", "t.st", cwd=tmp_path)
    assert "48 training and 16 test images, 8×8" in done.stdout
    ticket = load_ticket(tmp_path / "t.st")
    assert (ticket.arch.num_classes, ticket.arch.in_channels) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["find", "--arch", "resnet21"], 1, "nearest: resnet20"),
        (["find", "--arch", "resnet8", "--recipe", "slow"], 1, "a recipe must be one of"),
        (["find", "--arch", "resnet8", "--dataset", "mnst"], 1, "data set must be one of"),
        (["find", "--arch", "resnet8", "--levels", "1", "--sparsity", "0.5"], 2, "exclude each other"),
        (["find", "--arch", "resnet8", "--resume"], 2, "--resume needs --run-dir"),
        (["find", "--arch", "resnet8-w4", "--width", "8"], 2, "must agree"),
        (["find", "--arch", "resnet8", "-o", "none/t.st"], 1, "folder that exists"),
        (["find", "--arch", "resnet8", "--device", "tpu"], 1, "a device must be"),
        (["find"], 2, "--arch"),
        (["verify", "none.st"], 1, "No such file"),
        (["verify", "none.st", "--seeds", "0"], 2, "--seeds"),
    ],
)
def test_a_wrong_command_is_told_in_a_line(tmp_path: Path, arguments: list[str], code: int, message: str):
    done = ticketkit(*arguments, cwd=tmp_path, code=code)
    assert message in done.stderr
    assert not list(tmp_path.iterdir()), "nothing is left behind"
