"""Plain state dicts: the weights in one file, and their masks in another, or in the zeros alone."""

from __future__ import annotations

from pathlib import Path

from ticketkit.encoding import Array
from ticketkit.interop.assemble import assemble, kept_zeros, plain_provenance, plain_weights, requested_arch
from ticketkit.interop.files import check_free, encode_arrays, read_arrays, write_files
from ticketkit.interop.format import FORMATS, Exported, ExportRequest, Format, Imported, ImportRequest

KIND = "state-dict"


def read(request: ImportRequest) -> Imported:
    """Read the weights, and the masks by the same names; without a file of masks what is zero counts as pruned.

    Raises:
        BundleError: If the files are not the network's.
    """
    arrays, recorded = read_arrays(request.path)
    arch = requested_arch(request, recorded, arrays)
    notes: tuple[str, ...] = ()
    if request.mask is not None:
        masks, _ = read_arrays(request.mask)
    else:
        masks = {name: arrays[name] != 0 for name in arch.prunable_names() if name in arrays}
        notes = ("without --mask what is not zero counts as kept: kept weights that are zero are lost",)
    ticket = assemble(
        arch,
        arrays,
        masks,
        request.path,
        weights=plain_weights(request),
        provenance=plain_provenance(KIND, request.path),
    )
    return Imported(ticket=ticket, source=request.path, notes=notes)


def write(request: ExportRequest) -> Exported:
    """Write the weights, zeros where pruned, and the masks as booleans to a file of their own if one is named."""
    ticket = request.ticket
    names = (request.path,) if request.mask is None else (request.path, request.mask)
    check_free(names, overwrite=request.overwrite)
    contents: dict[Path, bytes] = {request.path: encode_arrays(request.path, ticket.tensors, ticket.arch.name)}
    notes: tuple[str, ...] = ()
    if request.mask is not None:
        masks: dict[str, Array] = dict(ticket.mask)
        contents[request.mask] = encode_arrays(request.mask, masks, ticket.arch.name)
    elif lost := kept_zeros(ticket):
        notes = (f"without --mask {lost:,} kept weights that are zero cannot be told from pruned ones",)
    return Exported(paths=write_files(contents, overwrite=request.overwrite), notes=notes)


FORMATS.register(
    KIND,
    Format(
        summary="a plain state dict, with a state dict of masks (--mask) or zeros alone",
        read=read,
        write=write,
        takes_mask=True,
    ),
)
