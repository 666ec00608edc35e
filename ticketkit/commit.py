"""Which commit of ticketkit is running, where that can be known.

A version says it of a release alone. What was installed from a repository, or runs in a checkout of one, is told apart
by its commit; ``+changes`` follows where the package's files are not those of the commit.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path

from ticketkit.errors import RunError

VARIABLE = "TICKETKIT_COMMIT"
"""In the environment it says the commit to a package that cannot know it, such as a container's; empty for none."""

CHANGED = "+changes"

PACKAGE = Path(__file__).resolve().parent

_SECONDS = 10.0
"""How long git may take: it reads a few hundred files, but may do so over a network."""

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def running_commit() -> str | None:
    """The commit that the running package is of; None where nothing says it.

    What :data:`VARIABLE` says comes first, then what the installer recorded (PEP 610), then git, which is asked once in
    a process. Importing ticketkit asks nobody.

    Returns:
        The commit in hexadecimal, with ``+changes`` behind it where files of the package have changed since.

    Raises:
        RunError: If the environment names no commit.
    """
    told = os.environ.get(VARIABLE)
    if told is None:
        return _found(PACKAGE)
    if told and not _COMMIT.fullmatch(told.removesuffix(CHANGED)):
        raise RunError(f"the environment's {VARIABLE} must be a commit in hexadecimal, or empty (got {told[:80]!r})")
    return told or None


@cache
def _found(package: Path) -> str | None:
    return installed_commit(package) or checked_out_commit(package)


def installed_commit(package: Path) -> str | None:
    """The commit that an installer recorded for a package, if it came from a repository.

    Args:
        package: The package's folder. Another installation of the same name, seen from this folder, is not it.
    """
    try:
        distribution = importlib.metadata.distribution(package.name)
        if Path(str(distribution.locate_file(package.name))).resolve() != package:
            return None
        recorded = json.loads(distribution.read_text("direct_url.json") or "{}")
        commit = recorded.get("vcs_info", {}).get("commit_id")
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError, AttributeError):
        return None
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None


def checked_out_commit(package: Path) -> str | None:
    """The commit of the git checkout that a package is a part of; None if it is a part of none.

    It must be tracked there: a virtual environment may lie inside a checkout of something else.

    Args:
        package: The package's folder.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = (_git(package, "rev-parse", "--verify", "HEAD") or "").strip()
    # A file that git does not know counts too: every module in a registry's folder is imported.
    changed = _git(package, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    if not _COMMIT.fullmatch(commit) or changed is None:
        return None
    return commit + CHANGED if changed.strip() else commit


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, asked in a folder; None if it fails, is not there or takes too long."""
    # Those of a hook that runs us would name another repository; and a question must not wait for, or take, a lock.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        # A checkout's own settings must not make git start a program of theirs.
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
