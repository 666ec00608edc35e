"""Every example runs as it stands."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ticketkit.bundle import load_ticket
from ticketkit.errors import BundleError
from ticketkit.recipe import load_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"

LOOPS = ["your_own_loop"] + [
    f"with_{package}" for package in ("accelerate", "lightning") if importlib.util.find_spec(package)
]
"""Loops of one's own; those of other frameworks where these are installed, as the extra ``frameworks`` does."""

# Lightning imports torchvision, which beside a torch for the CPU may need what ticketkit declares for it.
RUN = (
    "import runpy, sys; from ticketkit.torchvision_compat import import_torchvision; import_torchvision(); "
    "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_find_stretch_verify(tmp_path: Path):
    script = EXAMPLES / "find_stretch_verify.py"
    options = ["--width", "4", "--levels", "1", "--epochs", "2", "--seeds", "2"]
    # The warm-up of the recipe is longer than two epochs: the example is told in one line and nothing is written.
    done = subprocess.run([sys.executable, script, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "warmup of recipe 'quick' must be from 0 to the 2 epochs" in done.stderr
    assert not list(tmp_path.iterdir())
    options[options.index("--epochs") + 1] = "4"
    done = subprocess.run([sys.executable, script, *options], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert load_ticket(tmp_path / "stretched.st").provenance.parent == load_ticket(tmp_path / "source.st").id
    assert "The ticket" in done.stdout


def test_the_recipe_loads():
    recipe = load_recipe(EXAMPLES / "short-cifar.toml")
    assert (recipe.name, recipe.epochs, recipe.flip) == ("short-cifar", 15, True)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_of_ones_own_keeps_a_model_masked(name: str, tmp_path: Path):
    command = [sys.executable, "-c", RUN, EXAMPLES / f"{name}.py", "--epochs", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "masked throughout: True" in done.stdout
    trained = load_ticket(tmp_path / "trained.st")
    assert trained.weights.role == "final"
    assert trained.sparsity == pytest.approx(0.75)


def test_an_architecture_of_ones_own(tmp_path: Path):
    script = EXAMPLES / "your_own_architecture.py"
    options = ["--levels", "1", "--epochs", "4", "--seeds", "2"]
    done = subprocess.run([sys.executable, script, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The ticket" in done.stdout
    assert "stages.2.1.norm          batch_norm unit  stage 2, unit 1" in done.stdout
    for file in ("tower.st", "deeper-tower.st"):  # this process knows no such network
        with pytest.raises(BundleError, match=r"\(got 'example-tower'\); a network of your own must be made known"):
            load_ticket(tmp_path / file)


def test_five_depths(tmp_path: Path):
    script = EXAMPLES / "five_depths.py"
    ticket = EXAMPLES / "zoo" / "mlp-digits.st"
    options = ["--to", "4", "5", "--seeds", "2", "--set", "epochs=2", "--set", "warmup=0"]
    done = subprocess.run(
        [sys.executable, script, ticket, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == [4, 5]
    assert all(0.05 < float(cell.rstrip("%")) / 100 <= 1 for row in rows for cell in row[3:])
    with Image.open(tmp_path / "five-depths.png") as picture:
        assert min(picture.size) > 1000


def test_import_from_open_lth(tmp_path: Path):
    script = EXAMPLES / "import_from_open_lth.py"
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported, stretched = (load_ticket(tmp_path / name) for name in ("imported.st", "stretched.st"))
    assert (imported.arch.name, stretched.arch.name) == ("cifar-resnet14-w4", "cifar-resnet20-w4")
    assert imported.kept == pytest.approx(0.6**3 * imported.total, abs=3)
    assert (imported.provenance.method, imported.provenance.level, imported.provenance.rate) == ("imp", 3, 0.4)
    assert (imported.weights.role, imported.weights.step) == ("rewind", 10)
    assert [level.level for level in imported.results.levels] == [0, 1, 2, 3]
    assert stretched.provenance.parent == imported.id


def test_every_example_is_in_the_table():
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = {target.split("/")[0] for target in re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", table, flags=re.MULTILINE)}
    assert listed == {path.name for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__")}
