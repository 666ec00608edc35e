"""Run folders of open_lth and of ElasticLTH, which is built on it.

A level's folder (``…/replicate_N/level_K/main``, or a branch beside ``main``) holds ``mask.pth``, int32 ones and zeros
for the weight of every convolution and linear layer, the output layer's too, and state dicts
``model_ep{E}_it{I}.pth``: the smallest step is the rewound weights times the mask, the largest the trained ones.
The step is E epochs and I iterations. Where E is not 0 it takes the length of an epoch, which follows from the
folder's ``logger``: its last line is of the largest step, counted in iterations.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.encoding import Array
from ticketkit.errors import ArchError, BundleError
from ticketkit.interop.assemble import METHOD, assemble, fit_arch, origin
from ticketkit.interop.files import check_free, encode_arrays, read_arrays, write_files
from ticketkit.interop.format import FORMATS, Exported, ExportRequest, Format, Imported, ImportRequest
from ticketkit.interop.lth_folder import HPARAMS, MASK, LevelFolder, ModelFile
from ticketkit.interop.lth_names import arch_name, model_name, module_names
from ticketkit.provenance import Provenance, Weights
from ticketkit.ticket import Ticket

KIND = "open-lth"
_IGNORED = "pruning_layers_to_ignore"


def read(request: ImportRequest) -> Imported:
    """Read one level's ticket: its mask, and its rewound or its trained weights.

    Raises:
        ArchError: If the network that was asked for does not exist.
        BundleError: If a file is missing, cannot be read or is not the network's.
    """
    folder = LevelFolder.at(request.path)
    model = _model(folder, request)
    try:
        return Imported(ticket=_ticket(folder, model, request), source=model.path)
    except BundleError as error:
        if folder.branch is None or request.arch is not None:
            raise
        raise BundleError(f"{error}; a branch may be of another network, which --arch says") from None


def _ticket(folder: LevelFolder, model: ModelFile, request: ImportRequest) -> Ticket:
    found, _ = read_arrays(model.path)
    masks, _ = read_arrays(folder.path / MASK)
    arch = _arch(folder, request, found)
    ours = {theirs: name for name, theirs in module_names(arch).items()}
    arrays = _renamed(found, ours, arch, model.path)
    kept = _renamed(masks, ours, arch, folder.path / MASK)
    ignored = _never_pruned(folder, arch, ours)
    return assemble(
        arch,
        arrays,
        {name: mask for name, mask in kept.items() if name not in ignored or not mask.all()},
        folder.path,
        weights=_weights(folder, model, request),
        provenance=_provenance(folder, model),
        results=folder.results(),
    )


def write(request: ExportRequest) -> Exported:
    """Write ``mask.pth`` and ``model_ep0_itSTEP.pth``, and a ``hparams.log`` that says which network they are of.

    Tensors that the ticket does not prune get a mask of ones, since theirs covers every weight, and are listed in
    ``hparams.log`` as that tool lists layers not to prune.
    """
    ticket, folder = request.ticket, request.path
    names = module_names(ticket.arch)
    model = folder / f"model_ep0_it{ticket.weights.step or 0}.pth"
    paths = (folder / MASK, model, folder / HPARAMS)
    check_free(paths, overwrite=request.overwrite)
    if other := sorted(path.name for path in folder.glob("model_ep*.pth") if path != model):
        raise BundleError(f"a folder to export to must hold no model of another step (got {other[0]}): {folder}")
    weights: dict[str, Array] = {}
    masks: dict[str, Array] = {}
    ignored = []
    for entry in ticket.arch.state():
        theirs = f"{names[entry.layer.name]}.{entry.tensor.name}"
        weights[theirs] = ticket.tensors[entry.name]
        if entry.prunable:
            kept = ticket.mask.get(entry.name)
            masks[theirs] = np.ones(entry.tensor.shape, np.int32) if kept is None else kept.astype(np.int32)
            ignored += [theirs] if kept is None else []
    lines = ["Model Hyperparameters", f"    * model_name => {model_name(ticket.arch)}", "Pruning Hyperparameters"]
    lines += [f"    * {_IGNORED} => {','.join(ignored)}"] if ignored else []
    contents = {
        folder / MASK: encode_arrays(folder / MASK, masks, ticket.arch.name),
        model: encode_arrays(model, weights, ticket.arch.name),
        folder / HPARAMS: "\n".join(lines).encode(),
    }
    created = _make_folder(folder)
    try:
        written = write_files(contents, overwrite=request.overwrite)
    except BundleError:
        if created:
            folder.rmdir()
        raise
    return Exported(paths=written, notes=_notes(ticket.weights))


def _notes(weights: Weights) -> tuple[str, ...]:
    if weights.role != "final":
        return ()
    step = "" if weights.step is not None else ", and as no step is known, of step 0"
    return (f"trained weights alone in a folder are read back as rewound ones{step}",)


def _make_folder(folder: Path) -> bool:
    """Make the folder where there is none; whether there was none."""
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise BundleError(f"open-lth must be exported to a folder (got a file): {folder}") from None
        return False
    except OSError as error:
        raise BundleError(f"a folder must be in a writable place ({error.strerror or error}): {folder}") from None
    return True


def _model(folder: LevelFolder, request: ImportRequest) -> ModelFile:
    role = request.role or "rewind"
    models = folder.models()
    if role == "init":
        raise BundleError(f"weights of open-lth must be 'rewind' or 'final' (got 'init'): {folder.path}")
    if role == "final" and len(models) == 1:
        raise BundleError(f"final weights must be there (got {models[0].path.name} alone): {folder.path}")
    return models[-1] if role == "final" else models[0]


def _weights(folder: LevelFolder, model: ModelFile, request: ImportRequest) -> Weights:
    step = folder.step(model) if request.step is None else request.step
    if request.role == "final":
        return Weights(role="final", step=step)
    if step is None:
        raise BundleError(
            f"the training step must be given with --step (an epoch's length is not known; no logger): {model.path}"
        )
    return Weights(role="rewind" if step else "init", step=step)


def _arch(folder: LevelFolder, request: ImportRequest, found: dict[str, Array]) -> ArchSpec:
    name = request.arch
    if name is None:
        recorded = folder.hparams().get("Model Hyperparameters", {}).get("model_name")
        if recorded is None:
            raise BundleError(f"the network must be named with --arch (no {HPARAMS} says it): {folder.path}")
        try:
            name = arch_name(recorded)
        except BundleError as error:
            raise BundleError(f"{error}: {folder.path / HPARAMS}") from None
    if request.arch:
        parse_arch(request.arch)  # what is wrong with it is no fault of the folder's
    try:
        names = module_names(fit_arch(name, {}))
        ours = {theirs: own for own, theirs in names.items()}
        shapes = {_rename(theirs, ours) or theirs: array.shape for theirs, array in found.items()}
        return fit_arch(name, shapes)
    except ArchError as error:
        raise BundleError(f"{error}: {folder.path}") from None


def _rename(tensor: str, modules: dict[str, str]) -> str | None:
    module, _, name = tensor.rpartition(".")
    return f"{modules[module]}.{name}" if module in modules else None


def _renamed(found: dict[str, Array], ours: dict[str, str], arch: ArchSpec, path: Path) -> dict[str, Array]:
    renamed = {}
    for theirs, array in found.items():
        name = _rename(theirs, ours)
        if name is None:
            raise BundleError(f"tensors must be those of {arch.name} only (got {theirs[:80]!r}): {path}")
        renamed[name] = array
    return renamed


def _never_pruned(folder: LevelFolder, arch: ArchSpec, ours: dict[str, str]) -> set[str]:
    """The tensors whose masks of ones mean that they are not prunable: what the run says, or else our family's rule."""
    pruning = folder.hparams().get("Pruning Hyperparameters")
    if pruning is None:
        return {entry.name for entry in arch.state() if entry.prunable} - set(arch.prunable_names())
    listed = pruning.get(_IGNORED, "").split(",")
    return {name for theirs in listed if (name := _rename(theirs.strip(), ours)) is not None}


def _provenance(folder: LevelFolder, model: ModelFile) -> Provenance:
    hparams = folder.hparams()
    method = METHOD if folder.level is None else "imp" if folder.branch is None else folder.branch
    return Provenance(
        method=method,
        level=folder.level,
        rate=None if folder.level is None else _rate(hparams.get("Pruning Hyperparameters", {})),
        environment=origin(KIND, folder.name, weights=model.path.name, **({"hparams": hparams} if hparams else {})),
    )


def _rate(pruning: dict[str, str]) -> float | None:
    text = pruning.get("pruning_fraction", "")
    return float(text) if re.fullmatch(r"0?\.[0-9]{1,17}", text) else None


FORMATS.register(KIND, Format(summary="a level's folder of an open_lth or ElasticLTH run", read=read, write=write))
