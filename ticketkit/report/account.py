"""The amortised account: finding one ticket and stretching it, against a method that starts anew on every target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ticketkit.report.comparison import Report

RIVALS: Final[tuple[str, ...]] = ("imp", "rigl")
"""The arms that a stretched ticket is set against, which give sparse networks in other ways."""

SHOWN_TARGETS: Final = 5
"""The account is drawn up for this many targets."""

_NEVER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What sparse networks for *n* targets cost, by stretching one ticket and by other methods.

    A ticket is found once, whatever number of targets it is stretched to: n targets cost finding and n trainings. IMP
    prunes each target anew, and RigL trains each anew for several times as long: n targets cost n times as much as
    one. All targets are taken to cost what the verified network costs.

    FLOPs are those of training with pruned weights skipped, means over the seeds, as in Chen et al., 2021, section
    4.5; the unit to show them in is one dense training of the target, as there.

    Attributes:
        find: FLOPs of finding the ticket.
        stretched: FLOPs of one training of a stretched ticket.
        rivals: FLOPs for one target by each other method, everything before its training included, by arm.
        unit: FLOPs of one dense training of the target.
    """

    find: float
    stretched: float
    rivals: Mapping[str, float]
    unit: float

    def by_stretching(self, targets: int) -> float:
        """FLOPs of finding once and training ``targets`` stretched tickets."""
        return self.find + targets * self.stretched

    def by_rival(self, name: str, targets: int) -> float:
        """FLOPs of another method for ``targets`` networks."""
        return targets * self.rivals[name]

    def break_even(self, name: str) -> int | None:
        """The smallest number of targets at which stretching is cheaper than another method.

        None if it never is, or not for a million.
        """
        saved = self.rivals[name] - self.stretched
        return None if saved <= 0 or self.find >= _NEVER * saved else math.floor(self.find / saved) + 1

    def to_json(self) -> dict[str, Any]:
        """The account as plain JSON values; ``formats/verify-v1.md`` describes them."""
        return {
            "find": self.find,
            "stretched": self.stretched,
            "rivals": dict(self.rivals),
            "unit": self.unit,
            "break_even": {name: self.break_even(name) for name in self.rivals},
        }


def account(report: Report) -> Account | None:
    """Draw up the account of a comparison.

    The unit is the dense arm's training where there is one, else the ticket's own counted dense.

    Returns:
        None if it is not known what finding the ticket or training it cost, or if no other method's cost is known.
    """
    ticket = report.ticket.cost
    costs = {arm.name: cost for arm in report.arms if (cost := arm.cost) is not None}
    rivals = {name: costs[name].setup_flops + costs[name].flops for name in RIVALS if name in costs}
    if report.find_flops is None or ticket is None or not rivals:
        return None
    return Account(
        find=report.find_flops,
        stretched=ticket.setup_flops + ticket.flops,
        rivals=rivals,
        unit=costs.get("dense", ticket).dense_flops,
    )
