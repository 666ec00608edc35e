"""Torch modules of the families. Each has the tensors that its ``arch`` module lists: same names, shapes and order."""

from ticketkit.models.build import MODELS, build_model, export_tensors, initialise, instantiate, load_model
from ticketkit.models.own import register_network

__all__ = [
    "MODELS",
    "build_model",
    "export_tensors",
    "initialise",
    "instantiate",
    "load_model",
    "register_network",
]
