"""The notebook in examples/: its code runs with small settings, and what is stored in it is clean."""

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ticketkit.bundle import load_ticket

NOTEBOOK = Path(__file__).parents[2] / "examples" / "find_stretch_verify.ipynb"
SMALL = "WIDTH, LEVELS, RATE, EPOCHS, SEEDS = 4, 1, 0.5, 3, 2"

AS_SCRIPT = """
import json, sys
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), "cell", "exec"), globals())
"""
AS_NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, record_timing=False).execute()
nbformat.write(notebook, sys.argv[1])
"""
IS_NOTEBOOK = all(importlib.util.find_spec(package) for package in ("nbclient", "nbformat", "ipykernel"))
"""Whether a kernel is installed, as the extra ``notebook`` gives; elsewhere the code cells run as plain Python."""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def test_it_runs_with_small_settings(tmp_path: Path):
    notebook = read(NOTEBOOK)
    (settings,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    settings["source"] = SMALL
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({} if IS_NOTEBOOK else {"MPLBACKEND": "agg"})
    done = subprocess.run(
        [sys.executable, "-c", AS_NOTEBOOK if IS_NOTEBOOK else AS_SCRIPT, path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert load_ticket(tmp_path / "stretched.st").provenance.parent == load_ticket(tmp_path / "source.st").id
    if IS_NOTEBOOK:
        made = [len(cell.get("outputs", [])) for cell in read(path)["cells"]]
        assert made == [len(cell.get("outputs", [])) for cell in notebook["cells"]], "as many as are stored"
    else:
        assert "The ticket" in done.stdout


def test_the_stored_outputs_are_clean():
    notebook = read(NOTEBOOK)
    assert NOTEBOOK.stat().st_size < 600_000
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run once, from top to bottom"
    found = outputs(notebook)
    assert {output["output_type"] for output in found} <= {"stream", "display_data", "execute_result"}, "no error"
    assert all(output["name"] == "stdout" for output in found if output["output_type"] == "stream")
    pictures = [output["data"]["image/png"] for output in found if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    assert all(len(base64.b64decode(picture)) < 150_000 for picture in pictures)
    for output in found:
        text = "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
        assert not re.search(r"(?:^|[\s'\"(=])(?:/|~/|[A-Z]:\\)\w", text, flags=re.MULTILINE), "no absolute path"
        assert "\r" not in text, "no progress bar"
    assert not any("execution" in cell["metadata"] for cell in notebook["cells"]), "no times"


def test_the_stored_verdict_is_of_the_stored_accuracies():
    """Outputs that were edited by hand, or of cells run out of order, would part here."""
    printed = "".join("".join(output.get("text", "")) for output in outputs(read(NOTEBOOK)))
    arms = {
        name: float(mean)
        for name, mean in re.findall(r"^(\w+) +[\d,]+ weights +([\d.]+)%", printed, flags=re.MULTILINE)
    }
    assert list(arms) == ["ticket", "dense", "random", "reinit"]
    beaten = re.search(r"^The ticket beats (.+?)(?: and is | \(95 %)", printed, flags=re.MULTILINE)
    assert beaten is not None
    assert all(arms["ticket"] > arms[name] for name in re.split(r", | and ", beaten[1]))
