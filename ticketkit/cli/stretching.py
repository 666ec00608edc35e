"""The options that say how a ticket is stretched, shared by ``stretch``, ``squeeze`` and ``show-plan``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from ticketkit.cli.completions import complete_orders, complete_targets
from ticketkit.errors import StretchError

if TYPE_CHECKING:
    from ticketkit.arch import ArchSpec


def _order(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse a name that no policy has; the registry is read here, so that the group's own help stays quick."""
    from ticketkit.stretch import POLICIES

    try:
        if value is not None:
            POLICIES[value]
    except StretchError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _units(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Read unit numbers separated by commas."""
    if value is None:
        return None
    if not re.fullmatch(r"\s*[0-9]{1,5}\s*(,\s*[0-9]{1,5}\s*)*", value):
        raise click.BadParameter(f"units must be numbers separated by commas, such as 1,2 (got {value!r})")
    return tuple(int(unit) for unit in value.split(","))


class StretchCommand(click.Command):
    """A command whose help ends with the orders that are registered."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the orders with what each does."""
        from ticketkit.stretch import POLICIES
        from ticketkit.stretch.policy import DEFAULT_SQUEEZE, DEFAULT_STRETCH

        for direction, title in (("stretch", "Orders, going deeper"), ("squeeze", "Orders, going shallower")):
            chosen = [
                (name, policy.summary + ("  [default]" if name in (DEFAULT_STRETCH, DEFAULT_SQUEEZE) else ""))
                for name, policy in POLICIES.items()
                if policy.direction == direction
            ]
            with formatter.section(title):
                formatter.write_dl(chosen)


def plan_options() -> list[click.Parameter]:
    """The options ``--to``, ``--order``, ``--units``, ``--drop`` and ``--map``, made anew for each command."""
    return [
        click.Option(
            ["--to"],
            required=True,
            metavar="NETWORK",
            shell_complete=complete_targets,
            help="The target: resnet56, or its depth, 56.",
        ),
        click.Option(
            ["--order"],
            callback=_order,
            metavar="ORDER",
            shell_complete=complete_orders,
            help="How a stage is filled; see below.  [default: append, or keep-early where a stage shrinks]",
        ),
        click.Option(
            ["--units"],
            callback=_units,
            metavar="UNITS",
            help="Units that may be replicated: 1,2.  [default: all but each stage's first]",
        ),
        click.Option(
            ["--drop"],
            callback=_units,
            metavar="UNITS",
            help="Units to leave out of every stage that shrinks: 3,4.  [default: as --order says]",
        ),
        click.Option(
            ["--map", "mapping"],
            metavar="MAPPING",
            help="The whole mapping, source:targets: '0:0;1:1,3;2:2,4'; stages joined by | where they differ.",
        ),
    ]


def check_alone(
    mapping: str | None, order: str | None, units: tuple[int, ...] | None, drop: tuple[int, ...] | None
) -> None:
    """Refuse a mapping that stands beside what would choose one.

    Raises:
        UsageError: If it does.
    """
    if mapping is not None and (order, units, drop) != (None, None, None):
        raise click.UsageError("--map says all: --order, --units and --drop do not go with it")


def check_order(order: str, source: ArchSpec, target: ArchSpec, drop: tuple[int, ...] | None) -> None:
    """Refuse an order that was asked for and would not be followed, since no stage changes in its direction.

    Raises:
        StretchError: If there is no such stage.
    """
    from ticketkit.stretch import POLICIES, orders_used

    if order not in orders_used(source, target, order=order, drop=drop):
        verb = "grows" if POLICIES[order].direction == "stretch" else "shrinks and has no --drop"
        raise StretchError(f"order {order!r} must go with a stage that {verb} (got {source.name} to {target.name})")
