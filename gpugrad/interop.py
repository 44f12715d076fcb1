"""Tensors in the hands of other libraries: NumPy's protocols, DLPack, CUDA array interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dlpack import exported
from .errors import ArgumentError, GraphError
from .tensor import Tensor


def _check(name: str, tensor: Tensor) -> None:
    if tensor._requires_grad:
        raise GraphError(f"{name}: this tensor requires a gradient. Use detach() first.")


def array(tensor: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    """``np.asarray(tensor)``: the tensor's own memory on the CPU, unless a copy is asked for."""
    _check("numpy", tensor)
    cast = dtype is not None and tensor.array.dtype != np.dtype(dtype)
    if copy is False and (cast or not tensor.backend.in_host_memory):
        raise ArgumentError(
            f"numpy(copy=False): {tensor.dtype.name} on {tensor.device} as an array of "
            f"{np.dtype(dtype).name if cast else tensor.dtype.name} is a copy.\n"
            "  Leave copy out, or convert first with .to(dtype) and .cpu()."
        )
    values = tensor.numpy()
    if cast:
        return values.astype(dtype)
    return values.copy() if copy else values


def dlpack(
    tensor: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A DLPack capsule of the tensor's memory, of any dtype; the options are the protocol's.

    Memory that is read-only (an expanded view) needs a consumer of DLPack 1.0.
    """
    _check("__dlpack__", tensor)
    options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    given = {name: value for name, value in options.items() if value is not None}
    if not tensor.backend.in_host_memory:
        return tensor.array.__dlpack__(**given)
    try:
        return exported(tensor.array, given)
    except BufferError as error:
        raise ArgumentError(
            f"__dlpack__: {error}\n  Share clone(), whose memory is its own."
        ) from None


def dlpack_device(tensor: Tensor) -> tuple[int, int]:
    """DLPack's (kind of memory, index)."""
    return tensor.array.__dlpack_device__()


def cuda_array_interface(tensor: Tensor) -> dict[str, Any]:
    """The CUDA array interface of a tensor on a GPU; AttributeError for others."""
    interface = getattr(tensor.array, "__cuda_array_interface__", None)
    if interface is None:
        raise AttributeError(
            f"__cuda_array_interface__: this tensor is on {tensor.device}, not on a GPU.\n"
            "  Move it with .cuda(), or share host memory by numpy() or __dlpack__."
        )
    _check("__cuda_array_interface__", tensor)
    return interface
