"""Importing torchvision where its compiled operators do not load."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

MISSING_OPERATOR = "operator torchvision::nms does not exist"

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""The operators that torchvision looks up while it is imported, as its C++ code declares them."""

_declared: list[Any] = []
"""The libraries that hold the declarations: torch forgets the operators of a library that nothing refers to."""


def import_torchvision() -> ModuleType:
    """Import torchvision, even one that was built for another torch.

    The torchvision of PyPI is built for CUDA. Beside a torch for the CPU, which is what many installations end up
    with, its compiled operators cannot be loaded, and ``import torchvision`` fails because it describes two of them,
    ``torchvision::nms`` and ``torchvision::qnms``, to torch without asking whether they are there. Data sets,
    transforms and classification models need no compiled operator at all. So where the import fails for this reason,
    and only there, the two are declared, without any code behind them, and the import is tried again. Calling
    ``torchvision.ops.nms`` then still fails, with torchvision's own message on how to install a version that fits.

    Returns:
        The module ``torchvision``.

    Raises:
        ImportError: If torchvision is not installed.
        Exception: Whatever else its import raises.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if MISSING_OPERATOR not in str(error):
            raise
    # The failed import leaves submodules behind, whose like would not be imported again.
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    library = importlib.import_module("torch.library").Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
