"""Reading a ticket: everything is checked before anything is believed."""

from __future__ import annotations

import os

import numpy as np
from safetensors import safe_open

from ticketkit.bundle.header import BundleHeader, naming, opened, read_header
from ticketkit.bundle.limits import DEFAULT_LIMITS, Limits
from ticketkit.document import TensorEntry
from ticketkit.encoding import Array, Bitmask, Dense, Stored
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket


def load_ticket(path: str | os.PathLike[str], *, verify: bool = True, limits: Limits = DEFAULT_LIMITS) -> Ticket:
    """Read a ticket and check that it is sound.

    Args:
        path: The bundle.
        verify: Whether to compare every tensor with its hash. Without it the file is trusted to be undamaged, but
            its layout, counts and values are still checked.
        limits: What the reader is willing to take.

    Raises:
        BundleVersionError: If the file is of another major version of the format.
        BundleError: If it cannot be read or breaks a rule of the format; the message is one line and names the file.
    """
    header = read_header(path, limits=limits)
    return load_tensors(header, verify=verify, limits=limits)


def load_tensors(header: BundleHeader, *, verify: bool = True, limits: Limits = DEFAULT_LIMITS) -> Ticket:
    """Read the tensors of a bundle whose header has been read; see :func:`load_ticket`."""
    document = header.document
    with naming(header.path), opened(header.path, limits) as (file, _, _):
        stored = {name: _read(file, key, entry, verify=verify) for name, _, key, entry in header.tensors()}
        ticket = Ticket(
            arch=document.architecture,
            stored=stored,
            weights=document.weights,
            provenance=document.provenance,
            results=document.results,
        )
    # The document stays as it stands in the file: one of a later 1.x may hold fields that this version does not know,
    # and the id is of the whole.
    vars(ticket)["document"] = header.raw
    return ticket


def _read(file: safe_open, key: str, entry: TensorEntry, *, verify: bool) -> Stored:
    stored: Stored
    if entry.encoding == "bitmask":
        stored = Bitmask(
            shape=entry.shape, bits=file.get_tensor(f"{key}.mask"), values=file.get_tensor(f"{key}.values")
        )
        stored.check(key)
        floats: Array = stored.values
    else:
        stored = Dense(file.get_tensor(key))
        floats = stored.data
    if verify and stored.sha256 != entry.sha256:
        raise BundleError(f"SHA-256 of {key} must be {entry.sha256} (its stored bytes have {stored.sha256})")
    if floats.dtype.kind == "f" and not np.isfinite(floats).all():
        count = int(np.count_nonzero(~np.isfinite(floats)))
        raise BundleError(f"values of {key} must be finite ({count:,} are not)")
    return stored
