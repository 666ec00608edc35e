"""Torch modules of the families. Each has the tensors that its ``arch`` module lists: same names, shapes and order."""

from ticketkit.models.build import MODELS, build_model, export_tensors, initialise, instantiate, load_model

__all__ = ["MODELS", "build_model", "export_tensors", "initialise", "instantiate", "load_model"]
