"""Registries find their values by looking into a package, refuse duplicates and say what they know."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ticketkit.errors import StretchError
from ticketkit.registry import Registry

PACKAGE = "ticketkit_test_things"


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[int]:
    """A registry over a package of two modules that is not imported yet."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from ticketkit.errors import StretchError\nfrom ticketkit.registry import Registry\n"
        f"THINGS = Registry('thing', {PACKAGE!r}, StretchError)\n"
    )
    for name, value in (("beta", 2), ("alpha", 1)):
        (folder / f"{name}.py").write_text(f"from {PACKAGE} import THINGS\nTHINGS.register({name!r}, {value})\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (PACKAGE, f"{PACKAGE}.alpha", f"{PACKAGE}.beta"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return __import__(PACKAGE).THINGS


def test_modules_are_imported_at_the_first_look_up_only(things: Registry[int]) -> None:
    assert f"{PACKAGE}.alpha" not in sys.modules
    assert things["alpha"] == 1
    assert f"{PACKAGE}.beta" in sys.modules


def test_threads_that_look_up_while_modules_are_imported_see_all_of_them(things: Registry[int], tmp_path: Path) -> None:
    slow = tmp_path / PACKAGE / "alpha.py"
    slow.write_text("import time\ntime.sleep(0.2)\n" + slow.read_text())
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(lambda: (things["alpha"], things["beta"], len(things))) for _ in range(4)]
        assert [future.result() for future in found] == [(1, 2, 2)] * 4


def test_names_are_sorted_whatever_the_order_of_registration(things: Registry[int]) -> None:
    things.register("aa", 0)
    assert list(things) == ["aa", "alpha", "beta"]
    assert len(things) == 3
    assert "beta" in things
    assert "gamma" not in things
    assert dict(things) == {"aa": 0, "alpha": 1, "beta": 2}


def test_a_name_is_registered_once() -> None:
    registry: Registry[int] = Registry("thing", PACKAGE, StretchError)
    assert registry.register("one", 1) == 1
    with pytest.raises(StretchError, match=r"^thing 'one' must be registered once \(it is already\)$"):
        registry.register("one", 1)


def test_an_unknown_name_lists_what_is_known_and_the_nearest(things: Registry[int]) -> None:
    with pytest.raises(
        StretchError, match=r"^thing must be one of alpha, beta \(got 'alpa'\); did you mean 'alpha'\?$"
    ):
        things["alpa"]


def test_nothing_near_means_no_hint(things: Registry[int]) -> None:
    with pytest.raises(StretchError, match=r"^thing must be one of alpha, beta \(got 'zzz'\)$"):
        things["zzz"]
    assert things.get("alpha") == 1


def test_a_module_that_fails_to_import_is_not_hidden_by_the_next_look_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "broken_registry"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "entry.py").write_text("raise RuntimeError('broken entry')")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[int] = Registry("thing", "broken_registry", StretchError)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken entry"):
            registry["a"]
