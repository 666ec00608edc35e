"""Writing a ticket: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ticketkit.atomic import replacing
from ticketkit.bundle.header import METADATA_KEY
from ticketkit.document import canonical, storage_key
from ticketkit.encoding import Array, Bitmask
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket


def save_ticket(ticket: Ticket, path: str | os.PathLike[str], *, overwrite: bool = False) -> str:
    """Write a ticket as one file: to a temporary file beside it, flushed, then renamed.

    The same ticket gives the same bytes.

    Args:
        ticket: The ticket.
        path: The file; ``.st`` by convention.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The ticket's id, ``sha256:…``.

    Raises:
        BundleError: If the file exists and may not be replaced, a weight is not finite, or writing fails. Nothing
            is left behind, and an existing file is as it was.
    """
    path = Path(path)
    tensors = _stored_tensors(ticket)
    metadata = {METADATA_KEY: canonical(ticket.document).decode()}
    try:
        with replacing(path, overwrite=overwrite) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except FileExistsError:
        raise BundleError(f"a ticket must not be overwritten unasked (a file is there already): {path}") from None
    except OSError as error:
        raise BundleError(f"a ticket must be written to a writable place ({error.strerror or error}): {path}") from None
    return ticket.id


def _stored_tensors(ticket: Ticket) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for name, layer, tensor in ticket.arch.state():
        stored = ticket.stored[name]
        floats = stored.values if isinstance(stored, Bitmask) else stored.data
        if floats.dtype.kind == "f" and not np.isfinite(floats).all():
            raise BundleError(f"weights of a ticket must be finite (those of {name} are not)")
        for suffix, content in stored.parts():
            tensors[storage_key(layer.index, tensor.name) + suffix] = content
    return tensors
