"""Torch's ``.pth`` files, read without running what they may hold. The one module of this room that knows torch."""

from __future__ import annotations

import io
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ticketkit.encoding import Array
from ticketkit.errors import BundleError
from ticketkit.interop.files import unreadable
from ticketkit.interop.pth_safety import check_file, check_tensors
from ticketkit.reading import regular_size

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts commonly put the state dict beside the epoch and the optimiser."""

_MOST_WRAPPERS = 3
"""How many of them may lie one in the other."""

_PARALLEL = "module."
"""What torch's data-parallel wrappers put before every name."""


def read_pth(path: Path) -> dict[str, Array]:
    """Read a state dict, alone or inside a checkpoint, as numpy arrays.

    ``weights_only=True`` and nothing laxer: a pickle can name any function to call, and this refuses all that do.
    What that leaves open, :mod:`ticketkit.interop.pth_safety` looks for first. So reading a file takes a few times its
    own bytes of memory, whatever it claims.

    Raises:
        BundleError: If it cannot be read, holds more than tensors and plain values, or a type that numpy lacks.
    """
    try:
        check_file(path)
        with warnings.catch_warnings(action="ignore"):  # torch's own advice on unusual pickles: ours is an error line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise unreadable(path, error) from None
    except BundleError as error:
        raise BundleError(f"{error}: {path}") from None
    except Exception as error:  # an unpickler that meets rubbish raises anything at all
        raise BundleError(f"a .pth file must hold tensors and plain values only ({_reason(error)}): {path}") from None
    tensors = _state_dict(content)
    if tensors is None:
        raise BundleError(f"a .pth file must hold a dictionary of tensors (got {type(content).__name__}): {path}")
    try:
        check_tensors(tensors, regular_size(path))
    except BundleError as error:
        raise BundleError(f"{error}: {path}") from None
    if all(name.startswith(_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_PARALLEL): tensor for name, tensor in tensors.items()}
    return {name: _to_array(name, tensor, path) for name, tensor in tensors.items()}


def encode_pth(arrays: Mapping[str, Array]) -> bytes:
    """The content of a ``.pth`` file that holds the arrays as an ordered dictionary of tensors."""
    tensors = OrderedDict((name, torch.from_numpy(np.array(array))) for name, array in arrays.items())
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def _state_dict(content: object, wrapped: int = 0) -> dict[str, torch.Tensor] | None:
    if not isinstance(content, Mapping) or not content:
        return None
    if all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in content.items()):
        return dict(content)
    if wrapped == _MOST_WRAPPERS:  # a dictionary may even hold itself
        return None
    found = (_state_dict(content[key], wrapped + 1) for key in _WRAPPERS if key in content)
    return next((tensors for tensors in found if tensors is not None), None)


def _to_array(name: str, tensor: torch.Tensor, path: Path) -> Array:
    try:
        array: np.ndarray[Any, Any] = tensor.detach().contiguous().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16, and conjugates that are not yet worked out
        raise BundleError(
            f"{name[:80]} must be a dense tensor of one of numpy's types (got {tensor.dtype}): {path}"
        ) from error
    return array


def _reason(error: Exception) -> str:
    """Torch's refusal in a few words: its own is a page, with advice to load the file unsafely."""
    named = re.search(r"GLOBAL:? (\S+)", str(error))
    if named:
        return f"it names {named[1][:80]}; nothing of it was run"
    if isinstance(error, pickle.UnpicklingError):
        return "it is not one, or does more than torch reads with weights_only; nothing of it was run"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}".rstrip(": ")
