"""What a format of another tool is, and the two verbs: import and export."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ticketkit.errors import BundleError
from ticketkit.registry import Registry
from ticketkit.ticket import Ticket

Role = Literal["init", "rewind", "final"]
"""Which weights are meant, as in ``ticketkit.provenance.Weights``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What to import, and what its files do not say.

    Attributes:
        path: The file or folder.
        arch: The network's name; None if the files are to say it. Classes and input channels are the tensors' own.
        role: Which weights to take, or which they are; None leaves it to the format.
        step: The training step of the weights, in optimiser steps; None if the files are to say it.
        mask: A file of masks beside the weights; for formats that take one.
    """

    path: Path
    arch: str | None = None
    role: Role | None = None
    step: int | None = None
    mask: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A ticket that came in.

    Attributes:
        ticket: The ticket.
        source: The file that its weights are from.
        notes: What the format could not carry, one line each.
    """

    ticket: Ticket
    source: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export, and to where.

    Attributes:
        ticket: The ticket.
        path: The file or folder to write.
        mask: A file for the masks beside the weights; for formats that take one.
        overwrite: Whether existing files may be replaced.
    """

    ticket: Ticket
    path: Path
    mask: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A ticket that went out.

    Attributes:
        paths: The files that were written.
        notes: What the format could not carry, one line each.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way in which another tool keeps sparse networks.

    Attributes:
        summary: What it is, in one line.
        read: Makes a ticket of its files.
        write: Makes its files of a ticket.
        takes_mask: Whether the masks may be a file of their own.
    """

    summary: str
    read: Callable[[ImportRequest], Imported]
    write: Callable[[ExportRequest], Exported]
    takes_mask: bool = False


FORMATS: Registry[Format] = Registry("format", "ticketkit.interop.formats", BundleError)
"""The formats by name; each is one module of ``ticketkit.interop.formats``."""


def import_ticket(
    kind: str,
    path: str | os.PathLike[str],
    *,
    arch: str | None = None,
    weights: Role | None = None,
    step: int | None = None,
    mask: str | os.PathLike[str] | None = None,
) -> Imported:
    """Make a ticket of another tool's files; nothing in them is executed.

    Args:
        kind: The format's name: ``open-lth``, ``torch-prune``, ``state-dict``, ``sparse-bitmask``.
        path: The file or folder.
        arch: The network's name; needed where the files do not say it.
        weights: For ``open-lth`` which weights to take, ``rewind`` (the default) or ``final``; for the others which
            ones they are, ``final`` unless told otherwise.
        step: The training step of the weights, in optimiser steps, where the files do not say it.
        mask: The masks' own file, for ``state-dict``; without it every weight that is not zero counts as kept.

    Returns:
        The ticket, and a line about everything that the format could not carry.

    Raises:
        ArchError: If there is no such network.
        BundleError: If a file cannot be read or does not hold the network; one line that names the file.

    Examples:
        >>> import torch
        >>> model, masks = ticketkit.load_model(ticketkit.load_ticket("resnet20.st"))
        >>> torch.save(model.state_dict(), "model.pth")
        >>> ticketkit.import_ticket("state-dict", "model.pth", arch="resnet20").ticket.arch.name
        'cifar-resnet20'
    """
    fmt = FORMATS[kind]
    _check_mask(kind, fmt, mask)
    request = ImportRequest(
        path=Path(path), arch=arch, role=weights, step=step, mask=None if mask is None else Path(mask)
    )
    return fmt.read(request)


def export_ticket(
    kind: str,
    ticket: Ticket,
    path: str | os.PathLike[str],
    *,
    mask: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a ticket as another tool's files, each whole or not at all.

    Args:
        kind: The format's name, as for :func:`import_ticket`.
        ticket: The ticket.
        path: The file or, for ``open-lth``, the folder.
        mask: The masks' own file, for ``state-dict``; without it only zeros mark what is pruned.
        overwrite: Whether existing files may be replaced.

    Returns:
        The files, and a line about everything that the format could not carry.

    Raises:
        BundleError: If a file exists and may not be replaced, cannot be written, or the format has no such network.

    Examples:
        >>> ticket = ticketkit.load_ticket("resnet20.st")
        >>> [path.name for path in ticketkit.export_ticket("state-dict", ticket, "weights.pth", mask="mask.pth").paths]
        ['weights.pth', 'mask.pth']
    """
    fmt = FORMATS[kind]
    _check_mask(kind, fmt, mask)
    request = ExportRequest(
        ticket=ticket, path=Path(path), mask=None if mask is None else Path(mask), overwrite=overwrite
    )
    return fmt.write(request)


def _check_mask(kind: str, fmt: Format, mask: str | os.PathLike[str] | None) -> None:
    if mask is not None and not fmt.takes_mask:
        able = ", ".join(name for name, other in FORMATS.items() if other.takes_mask)
        raise BundleError(f"a file of masks must go with {able} alone (got {kind}, which has its masks inside)")
