"""Architectures as data: what a network's layers are and where they stand. No weights, and no torch."""

from ticketkit.arch.family import FAMILIES, Family, Named, parse_arch
from ticketkit.arch.spec import ArchSpec, LayerList, LayerSpec, StateTensor, TensorSpec

__all__ = [
    "FAMILIES",
    "ArchSpec",
    "Family",
    "LayerList",
    "LayerSpec",
    "Named",
    "StateTensor",
    "TensorSpec",
    "parse_arch",
]
