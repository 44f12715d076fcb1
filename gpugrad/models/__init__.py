"""Ready-made models, by class and by name."""

from gpugrad.models.files import SavedModel, load_model, save_model
from gpugrad.models.mlp import MLP
from gpugrad.models.registry import create, name_of, names, register

__all__ = [
    "MLP",
    "SavedModel",
    "create",
    "load_model",
    "name_of",
    "names",
    "register",
    "save_model",
]
