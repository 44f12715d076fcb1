"""The rivals on a device: PyTorch where it is installed, NumPy on the CPU, CuPy on a GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import cycle
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

import gpugrad as gg

Made = TypeVar("Made")
Work = Callable[[], object]


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


def as_torch(x: gg.Tensor) -> Any:
    """PyTorch's tensor on the memory of ours: both read the same bytes."""
    torch = torch_module()
    assert torch is not None
    return torch.from_dlpack(x.detach())


def libraries() -> dict[str, Any]:
    """gpugrad, and PyTorch where it is installed: both spell much code alike."""
    torch = torch_module()
    return {"gpugrad": gg} if torch is None else {"gpugrad": gg, "PyTorch": torch}


def against(steps: dict[str, Work], compare: Callable[..., None], *cost: Any) -> None:
    """compare() of what `libraries` made."""
    compare(steps.pop("gpugrad"), steps, *cost)


def array_library(device: str) -> tuple[str, ModuleType]:
    """("NumPy", numpy) or ("CuPy (cuBLAS)", cupy)."""
    if device == "cpu":
        return "NumPy", np
    import cupy

    return "CuPy (cuBLAS)", cupy


def second_level_cache(device: str) -> int:
    """Bytes of a GPU's L2; 0 on the CPU, where operands stay in caches in real use too."""
    if device == "cpu":
        return 0
    import cupy

    return int(cupy.cuda.Device().attributes["L2CacheSize"])


def rotated(make: Callable[[], Made], size: int, device: str) -> list[Made]:
    """So many results of make(), of `size` bytes each, that a call which takes one after the other
    finds none of them in L2: more than three times its size, at most 64."""
    copies = 1 + 3 * second_level_cache(device) // max(size, 1)
    return [make() for _ in range(min(copies, 64))]


def in_turn(work: Callable[[Made], object], operands: list[Made]) -> Callable[[], object]:
    """A call of `work` for the next operands each time."""
    following = cycle(operands)
    return lambda: work(next(following))
