"""Reading a ticket: everything is checked before anything is believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ticketkit.bundle.container import Container, Data, Extent, naming, opened
from ticketkit.bundle.header import METADATA_KEY, BundleHeader, check_layout, parse_header
from ticketkit.bundle.limits import DEFAULT_LIMITS, Limits
from ticketkit.document import TensorEntry
from ticketkit.encoding import DTYPES, Array, Bitmask, Dense, Stored, hash_together
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket

_TYPES: Mapping[str, np.dtype[np.generic]] = DTYPES | {"U8": np.dtype(np.uint8)}


def load_ticket(
    path: str | os.PathLike[str], *, verify: bool = True, mapped: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Ticket:
    """Read a ticket and check that it is sound.

    By default the tensors are read into memory, as they are stored, and the ticket has nothing more to do with its
    file. With ``mapped`` they are views of the file itself and take no memory of the process's own, but the file must
    stay as it is for as long as the ticket is used. Replacing it, as :func:`save_ticket` does, is safe, except on
    Windows, which refuses it. Writing *into* it changes a ticket that was checked already, and cutting it short ends
    the process (SIGBUS). So it is for a program that reads, uses and forgets a ticket, such as the commands that need
    no torch, and not the default; it saves memory and hardly any time.

    Args:
        path: The bundle.
        verify: Whether to compare every tensor with its hash. Without it the file is trusted to be undamaged, but
            its layout, counts and values are still checked.
        mapped: Whether to map the file instead of reading it.
        limits: What the reader is willing to take.

    Raises:
        BundleVersionError: If the file is of another major version of the format.
        BundleError: If it cannot be read or breaks a rule of the format; the message is one line and names the file.

    Examples:
        >>> ticket = ticketkit.load_ticket("resnet20.st")
        >>> f"{ticket.arch.name}, {ticket.sparsity:.0%} sparse"
        'cifar-resnet20, 96% sparse'
    """
    path = Path(path)
    with naming(path), opened(path, limits) as container:
        return _load(parse_header(path, container, limits), container, verify=verify, mapped=mapped)


def load_tensors(
    header: BundleHeader,
    *,
    verify: bool = True,
    mapped: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    on_hashed: Callable[[int], None] | None = None,
) -> Ticket:
    """Read the tensors of a bundle whose header has been read; see :func:`~ticketkit.load_ticket`.

    ``on_hashed`` is told the bytes of each large tensor when its hash is found; by several threads.
    """
    with naming(header.path), opened(header.path, limits) as container:
        if container.metadata.get(METADATA_KEY) != header.text:
            raise BundleError("a file must stay as it is while it is read (it holds another ticket now)")
        check_layout(header.document, container.extents)
        return _load(header, container, verify=verify, mapped=mapped, on_hashed=on_hashed)


def _load(
    header: BundleHeader,
    container: Container,
    *,
    verify: bool,
    mapped: bool,
    on_hashed: Callable[[int], None] | None = None,
) -> Ticket:
    document = header.document
    data = container.data(mapped=mapped)
    stored: dict[str, Stored] = {}
    entries: list[tuple[str, TensorEntry, Stored]] = []
    for name, _, key, entry in header.tensors():
        stored[name] = _stored(key, entry, container.extents, data)
        entries.append((key, entry, stored[name]))
    if verify:
        hash_together(stored.values(), on_hashed)
    for key, entry, tensor in entries:
        _check(key, entry, tensor, verify=verify)
    ticket = Ticket(
        arch=document.architecture,
        stored=stored,
        weights=document.weights,
        provenance=document.provenance,
        results=document.results,
    )
    # The document stays as it stands in the file: one of a later 1.x may hold fields that this version does not know,
    # and the id is of the whole.
    vars(ticket)["_described"] = (header.raw, header.text)
    return ticket


def _stored(key: str, entry: TensorEntry, extents: Mapping[str, Extent], data: Data) -> Stored:
    if entry.encoding == "bitmask":
        bits, values = data[slice(*extents[f"{key}.mask"][2:])], _array(extents[f"{key}.values"], data)
        return Bitmask(shape=entry.shape, bits=bits, values=values)
    return Dense(_array(extents[key], data).reshape(entry.shape))


def _array(extent: Extent, data: Data) -> Array:
    array: Array = data[extent.start : extent.end].view(_TYPES[extent.dtype])
    return array if array.flags.aligned else array.copy()  # only in a file that another program has laid out


def _check(key: str, entry: TensorEntry, stored: Stored, *, verify: bool) -> None:
    if isinstance(stored, Bitmask):
        stored.check(key)
    if verify and stored.sha256 != entry.sha256:
        found = f"its stored bytes have {stored.sha256}"
        raise BundleError(f"SHA-256 of {key} must be {entry.sha256} ({found}); the file is damaged")
    if stored.infinities:
        raise BundleError(f"values of {key} must be finite ({stored.infinities:,} are not)")
