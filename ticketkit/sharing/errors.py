"""What goes wrong when a ticket is elsewhere."""

from __future__ import annotations

from ticketkit.errors import BundleError, TicketkitError


class RemoteError(BundleError):
    """A reference that is none, a ticket elsewhere that cannot be had, or one that is not the one it must be."""


class ZooError(TicketkitError, ValueError):
    """An index of a zoo that is malformed, or has no such ticket."""
