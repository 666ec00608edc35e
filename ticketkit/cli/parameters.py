"""Types of options that several commands share."""

from __future__ import annotations

from typing import Any

import click


class OpenFraction(click.FloatRange):
    """A number above 0 and below 1, whose refusal says that a percentage is none."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.rstrip('.')}; a fraction, such as 0.95", param, ctx)
