"""What is in the wheel and in the source distribution, built offline by setuptools alone; .ci/package installs them."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from ticketkit._version import __version__

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "benchmarks", "docs", "examples", "formats", "tests", "ticketkit")
BUILD = "import sys, setuptools.build_meta as backend; getattr(backend, f'build_{sys.argv[1]}')(sys.argv[2])"
RUBBISH = shutil.ignore_patterns("__pycache__", "_build", "runs", "*.pyc")


def build(what: str, source: Path, out: Path) -> Path:
    out.mkdir()
    command = [sys.executable, "-c", BUILD, what, out]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str], Path, Path]:
    """A copy of the repository, its files, and the wheel and the sdist that were built from it."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=RUBBISH)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix not in (".st", ".png", ".html"):
            shutil.copy(path, source)
    known = files(source)
    sdist = build("sdist", source, folder / "sdist")
    shutil.rmtree(source / "ticketkit.egg-info")
    return source, known, build("wheel", source, folder / "wheel"), sdist


def test_the_wheel_holds_the_package_alone(built: tuple[Path, set[str], Path, Path]):
    source, _, wheel, _ = built
    info = f"ticketkit-{__version__}.dist-info/"
    held = contents(wheel)
    package = {name for name in held if not name.startswith(info)}
    assert package == {f"ticketkit/{name}" for name in files(source / "ticketkit")}
    assert {"ticketkit/py.typed", "ticketkit/data/digits.npz", "ticketkit/recipes/quick.toml"} <= package
    licences = {name.removeprefix(f"{info}licenses/") for name in held if name.startswith(f"{info}licenses/")}
    assert licences == {"LICENSE", "ticketkit/data/digits.LICENSE.md"}
    assert held[f"{info}entry_points.txt"].decode().split() == [
        "[console_scripts]",
        "ticketkit",
        "=",
        "ticketkit.cli:main",
    ]


def test_the_metadata_names_version_licence_and_readme(built: tuple[Path, set[str], Path, Path]):
    source, _, wheel, _ = built
    metadata = message_from_bytes(contents(wheel)[f"ticketkit-{__version__}.dist-info/METADATA"])
    licence = metadata["License-Expression"] or metadata["License"]  # the latter of setuptools that know no other
    assert (metadata["Name"], metadata["Version"], licence) == ("ticketkit", __version__, "MIT")
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = (source / "README.md").read_text(encoding="utf-8")
    assert metadata.get_payload(decode=True).decode("utf-8").strip() == readme.strip()


def test_the_sdist_is_the_whole_repository(built: tuple[Path, set[str], Path, Path]):
    _, known, _, sdist = built
    with tarfile.open(sdist) as archive:
        held = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    added = {name for name in held - known if name != "PKG-INFO" and not name.startswith("ticketkit.egg-info/")}
    assert (known - held, added) == (set(), set())


def test_a_wheel_of_the_sdist_is_the_same_wheel(built: tuple[Path, set[str], Path, Path], tmp_path: Path):
    _, _, wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert contents(build("wheel", source, tmp_path / "wheel")) == contents(wheel)
