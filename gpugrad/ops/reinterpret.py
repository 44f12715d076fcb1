"""Bytes read as another dtype: ``x.view(dtype)``. Needs no kernel on any device."""

from __future__ import annotations

from typing import Any

from ..autograd.function import describe
from ..dtype import DType, as_dtype
from ..errors import ShapeError
from ..tensor import Tensor


def reinterpreted(input: Tensor, dtype: Any) -> Tensor:
    """The memory of `input` as elements of `dtype`; without history, as PyTorch's.

    x [..., n] of a bytes gives y [..., n a / b] of b bytes. Where a is not b, the last axis lies
    without gaps; where b is larger, it holds whole elements, and all axes step by whole ones.
    Changes in place are seen by both, and noticed. Raises DTypeError, or ShapeError for memory that
    does not fit.
    """
    dtype = as_dtype(dtype)
    x = input.array
    if dtype.itemsize != x.dtype.itemsize:
        _check_sizes(input, dtype)
        if not x.size:  # whose strides say nothing
            length = x.shape[-1] * x.dtype.itemsize // dtype.itemsize
            x = input.backend.empty((*x.shape[:-1], length), dtype)
    result = Tensor(x.view(dtype), input.backend)
    result._counter = input._counter
    return result


def _check_sizes(x: Tensor, dtype: DType) -> None:
    """Raise ShapeError where the elements of x do not become whole ones of another size."""
    if x.ndim == 0:
        raise _unfit(x, dtype, "a 0-d tensor has no axis that could change its length")
    strides, lengths = x.stride(), x.shape
    times = max(dtype.itemsize // x.itemsize, 1)
    if lengths[-1] % times:
        raise _unfit(x, dtype, f"the last axis, {lengths[-1]}, must be divisible by {times}")
    if not x.array.size:
        return
    if strides[-1] != 1:
        raise _unfit(x, dtype, f"the last axis must have stride 1, not {strides[-1]}")
    offset = x.storage_offset() if times > 1 else 0
    if offset % times:
        raise _unfit(x, dtype, f"storage_offset {offset} must be divisible by {times}")
    for axis, stride in enumerate(strides[:-1]):
        if stride % times and lengths[axis] > 1:
            raise _unfit(x, dtype, f"stride {stride} of axis {axis} must be divisible by {times}")


def _unfit(x: Tensor, dtype: DType, reason: str) -> ShapeError:
    return ShapeError(
        f"view({dtype.name}): {reason}; got {describe(x)} with strides {x.stride()}.\n"
        "  Copy it with clone() and contiguous(), or convert the numbers with to(dtype)."
    )
