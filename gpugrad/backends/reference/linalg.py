"""Matrix product with its epilogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...dtype import DType, accumulation, is_float8, is_floating, unsupported
from .elementwise import UNARY, cast
from .precision import Array, accumulated, quiet, rounded, widened

ACTIVATION: dict[str, Callable[[Array], Any]] = {
    "none": lambda x: x,
    "relu": UNARY["relu"],
    "gelu": UNARY["gelu"],
    "gelu_tanh": UNARY["gelu_tanh"],
    "silu": UNARY["silu"],
    "sigmoid": UNARY["sigmoid"],
    "tanh": UNARY["tanh"],
}


@quiet
def gemm(
    a: Array,
    b: Array,
    bias: Array | None = None,
    act: str = "none",
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Array | None = None,
    scale: Array | None = None,
    residual: Array | None = None,
    dtype: DType | None = None,
    row_scale: Array | None = None,
) -> Array:
    """y = act(alpha row_scale scale (a b) + bias + residual + beta out), rounded to `dtype`.

    Written to `out` if given, else a new array.
    """
    dtype = out.dtype if out is not None else a.dtype if dtype is None else dtype
    if is_float8(dtype):
        raise unsupported("matmul", dtype)
    y = np.matmul(*(x if x.dtype == dtype else accumulated(x) for x in map(widened, (a, b))))
    return finished(y, bias, act, alpha, beta, out, scale, residual, dtype, row_scale)


@quiet
def finished(
    y: Array,
    bias: Array | None,
    act: str,
    alpha: float,
    beta: float,
    out: Array | None,
    scale: Array | None,
    residual: Array | None,
    dtype: DType,
    row_scale: Array | None,
) -> Array:
    """What `gemm` makes of its product y, which may be changed."""
    if is_floating(dtype) and not is_floating(y.dtype):
        y = y.astype(accumulation(dtype))
    if not is_floating(y.dtype):
        alpha, beta = int(alpha), int(beta)
    if alpha != 1:
        y = y * cast(np.array(alpha), y.dtype)
    for factor in (None if row_scale is None else row_scale[:, None], scale):
        if factor is not None:
            y = y * factor.astype(y.dtype)
    for term in (bias, residual):
        if term is not None:
            y = y + widened(term)
    if beta != 0 and out is not None:
        y = y + widened(out) * cast(np.array(beta), y.dtype)
    y = rounded(ACTIVATION[act](y), dtype)
    if out is None:
        return y
    out[...] = y
    return out
