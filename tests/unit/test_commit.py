"""The commit is told where it is known, and only of the package that runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ticketkit import commit
from ticketkit.commit import checked_out_commit, installed_commit, running_commit
from ticketkit.errors import RunError

SHA = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a checkout, with one commit."""
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "other.py").write_text("")
    (folder.parent / ".gitignore").write_text("*.pyc\n")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    return folder


def test_a_checkout_has_its_commit(package: Path) -> None:
    assert checked_out_commit(package) == git(package, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("file", "changed"),
    [("package/other.py", True), ("package/new.py", True), ("package/old.pyc", False), ("beside.py", False)],
)
def test_changes_of_the_package_alone_are_told(package: Path, file: str, changed: bool) -> None:
    (package.parent / file).write_text("1\n")
    assert str(checked_out_commit(package)).endswith("+changes") is changed


def test_a_package_that_lies_in_a_checkout_of_something_else_has_no_commit(package: Path) -> None:
    inside = package.parent / "venv" / "package"
    inside.mkdir(parents=True)
    (inside / "__init__.py").write_text("")
    assert checked_out_commit(inside) is None


def test_without_a_checkout_a_commit_or_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("")
    assert checked_out_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    assert checked_out_commit(tmp_path) is None, "nothing has been committed"
    monkeypatch.setenv("PATH", "")
    assert checked_out_commit(tmp_path) is None


def test_what_a_hook_sets_for_git_names_no_other_repository(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = checked_out_commit(package)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert checked_out_commit(package) == expected


def test_a_git_that_does_not_answer_is_not_waited_for(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = package.parent.parent / "bin"
    bin_folder.mkdir()
    (bin_folder / "git").write_text("#!/bin/sh\nexec sleep 30\n")
    (bin_folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setattr(commit, "_SECONDS", 0.05)
    assert checked_out_commit(package) is None


def install(folder: Path, direct_url: object) -> Path:
    """An installed distribution as an installer leaves it."""
    information = folder / "package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: package\nVersion: 1.0\n")
    (information / "direct_url.json").write_text(json.dumps(direct_url))
    (folder / "package").mkdir()
    return folder / "package"


@pytest.mark.parametrize(
    ("direct_url", "found"),
    [
        ({"url": "https://x/y.git", "vcs_info": {"vcs": "git", "commit_id": SHA}}, SHA),
        ({"url": "https://x/y", "vcs_info": {"vcs": "svn", "commit_id": "17"}}, None),
        ({"url": "file:///x", "dir_info": {"editable": True}}, None),
        ({"vcs_info": "git"}, None),
        ({"vcs_info": {"commit_id": 17}}, None),
        ([], None),
    ],
)
def test_an_installer_may_have_recorded_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct_url: object, found: str | None
) -> None:
    package = install(tmp_path, direct_url)
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_commit(package.resolve()) == found


def test_what_was_recorded_for_another_installation_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, {"vcs_info": {"commit_id": SHA}})
    monkeypatch.syspath_prepend(tmp_path)
    other = tmp_path / "elsewhere" / "package"
    other.mkdir(parents=True)
    assert installed_commit(other.resolve()) is None
    assert installed_commit(tmp_path / "elsewhere" / "unknown") is None


def test_the_environment_has_the_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_found", lambda _: "f" * 40)
    for told, expected in ((SHA, SHA), (f"{SHA}+changes", f"{SHA}+changes"), ("", None)):
        monkeypatch.setenv(commit.VARIABLE, told)
        assert running_commit() == expected
    monkeypatch.delenv(commit.VARIABLE)
    assert running_commit() == "f" * 40
    monkeypatch.setenv(commit.VARIABLE, "main")
    with pytest.raises(RunError, match=r"TICKETKIT_COMMIT must be a commit in hexadecimal, or empty \(got 'main'\)"):
        running_commit()


def test_git_is_asked_once_in_a_process(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(commit, "checked_out_commit", lambda folder: asked.append(folder) or SHA)
    monkeypatch.setattr(commit, "PACKAGE", package)
    monkeypatch.delenv(commit.VARIABLE)
    assert running_commit() == running_commit() == SHA
    assert asked == [package]
