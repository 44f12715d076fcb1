"""Matrix product with its epilogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...dtype import is_floating
from .elementwise import UNARY, cast
from .precision import Array, quiet, rounded, widened

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
) -> Array:
    """y = act(alpha a b + bias + beta out), written to `out` if given, else a new array."""
    y = np.matmul(widened(a), widened(b))
    if not is_floating(y.dtype):
        alpha, beta = int(alpha), int(beta)
    if alpha != 1:
        y = y * cast(np.array(alpha), y.dtype)
    if bias is not None:
        y = y + widened(bias)
    if beta != 0 and out is not None:
        y = y + widened(out) * cast(np.array(beta), y.dtype)
    y = rounded(ACTIVATION[act](y), a.dtype)
    if out is None:
        return y
    out[...] = y
    return out
