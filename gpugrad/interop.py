"""Tensors in the hands of other libraries: NumPy's protocols, DLPack, CUDA array interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtype as dtypes
from .errors import DTypeError, GraphError
from .tensor import Tensor


def _check(name: str, tensor: Tensor) -> None:
    if tensor._requires_grad:
        raise GraphError(f"{name}: this tensor requires a gradient. Use detach() first.")


def array(tensor: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    """``np.asarray(tensor)``: the tensor's own memory on the CPU, unless a copy is asked for."""
    _check("numpy", tensor)
    values = tensor.numpy()
    if dtype is not None and values.dtype != np.dtype(dtype):
        return values.astype(dtype)
    return values.copy() if copy else values


def dlpack(tensor: Tensor, **options: Any) -> Any:
    """A DLPack capsule of the tensor's memory. bfloat16 on the CPU is not in NumPy's DLPack."""
    _check("__dlpack__", tensor)
    if tensor.dtype == dtypes.bfloat16 and isinstance(tensor.data, np.ndarray):
        raise DTypeError("__dlpack__: NumPy cannot export bfloat16; convert with .float() first.")
    return tensor.data.__dlpack__(**options)


def dlpack_device(tensor: Tensor) -> tuple[int, int]:
    """DLPack's (kind of memory, index)."""
    return tensor.data.__dlpack_device__()


def cuda_array_interface(tensor: Tensor) -> dict[str, Any]:
    """The CUDA array interface of a tensor on a GPU; AttributeError for others."""
    interface = getattr(tensor.data, "__cuda_array_interface__", None)
    if interface is None:
        raise AttributeError(
            f"__cuda_array_interface__: this tensor is on {tensor.device}, not on a GPU.\n"
            "  Move it with .cuda(), or share host memory by numpy() or __dlpack__."
        )
    _check("__cuda_array_interface__", tensor)
    return interface
