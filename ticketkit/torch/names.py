"""A model behind its wrappers: what its tensors are called where nothing is wrapped around it or around its parts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_COMPILED = "_orig_mod"
"""The name under which a module that ``torch.compile`` made holds the one that it was made of."""

_HOLDS_ANOTHER = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
"""Wrappers that hold the model as ``module``."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside ``DistributedDataParallel``, ``DataParallel``, ``AveragedModel`` and what ``compile`` made."""
    while True:
        inner = model._modules.get("module" if isinstance(model, _HOLDS_ANOTHER) else _COMPILED)
        if inner is None:
            return model
        model = inner


def plain_name(name: str) -> str:
    """A tensor's name in an unwrapped model, without what compiled parts of it add ("layer1._orig_mod.weight")."""
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The ``state_dict`` of a model under its plain names; the tensors are the model's own."""
    return {plain_name(name): tensor for name, tensor in unwrapped(model).state_dict().items()}


def parameter_at(root: nn.Module, path: tuple[str, ...]) -> nn.Parameter | None:
    """The parameter of a plain name, its parts as a tuple, as the model has it now; None if it has none.

    It is looked up anew each time, since ``to``, ``load_state_dict(assign=True)`` and others may replace it.

    Args:
        root: An unwrapped model.
        path: The name's parts.
    """
    *modules, leaf = path
    module: nn.Module | None = root
    for part in modules:
        module = None if module is None else module._modules.get(part)
        while module is not None and _COMPILED in module._modules:
            module = module._modules[_COMPILED]
    return None if module is None else module._parameters.get(leaf)
