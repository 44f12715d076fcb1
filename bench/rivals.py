"""The rivals on a device: PyTorch where it is installed, NumPy on the CPU, CuPy on a GPU."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import numpy as np


def torch_module() -> ModuleType | None:
    """PyTorch, or None where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch


def torch_tensor(x: np.ndarray, device: str) -> Any:
    torch = torch_module()
    assert torch is not None
    return torch.tensor(x, device=device)


def array_library(device: str) -> tuple[str, ModuleType]:
    """("NumPy", numpy) or ("CuPy (cuBLAS)", cupy)."""
    if device == "cpu":
        return "NumPy", np
    import cupy

    return "CuPy (cuBLAS)", cupy
