"""Sharing tickets: references to where they are, fetching them, cards that describe them, zoos that list them."""

from ticketkit.sharing.errors import RemoteError, ZooError
from ticketkit.sharing.references import Reference, parse_reference
from ticketkit.sharing.remote import Patience
from ticketkit.sharing.resolve import read_remote_header, resolve

__all__ = ["Patience", "Reference", "RemoteError", "ZooError", "parse_reference", "read_remote_header", "resolve"]
