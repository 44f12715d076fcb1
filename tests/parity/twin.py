"""Our models in PyTorch: their files, run with torch where they import gpugrad.

The layers, tensors and functions of a model file are spelt alike in both libraries, so its text is
the PyTorch program as well; what is ours in it (registry, errors) stays ours. Only BatchNorm2d is
more than PyTorch's: the twin's takes the residual and the activation in torch's words.
"""

from __future__ import annotations

import builtins
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import gpugrad as gg
from gpugrad import models

FOLDER = Path(models.__file__).parent


class BatchNorm2d(torch.nn.BatchNorm2d):
    """torch's, with gpugrad's extension: act(bn(x) + residual)."""

    def forward(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, act: str = "none"
    ) -> torch.Tensor:
        y = super().forward(x)
        if residual is not None:
            y = y + residual
        return torch.relu(y) if act == "relu" else y


def twin(model: gg.nn.Module) -> torch.nn.Module:
    """The same model in PyTorch, with the same parameters, buffers and mode."""
    name = type(model).__name__
    file = importlib.import_module(type(model).__module__).__name__.rpartition(".")[2]
    other = getattr(retold(file), name)(**model.config)
    state = {key: torch.tensor(value.numpy()) for key, value in model.state_dict().items()}
    other.to(next(iter(state.values())).dtype).load_state_dict(state)
    return other.train(model.training)


@cache
def retold(file: str) -> ModuleType:
    """gpugrad/models/<file>.py as a module on PyTorch."""
    path = FOLDER / f"{file}.py"
    module = ModuleType(f"retold_{file}")
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(compile(path.read_text(), path, "exec"), module.__dict__)
    return module


def _import(
    name: str, scope: Any = None, local: Any = None, names: Any = (), level: int = 0
) -> Any:
    """What `import name` and `from name import names` give in such a file."""
    if name == "gpugrad":
        return _TORCH
    if name == "gpugrad.tensor":
        return torch
    if name == "gpugrad.models.registry":
        return _REGISTRY
    if name.startswith("gpugrad.models."):
        return retold(name.rpartition(".")[2])
    return builtins.__import__(name, scope, local, names, level)


def _changed(module: ModuleType, **changes: Any) -> ModuleType:
    copy = ModuleType(module.__name__)
    copy.__dict__.update(vars(module), **changes)
    return copy


_TORCH = _changed(torch, nn=_changed(torch.nn, BatchNorm2d=BatchNorm2d))
_REGISTRY = ModuleType("registry")
_REGISTRY.register = lambda name: lambda made_by: made_by  # type: ignore[attr-defined]
