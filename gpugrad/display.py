"""How tensors print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import backends
from . import dtype as dtypes

if TYPE_CHECKING:
    from .tensor import Tensor

_SILENT = (dtypes.int64, dtypes.bool_)


def text(tensor: Tensor) -> str:
    """``tensor([1., 2.], device='sim', dtype=float16, grad_fn=<Exp>)``; the usual is left out."""
    values = tensor.backend.to_numpy(tensor.data)
    if values.dtype == dtypes.bfloat16:
        values = values.astype(np.float32)
    body = np.array2string(
        values, separator=", ", prefix="tensor(", precision=4, threshold=1000, suppress_small=False
    )
    facts = [body]
    if tensor.data.size == 0 and tensor.ndim != 1:
        facts.append(f"size={tensor.shape}")
    if tensor.backend is not backends.get("cpu"):
        facts.append(f"device='{tensor.device}'")
    if tensor.dtype not in _SILENT and tensor.dtype != dtypes.get_default_dtype():
        facts.append(f"dtype={tensor.dtype.name}")
    if tensor.grad_fn is not None:
        facts.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        facts.append("requires_grad=True")
    return f"tensor({', '.join(facts)})"
