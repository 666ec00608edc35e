"""Every example runs as it stands."""

import subprocess
import sys
from pathlib import Path

from ticketkit.bundle import load_ticket
from ticketkit.recipe import load_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"


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
