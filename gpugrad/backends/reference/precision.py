"""In which dtype an operation computes, and the one rounding at its end."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ...dtype import DType, accumulation, bfloat16, float32, is_float8, is_half, to_float8

Array: TypeAlias = "np.ndarray[Any, Any]"

quiet = np.errstate(all="ignore")
"""Decorator: infinities and NaN are values here, not warnings."""


def computing(dtype: DType) -> DType:
    """float32 for half types and 8-bit floats, the dtype itself for all others."""
    return float32 if is_half(dtype) or is_float8(dtype) else dtype


def widened(x: Array) -> Array:
    """x in the dtype it is computed in."""
    return x.astype(computing(x.dtype), copy=False)


def accumulated(x: Array) -> Array:
    """x in the dtype its sums are formed in: float32, float64 or int64."""
    return x.astype(accumulation(x.dtype), copy=False)


def _to_odd(x: Array) -> Array:
    """float64 to float32 so that rounding it again to bfloat16 equals rounding once.

    An inexact result is cut toward zero and gets its last bit set (Boldo & Melquiond 2008).
    """
    y = x.astype(np.float32)
    back = y.astype(np.float64)
    bits = y.view(np.uint32) - (np.abs(back) > np.abs(x)).astype(np.uint32)
    exact = (back == x) | np.isnan(x)
    return np.where(exact, y.view(np.uint32), bits | np.uint32(1)).view(np.float32)


def rounded(y: Any, dtype: DType) -> Array:
    """y as an array of `dtype`: the one rounding of an operation."""
    y = np.asarray(y)
    if is_float8(dtype):
        return to_float8(y, dtype)
    if dtype == bfloat16:
        if y.dtype == np.int64:  # the bits that float64 would round away become one
            low = y & 0x7FF
            y = np.where((np.abs(y) > 1 << 53) & (low != 0), (y - low) | 0x400, y)
        if y.dtype in (np.float64, np.int64, np.int32):
            y = _to_odd(y.astype(np.float64))
    return y.astype(dtype, copy=False)
