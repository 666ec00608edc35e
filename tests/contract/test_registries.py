"""Every registered policy, whatever it is, passes what the engine relies on."""

from __future__ import annotations

import pytest

from ticketkit.stretch import POLICIES
from ticketkit.stretch.policy import DEFAULT_SQUEEZE, DEFAULT_STRETCH

STRETCHING = [name for name, policy in POLICIES.items() if policy.direction == "stretch"]
SQUEEZING = [name for name, policy in POLICIES.items() if policy.direction == "squeeze"]


def test_the_registry_has_both_directions_and_the_defaults() -> None:
    assert sorted([*STRETCHING, *SQUEEZING]) == list(POLICIES)
    assert DEFAULT_STRETCH in STRETCHING
    assert DEFAULT_SQUEEZE in SQUEEZING


@pytest.mark.parametrize("name", list(POLICIES))
def test_the_summary_is_one_line(name: str) -> None:
    assert POLICIES[name].summary
    assert "\n" not in POLICIES[name].summary
    assert len(POLICIES[name].summary) <= 55


@pytest.mark.parametrize("name", STRETCHING)
@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("more", range(14))
def test_stretching_keeps_every_unit_and_prefers_earlier_ones(name: str, count: int, more: int) -> None:
    elastic = tuple(range(1, count + 1))
    arranged = POLICIES[name].arrange(elastic, elastic, count + more)
    assert len(arranged) == count + more
    uses = [arranged.count(unit) for unit in elastic]
    assert sum(uses) == count + more
    assert min(uses) >= 1
    assert uses == sorted(uses, reverse=True), "extra copies go to earlier units"
    replicated = min(int(name.removeprefix("first-")), count) if name.startswith("first-") else count
    assert uses[replicated:] == [1] * (count - replicated), "first-k replicates the first k alone"
    assert uses[0] - uses[replicated - 1] <= 1, "among those replicated, none has two more than another"


@pytest.mark.parametrize("name", STRETCHING)
@pytest.mark.parametrize("replicated", [(2,), (1, 4), (2, 3)])
@pytest.mark.parametrize("more", range(1, 6))
def test_stretching_replicates_only_the_units_it_may(name: str, replicated: tuple[int, ...], more: int) -> None:
    elastic = (1, 2, 3, 4)
    arranged = POLICIES[name].arrange(elastic, replicated, 4 + more)
    uses = {unit: arranged.count(unit) for unit in elastic}
    assert sum(uses.values()) == len(arranged) == 4 + more
    assert all(uses[unit] == 1 for unit in elastic if unit not in replicated)
    used = replicated[: int(name.removeprefix("first-"))] if name.startswith("first-") else replicated
    assert all(uses[unit] >= 1 + more // len(used) for unit in used)


@pytest.mark.parametrize("name", SQUEEZING)
@pytest.mark.parametrize("count", range(1, 12))
def test_squeezing_keeps_distinct_units_in_order(name: str, count: int) -> None:
    elastic = tuple(range(1, count + 1))
    for wanted in range(count + 1):
        arranged = POLICIES[name].arrange(elastic, elastic, wanted)
        assert len(arranged) == wanted
        assert set(arranged) <= set(elastic)
        assert list(arranged) == sorted(set(arranged))


@pytest.mark.parametrize("name", list(POLICIES))
def test_the_same_number_of_units_changes_nothing(name: str) -> None:
    for count in range(1, 12):
        elastic = tuple(range(1, count + 1))
        assert POLICIES[name].arrange(elastic, elastic, count) == elastic
