"""State dicts of modules that ``torch.nn.utils.prune`` has masked.

Each pruned tensor ``NAME.weight`` is there as ``NAME.weight_orig``, the weights before the mask, and
``NAME.weight_mask``, ones and zeros of the weights' own type (torch, ``torch/nn/utils/prune.py``,
``BasePruningMethod.apply``). The weights of a ticket that are pruned are not kept: they go out as zeros.
"""

from __future__ import annotations

from ticketkit.encoding import Array
from ticketkit.errors import BundleError
from ticketkit.interop.assemble import assemble, plain_provenance, plain_weights, requested_arch
from ticketkit.interop.files import check_free, encode_arrays, read_arrays, write_files
from ticketkit.interop.format import FORMATS, Exported, ExportRequest, Format, Imported, ImportRequest

KIND = "torch-prune"
ORIGINAL, MASK = "_orig", "_mask"


def read(request: ImportRequest) -> Imported:
    """Join originals and masks to tensors.

    Raises:
        BundleError: If an original lacks its mask, a mask its original, or the rest is not the network's.
    """
    path = request.path
    found, recorded = read_arrays(path)
    arrays: dict[str, Array] = {}
    masks: dict[str, Array] = {}
    for key, array in found.items():
        if key.endswith(ORIGINAL):
            name = key.removesuffix(ORIGINAL)
            arrays[name] = array
            if name + MASK not in found:
                raise BundleError(f"{key} must have its {name + MASK} beside it (got none): {path}")
            masks[name] = found[name + MASK]
        elif key.endswith(MASK):
            if key.removesuffix(MASK) + ORIGINAL not in found:
                raise BundleError(
                    f"{key} must have its {key.removesuffix(MASK) + ORIGINAL} beside it (got none): {path}"
                )
        else:
            arrays[key] = array
    if not masks:
        raise BundleError(f"a state dict of torch.nn.utils.prune must hold NAME_orig and NAME_mask (got none): {path}")
    arch = requested_arch(request, recorded, arrays)
    # A pruned bias has a mask too; one that prunes nothing says nothing, any other is refused by the ticket.
    maskable = {entry.name for entry in arch.state() if entry.prunable}
    masks = {name: mask for name, mask in masks.items() if name in maskable or not mask.all()}
    ticket = assemble(
        arch, arrays, masks, path, weights=plain_weights(request), provenance=plain_provenance(KIND, path)
    )
    return Imported(ticket=ticket, source=path)


def write(request: ExportRequest) -> Exported:
    """Split masked tensors into originals and masks; a model under ``prune.identity`` or another mask loads them."""
    check_free((request.path,), overwrite=request.overwrite)
    ticket = request.ticket
    arrays: dict[str, Array] = {}
    for name, array in ticket.tensors.items():
        if name in ticket.mask:
            arrays[name + ORIGINAL] = array
            arrays[name + MASK] = ticket.mask[name].astype(array.dtype)
        else:
            arrays[name] = array
    content = encode_arrays(request.path, arrays, ticket.arch.name)
    return Exported(paths=write_files({request.path: content}, overwrite=request.overwrite))


FORMATS.register(
    KIND, Format(summary="a state dict of torch.nn.utils.prune (weight_orig, weight_mask)", read=read, write=write)
)
