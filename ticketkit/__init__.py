"""ticketkit: find a winning ticket once, keep it as one file, stretch it to other depths, verify the result.

Importing this package imports numpy and nothing heavier; what trains imports torch when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ticketkit._version import __version__

if TYPE_CHECKING:
    from ticketkit.arch import ArchSpec, LayerSpec, parse_arch
    from ticketkit.bundle import BundleHeader, load_ticket, read_header, save_ticket
    from ticketkit.connect import connect_ticket
    from ticketkit.data import ImageData, load_data
    from ticketkit.find import find_ticket
    from ticketkit.interop import export_ticket, import_ticket
    from ticketkit.mask import Mask
    from ticketkit.models import build_model, load_model, register_network
    from ticketkit.provenance import Provenance, Weights
    from ticketkit.recipe import Recipe, load_recipe
    from ticketkit.report.comparison import Report
    from ticketkit.stretch import StageMap, parse_stage_map, plan_stretch, stretch_ticket
    from ticketkit.ticket import Ticket
    from ticketkit.torch import Masked
    from ticketkit.verify import verify_ticket

_HOMES = {
    "ArchSpec": "arch",
    "BundleHeader": "bundle",
    "ImageData": "data",
    "LayerSpec": "arch",
    "Mask": "mask",
    "Masked": "torch",
    "Provenance": "provenance",
    "Recipe": "recipe",
    "Report": "report.comparison",
    "StageMap": "stretch",
    "Ticket": "ticket",
    "Weights": "provenance",
    "build_model": "models",
    "connect_ticket": "connect",
    "export_ticket": "interop",
    "find_ticket": "find",
    "import_ticket": "interop",
    "load_data": "data",
    "load_model": "models",
    "load_recipe": "recipe",
    "load_ticket": "bundle",
    "parse_arch": "arch",
    "parse_stage_map": "stretch",
    "plan_stretch": "stretch",
    "read_header": "bundle",
    "register_network": "models",
    "save_ticket": "bundle",
    "stretch_ticket": "stretch",
    "verify_ticket": "verify",
}
"""Where each public name lives; it is imported from there at its first use."""

__all__ = [
    "ArchSpec",
    "BundleHeader",
    "ImageData",
    "LayerSpec",
    "Mask",
    "Masked",
    "Provenance",
    "Recipe",
    "Report",
    "StageMap",
    "Ticket",
    "Weights",
    "__version__",
    "build_model",
    "connect_ticket",
    "export_ticket",
    "find_ticket",
    "import_ticket",
    "load_data",
    "load_model",
    "load_recipe",
    "load_ticket",
    "parse_arch",
    "parse_stage_map",
    "plan_stretch",
    "read_header",
    "register_network",
    "save_ticket",
    "stretch_ticket",
    "verify_ticket",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ticketkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ticketkit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
