"""Parameters, gradients and values, as the tests of optimizers and clipping write and read them."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import nn


def parameter(values: Any, dtype: Any = "float64", device: str = "cpu") -> nn.Parameter:
    """A parameter with these values."""
    return nn.Parameter(gg.tensor(np.asarray(values, np.float64)).to(device, gg.as_dtype(dtype)))


def set_grad(p: gg.Tensor, values: Any) -> None:
    """Gives a parameter a gradient: these values, broadcast to its shape."""
    array = np.broadcast_to(np.asarray(values, np.float64), p.shape)
    p.grad = gg.tensor(array.copy()).to(p.device, p.dtype)


def values(p: gg.Tensor) -> Any:
    """The values on the host, float64; a copy."""
    return p.detach().to("cpu", gg.float64).numpy().copy()
