"""Bundles: tickets as files. ``formats/ticket-v1.md`` is the specification; this is its reference implementation."""

from ticketkit.bundle.header import BundleHeader, read_header
from ticketkit.bundle.limits import DEFAULT_LIMITS, Limits
from ticketkit.bundle.reader import load_tensors, load_ticket
from ticketkit.bundle.writer import save_ticket

__all__ = ["DEFAULT_LIMITS", "BundleHeader", "Limits", "load_tensors", "load_ticket", "read_header", "save_ticket"]
