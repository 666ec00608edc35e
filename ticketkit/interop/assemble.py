"""From named arrays to a ticket: which network they are of, and that they are all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.encoding import Array, Bitmask
from ticketkit.errors import ArchError, BundleError, MaskError
from ticketkit.interop.format import ImportRequest
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Results, Weights
from ticketkit.ticket import Ticket, kept_from

METHOD = "imported"
"""How the mask was found, where the files do not say it."""

_CONV_DIMENSIONS = 4


def fit_arch(name: str, shapes: Mapping[str, tuple[int, ...]]) -> ArchSpec:
    """Read a network's name; classes and input channels that it does not say are those of the tensors.

    Args:
        name: The network's name.
        shapes: The tensors' shapes by their ``state_dict`` names.

    Raises:
        ArchError: If there is no such network.
    """
    arch = parse_arch(name)
    layers = arch.layers()
    first = next((layer for layer in layers if layer.kind == "conv2d"), layers[0])
    stem, head = shapes.get(f"{first.name}.weight", ()), shapes.get(f"{layers[-1].name}.weight", ())
    return parse_arch(
        name,
        num_classes=head[0] if head else arch.num_classes,
        in_channels=stem[1] if len(stem) == _CONV_DIMENSIONS else arch.in_channels,
    )


def requested_arch(request: ImportRequest, recorded: str | None, arrays: Mapping[str, Array]) -> ArchSpec:
    """The network that was asked for, or else the one that the file names.

    Raises:
        ArchError: If there is no such network.
        BundleError: If nothing names one.
    """
    name = request.arch or recorded
    if name is None:
        raise BundleError(f"the network must be named with --arch (the file does not say it): {request.path}")
    if request.arch:
        parse_arch(request.arch)  # what is wrong with it is no fault of the file's
    try:
        return fit_arch(name, {tensor: array.shape for tensor, array in arrays.items()})
    except ArchError as error:
        raise BundleError(f"{error}: {request.path}") from None


def plain_weights(request: ImportRequest) -> Weights:
    """Which weights these are, for files that do not say it.

    Raises:
        BundleError: If the role needs a step that was not given, or is of another one.
    """
    try:
        return Weights(role=request.role or "final", step=request.step)
    except ValueError as error:
        raise BundleError(f"{error}: give --step and --weights that agree") from None


def origin(kind: str, name: str, **more: object) -> dict[str, object]:
    """What the provenance's ``environment`` says of a ticket that came from elsewhere."""
    return {"imported_from": {"format": kind, "name": name, **more}}


def plain_provenance(kind: str, path: Path) -> Provenance:
    """The provenance of a ticket whose files say nothing of it."""
    return Provenance(method=METHOD, environment=origin(kind, path.name))


def assemble(
    arch: ArchSpec,
    arrays: Mapping[str, Array],
    masks: Mapping[str, Array],
    path: Path,
    *,
    weights: Weights,
    provenance: Provenance,
    results: Results | None = None,
) -> Ticket:
    """Make a ticket of arrays from elsewhere.

    Args:
        arch: The network.
        arrays: Every tensor of its ``state_dict``.
        masks: For each masked tensor ones where a weight is kept and zeros where not, of any type.
        path: The file, for messages.
        weights: Which weights these are.
        provenance: How they came to be.
        results: What was measured with them.

    Raises:
        BundleError: If they are not the network's, or a mask holds anything but zeros and ones.
    """
    try:
        _check_shapes(arch, arrays, masks)
        kept = {name: kept_from(name, array) for name, array in masks.items()}
        ticket = Ticket.from_arrays(
            arch, _ordered(arch, arrays), Mask(kept), weights=weights, provenance=provenance, results=results
        )
    except MaskError as error:
        raise BundleError(f"{error}: {path}") from None
    for name, stored in ticket.stored.items():
        if stored.infinities:  # saving would refuse it too, but name another file
            raise BundleError(f"weights of a ticket must be finite (those of {name} are not): {path}")
    return ticket


def _ordered(arch: ArchSpec, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays in the network's order, any unknown ones last, for the ticket to refuse."""
    known = [entry.name for entry in arch.state() if entry.name in arrays]
    return {name: arrays[name] for name in [*known, *(arrays.keys() - set(known))]}


def _check_shapes(arch: ArchSpec, arrays: Mapping[str, Array], masks: Mapping[str, Array]) -> None:
    """Refuse what is not of the network before anything is copied: a mask or a tensor may be of any size."""
    own = {entry.name: entry.tensor.shape for entry in arch.state()}
    if missing := own.keys() - arrays.keys():
        raise MaskError(f"a ticket of {arch.name} must hold {min(missing)} (got none)")
    if unknown := arrays.keys() - own.keys():
        raise MaskError(f"a ticket of {arch.name} must hold its own tensors only (got {min(unknown)[:80]})")
    for name, array in arrays.items():
        if array.shape != own[name]:
            raise MaskError(f"{name} of {arch.name} must have shape {own[name]} (got {array.shape})")
    for name, mask in masks.items():
        if name not in arrays:
            raise MaskError(f"a mask must be of a tensor that is there (got one of {name[:80]})")
        if mask.shape != arrays[name].shape:
            raise MaskError(f"the mask of {name} must have its shape {arrays[name].shape} (got {mask.shape})")
        if mask.dtype.kind not in "biuf":
            raise MaskError(f"the mask of {name} must hold zeros and ones only (got {mask.dtype})")


def kept_zeros(ticket: Ticket) -> int:
    """Number of kept weights that are zero: what a file without masks cannot tell from pruned ones."""
    masked = (stored for stored in ticket.stored.values() if isinstance(stored, Bitmask))
    return sum(stored.kept - int(np.count_nonzero(stored.values)) for stored in masked)
