"""Hostile files of other tools are refused in the one line that ``foreign.json`` has for each; nothing in them is run.

A line there that ends with ``…`` goes on in the words of torch or of safetensors, which differ by version.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import foreign
import pytest
import torch
from refusal import MEBIBYTE, line_of, refused

import ticketkit
from ticketkit.errors import BundleError
from ticketkit.interop import import_ticket

LINES: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("foreign.json").read_text("utf-8"))
PACKAGE = Path(ticketkit.__file__).parent


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pickle would touch lies in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def check(line: str, kind: str, name: str, path: Path) -> None:
    expected = LINES[kind][name]
    assert str(path) in line
    line = line.replace(str(path), "FILE")
    if expected.endswith("…"):
        assert line.startswith(expected.removesuffix("…"))
    else:
        assert line == expected
    assert not Path(foreign.TOUCHED).exists()


def test_every_file_has_a_line_and_every_line_a_file() -> None:
    tables = {
        "pth": foreign.PTH,
        "masks": foreign.MASKS,
        "safetensors": foreign.SAFETENSORS,
        "bitmasks": foreign.BITMASKS,
        "folders": foreign.FOLDERS,
    }
    assert {kind: [*lines] for kind, lines in LINES.items()} == {kind: [*table] for kind, table in tables.items()}


@pytest.mark.parametrize("name", foreign.PTH)
@pytest.mark.filterwarnings("ignore")  # torch's, of making such files
def test_pth_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(foreign.PTH[name]())
    check(refused(lambda: import_ticket("state-dict", path, arch=foreign.ARCH), BundleError), "pth", name, path)


@pytest.mark.parametrize("name", foreign.MASKS)
def test_masks(name: str, tmp_path: Path) -> None:
    path, mask = tmp_path / "w.pth", tmp_path / "m.pth"
    torch.save(foreign.state(), path)
    torch.save({"fc.weight": foreign.MASKS[name]()}, mask)
    read = lambda: import_ticket("state-dict", path, arch=foreign.ARCH, mask=mask)  # noqa: E731
    check(refused(read, BundleError), "masks", name, mask if name == "a text" else path)


@pytest.mark.parametrize("name", foreign.SAFETENSORS)
def test_safetensors_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(foreign.SAFETENSORS[name])
    arch = None if name.startswith(("network", "40,000")) else foreign.ARCH
    line = refused(lambda: import_ticket("state-dict", path, arch=arch), BundleError, memory=32 * MEBIBYTE)
    check(line, "safetensors", name, path)


@pytest.mark.parametrize("name", foreign.BITMASKS)
def test_bitmask_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(foreign.BITMASKS[name]())
    check(
        refused(lambda: import_ticket("sparse-bitmask", path, arch=foreign.ARCH), BundleError), "bitmasks", name, path
    )


@pytest.mark.parametrize("name", foreign.FOLDERS)
def test_folders_of_open_lth(name: str, tmp_path: Path) -> None:
    folder = foreign.level_folder(tmp_path / "level_1" / "main")
    foreign.FOLDERS[name](folder)
    check(refused(lambda: import_ticket("open-lth", folder), BundleError), "folders", name, folder)


@pytest.mark.parametrize("name", foreign.HARMLESS_FOLDERS)
def test_what_lies_around_a_folder_of_open_lth_cannot_harm(name: str, tmp_path: Path) -> None:
    folder = foreign.level_folder(tmp_path / "level_1" / "main")
    foreign.HARMLESS_FOLDERS[name](folder)
    ticket = import_ticket("open-lth", folder).ticket
    assert (ticket.arch.name, ticket.results) == (f"cifar-{foreign.ARCH}", None)


@pytest.mark.parametrize("kind", ["state-dict", "torch-prune"])
@pytest.mark.parametrize("end", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkfifo, "it must be a file and is a pipe"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to(path.name), os.strerror(40)),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.symlink_to("/dev/zero"), "it must be a file and is a device"),
    ],
    ids=["pipe", "folder", "link to itself", "link to nowhere", "device"],
)
def test_what_is_no_file(kind: str, end: str, make: Callable[[Path], object], found: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{end}"
    make(path)
    line = refused(lambda: import_ticket(kind, path, arch=foreign.ARCH), BundleError)
    assert line == f"a file to import must be readable ({found}): {path}"


def test_a_sparse_file_of_a_terabyte(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.touch()
    os.truncate(path, 10**12)
    line = refused(lambda: import_ticket("state-dict", path, arch=foreign.ARCH), BundleError)
    assert line == f"a file to import must have at most 68,719,476,736 bytes (got 1,000,000,000,000): {path}"


def test_a_name_that_could_steer_a_terminal_is_made_harmless() -> None:
    line = line_of(lambda: import_ticket("state-dict", "a\x1b[31m\n.pth", arch=foreign.ARCH), BundleError)
    assert line.endswith("(No such file or directory): a\N{REPLACEMENT CHARACTER}[31m .pth")


def test_files_that_claim_too_much_get_no_memory_of_the_system(tmp_path: Path) -> None:
    """What torch takes tracemalloc does not see, so these are read by a process that can have no more."""
    names = [name for name in foreign.PTH if any(word in name for word in ("claims", "asks", "bomb", "10^", "times"))]
    for number, name in enumerate(names):
        (tmp_path / f"{number}.pth").write_bytes(foreign.PTH[name]())
    script = f"""
        import resource, sys
        import torch
        from ticketkit.errors import BundleError
        from ticketkit.interop import import_ticket
        import ticketkit.interop.pth
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + 64 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for path in sys.argv[1:]:
            try:
                import_ticket("state-dict", path, arch={foreign.ARCH!r})
            except BundleError as error:
                print(error)
    """
    if not Path("/proc/self/statm").exists():  # only Linux counts it there
        return
    command = [sys.executable, "-c", textwrap.dedent(script), *(f"{number}.pth" for number in range(len(names)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    assert len(names) >= 8
    assert len(done.stdout.splitlines()) == len(names)


FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml", "cloudpickle"}
ALLOWED = {("ticketkit/interop/pth.py", "pickle"), ("ticketkit/data/mnist.py", "pickle")}
"""Modules that need a pickle's exceptions, and nothing else of it."""


def test_nothing_in_the_package_runs_what_a_file_says() -> None:
    loads, problems = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            problems += [
                f"{where} imports {module}"
                for module in modules
                if module.partition(".")[0] in FORBIDDEN and (where, module) not in ALLOWED
            ]
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle" and "Error" not in node.attr:
                problems.append(f"{where} uses {ast.unparse(node)}")
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called == "torch.load":
                loads += 1
                if options.get("weights_only") != "True" or None in options:
                    problems.append(f"{where} loads without weights_only=True")
            if options.get("allow_pickle", "False") != "False" or (
                called in {"np.load", "numpy.load"} and options.get("allow_pickle") != "False"
            ):
                problems.append(f"{where} lets numpy unpickle")
            if called in {"eval", "exec", "compile", "__import__", "os.system", "os.popen"} or "shell" in options:
                problems.append(f"{where} calls {called}")
            if called.rpartition(".")[2] in {"add_safe_globals", "safe_globals"}:
                problems.append(f"{where} lets torch unpickle more")
    assert not problems
    assert loads == 1
